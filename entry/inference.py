"""The four functions that SageMaker's serving containers call, and a fifth with which byoe's server batches requests.

``model_fn`` loads the model, ``input_fn`` reads a body, ``predict_fn`` predicts and ``output_fn`` writes the answer. A
mistake in a request raises ``RequestError``, whose text is JSON. Under ``sagemaker-inference`` it is raised as the
toolkit's own error type that carries a status, since the toolkit answers 500 for any other exception.
``sagemaker-containers`` cannot set a status: it answers 500 for every exception (``error_wrapper`` in its
``_functions.py``).

Three variables of the environment count: ``BYOE_THREADS``, the number of threads that a member may use,
``BYOE_INTERVAL``, the level of the interval that answers hold, and ``SAGEMAKER_INFERENCE_OUTPUT``, what else they hold.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ensemble.serving.answers import encode
from ensemble.serving.errors import RequestError
from ensemble.serving.formats import decode
from ensemble.serving.prediction import Prediction
from ensemble.serving.predictor import Predictor
from ensemble.serving.rows import Rows
from ensemble.serving.selected import INTERVAL, OUTPUT, check_selected, interval_level, selected_keys

THREADS = "BYOE_THREADS"
_TOOLKIT_ERRORS = "sagemaker_inference.errors"


def model_fn(model_dir: str) -> Predictor:
    """Load the model from the folder into which SageMaker has unpacked it.

    Raises:
        BundleError: The folder does not hold a bundle that these libraries can read.
        InputError: The model's answers cannot hold what ``SAGEMAKER_INFERENCE_OUTPUT`` selects, or an interval of the
            level in ``BYOE_INTERVAL``.
    """
    model = Predictor.load(Path(model_dir), threads=int(os.environ.get(THREADS, "1")), loading=_note)
    check_selected(selected_keys(os.environ), bool(model.bundle.classes), OUTPUT)
    level = interval_level(os.environ)
    if level is not None:
        model.check_level(level, INTERVAL)
    return model


def _note(name: str) -> None:
    # If a library crashes on the file, this is the last line of the log.
    print(f"loading {name}", file=sys.stderr, flush=True)


def input_fn(body: bytes | str, content_type: str) -> Rows:
    """Read the rows of a request's body.

    Raises:
        RequestError: The content type is unknown, or the body does not have that type.
    """
    try:
        return decode(body, content_type)
    except RequestError as error:
        raise _as_toolkit_error(error) from None


def predict_fn(rows: Rows, model: Predictor) -> Prediction:
    """Match the rows to the model's columns and predict.

    Raises:
        RequestError: The rows do not fit the columns.
    """
    try:
        return model.answer(rows)
    except RequestError as error:
        raise _as_toolkit_error(error) from None


def predict_many_fn(requests: Sequence[Rows], model: Predictor) -> list[Prediction | RequestError]:
    """Predict for several requests at once; the list has an error for each request that does not fit."""
    return model.predict_many(requests)


def output_fn(prediction: Prediction, accept: str) -> tuple[bytes, str]:
    """Return the body of the answer and its content type.

    Raises:
        RequestError: ``accept`` has no type that can be written.
    """
    try:
        return encode(prediction, accept, selected_keys(os.environ), interval_level(os.environ))
    except RequestError as error:
        raise _as_toolkit_error(error) from None


def _as_toolkit_error(error: RequestError) -> Exception:
    """Return the error as the exception type of the toolkit that runs this module, if there is one."""
    toolkit = sys.modules.get(_TOOLKIT_ERRORS)
    if toolkit is None:
        return error
    found: Exception = toolkit.GenericInferenceToolkitError(error.status, str(error), HTTPStatus(error.status).phrase)
    return found
