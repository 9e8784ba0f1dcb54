"""The four functions that SageMaker's serving containers call, and a fifth by which our own server batches requests.

``model_fn`` loads, ``input_fn`` reads a body, ``predict_fn`` predicts, ``output_fn`` writes the answer. What a sender
does wrong is raised as a ``RequestError``, whose text is JSON; under ``sagemaker-inference`` as the error of that
toolkit which has a status, since it answers 500 for any other. ``sagemaker-containers`` has no way to say a status: it
answers 500 whatever a function raises (``error_wrapper`` of its ``_functions.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ensemble.serving.errors import RequestError
from ensemble.serving.formats import Prediction, decode, encode
from ensemble.serving.predictor import Predictor
from ensemble.serving.rows import Rows

THREADS = "BYOE_THREADS"
_TOOLKIT_ERRORS = "sagemaker_inference.errors"


def model_fn(model_dir: str) -> Predictor:
    """Load the model from the folder that SageMaker has unpacked it into."""
    return Predictor.load(Path(model_dir), threads=int(os.environ.get(THREADS, "1")))


def input_fn(body: bytes | str, content_type: str) -> Rows:
    """Read the rows of a request's body."""
    try:
        return decode(body, content_type)
    except RequestError as error:
        raise _as_the_toolkit_says(error) from None


def predict_fn(rows: Rows, model: Predictor) -> Prediction:
    """Predict; the rows are held against the model's columns here."""
    try:
        return model.predict(model.features(rows))
    except RequestError as error:
        raise _as_the_toolkit_says(error) from None


def predict_many_fn(requests: Sequence[Rows], model: Predictor) -> list[Prediction | RequestError]:
    """Predict for several requests at once; one that does not fit has its error in the list."""
    return model.predict_many(requests)


def output_fn(prediction: Prediction, accept: str) -> tuple[bytes, str]:
    """Write the answer, and say its content type."""
    try:
        return encode(prediction, accept)
    except RequestError as error:
        raise _as_the_toolkit_says(error) from None


def _as_the_toolkit_says(error: RequestError) -> Exception:
    """Return the error in the words of the toolkit that runs this module, where it has any."""
    toolkit = sys.modules.get(_TOOLKIT_ERRORS)
    if toolkit is None:
        return error
    found: Exception = toolkit.GenericInferenceToolkitError(error.status, str(error), HTTPStatus(error.status).phrase)
    return found
