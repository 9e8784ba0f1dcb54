"""The ensemble behind MLServer, which reads and writes the Open Inference Protocol."""

from __future__ import annotations

import numpy as np
from bare_model import predict
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Ensemble(MLModel):  # type: ignore[misc]
    """Predicts for the first input, a matrix of numbers."""

    async def load(self) -> bool:
        """Report that the model is loaded: the import has done so."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the predictions."""
        rows = np.asarray(NumpyCodec.decode_input(payload.inputs[0]), dtype=np.float64)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("predictions", np.asarray(predict(rows)))]
        )
