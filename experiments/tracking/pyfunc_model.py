"""The ensemble as an MLflow model by models-from-code: this file is stored with the model instead of a pickle."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

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
        ``probability_<label>`` for each class.

        Raises:
            MlflowException: The rows do not fit the model's columns.
        """
        from ensemble.serving.errors import RequestError
        from ensemble.serving.rows import Values
        from ensemble.serving.unseen import Unseen

        unseen = Unseen()
        try:
            features = self._predictor.features(Values.of_frame(model_input), unseen)
        except RequestError as error:
            raise MlflowException.invalid_parameter_value(error.details["message"]) from None
        for sentence in unseen.sentences(len(model_input)):
            logging.getLogger("byoe").warning(sentence)
        found = self._predictor.predict(features)
        if found.classes:
            return pd.DataFrame(found.table("probabilities"))
        return pd.DataFrame({self._predictor.bundle.manifest["target"]: found.blended})


mlflow.models.set_model(EnsembleModel())
