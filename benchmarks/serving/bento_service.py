"""The ensemble behind BentoML: ``bentoml serve bento_service:Ensemble`` with two workers."""

from __future__ import annotations

from typing import Any

import bentoml
import numpy as np
from bare_model import predict


@bentoml.service(workers=2, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Ensemble:
    """Predicts for rows of JSON as {"instances": [[...]]}."""

    @bentoml.api(route="/invocations")  # type: ignore[untyped-decorator]
    def invocations(self, instances: list[list[float]]) -> dict[str, list[Any]]:
        """Return the predictions."""
        return {"predictions": predict(np.array(instances, dtype=np.float64)).tolist()}
