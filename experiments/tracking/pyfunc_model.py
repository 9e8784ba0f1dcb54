"""The ensemble as an MLflow model by models-from-code: this file is stored with the model instead of a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel


class EnsembleModel(PythonModel):
    """Predicts with the blend of the bundle that is stored with it."""

    def load_context(self, context: Any) -> None:
        """Verify and load the bundle."""
        from ensemble.bundle import load_bundle

        self._bundle = load_bundle(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Return the blended predictions as a frame with one column, which has the name of the target."""
        from ensemble.column_encoding import features_of

        features = features_of(model_input, self._bundle.columns)
        return pd.DataFrame({self._bundle.manifest["target"]: self._bundle.ensemble.predict(features)})


mlflow.models.set_model(EnsembleModel())
