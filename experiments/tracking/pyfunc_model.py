"""The ensemble as an MLflow model by models-from-code: this file is stored with the model instead of a pickle."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel


class EnsembleModel(PythonModel):
    """Predicts with the blend of the bundle that is stored with it, and reads rows as endpoints do."""

    def load_context(self, context: Any) -> None:
        """Verify and load the bundle."""
        from ensemble.serving.predictor import Predictor

        self._predictor = Predictor.load(Path(context.artifacts["bundle"]), threads=1)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Return the blend's predictions as a frame.

        Numbers are a column with the name of the target. Classes are the column ``prediction``, the label, and a column
        ``probability_<label>`` for each class. ``params={"detail": ...}`` asks for something else, with the columns of
        ``action=batch``; ``level`` is the share of targets that intervals hold.

        Raises:
            MlflowException: The rows do not fit the model's columns, or it does not have the detail.
        """
        from ensemble.intervals import LEVEL
        from ensemble.serving.errors import RequestError
        from ensemble.serving.explanation import CALL
        from ensemble.serving.media_types import Detail, wrong_detail
        from ensemble.serving.rows import Values
        from ensemble.serving.unseen import Unseen

        unseen, given = Unseen(), params or {}
        detail = given.get("detail") or ""
        problem = wrong_detail(detail, bool(self._predictor.bundle.classes)) if detail else None
        if problem is not None:
            raise MlflowException.invalid_parameter_value(problem)
        try:
            features = self._predictor.features(Values.of_frame(model_input), unseen)
            if detail == "explanation":
                self._predictor.explainer.check(len(features), CALL)
            found = replace(self._predictor, level=given.get("level", LEVEL)).predict(features)
            table = found.table(cast(Detail, detail or ("probabilities" if found.classes else "blended")))
        except RequestError as error:
            raise MlflowException.invalid_parameter_value(error.details["message"]) from None
        for sentence in unseen.sentences(len(model_input)):
            logging.getLogger("byoe").warning(sentence)
        if detail or found.classes:
            return pd.DataFrame(table)
        return pd.DataFrame({self._predictor.bundle.manifest["target"]: found.blended})


mlflow.models.set_model(EnsembleModel())
