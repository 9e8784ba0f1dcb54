"""How ``sagemaker-containers`` calls the functions of an inference script, which its SKLearn container serves with.

Re-enacted from the package's source at github.com/aws/sagemaker-containers (commit 913aa80), since its pins install on no
Python of today:

- ``_transformer.py``: ``Transformer.transform`` calls ``input_fn(request.content, request.content_type)``,
  ``predict_fn(data, model)`` and ``output_fn(prediction, accept)``, each by ``error_wrapper``. A tuple that comes back is a
  body and its content type; anything else is returned as it is, which is to be a ``Response``. Only an
  ``UnsupportedFormatError`` of its own, which a wrapped function cannot raise, gets another status than 500.
- ``_functions.py``: ``error_wrapper`` raises ``error_class(e)`` for any ``Exception``; the class is ``ClientError``.
- ``_worker.py``: ``Request.content`` is text where the whole ``Content-Type`` is ``application/json`` or ``text/csv``
  (``_content_types.UTF8_TYPES``), and bytes for any other; Werkzeug decodes with ``errors="replace"``. A request without a
  content type is JSON. ``Request.accept`` is the default, ``application/json`` (``_env.ServingEnv``), for none and for ``*/*``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

UTF8_TYPES = ["application/json", "text/csv"]
DEFAULT_ACCEPT = "application/json"


class ClientError(Exception):
    """The toolkit's error for any exception of a function; Flask answers 500."""


@dataclass(frozen=True)
class Response:
    """An answer.

    Attributes:
        response: Its body.
        mimetype: Its content type.
    """

    response: bytes | str
    mimetype: str


def error_wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that every exception becomes the toolkit's error."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise ClientError(error) from error

    return wrapper


class Transformer:
    """The toolkit's transformer around an inference script.

    Args:
        script: The user's module.
    """

    def __init__(self, script: ModuleType) -> None:
        self._model_fn = error_wrapper(script.model_fn)
        self._input_fn = error_wrapper(script.input_fn)
        self._predict_fn = error_wrapper(script.predict_fn)
        self._output_fn = error_wrapper(script.output_fn)
        self._model: Any = None

    def initialize(self, model_dir: str) -> None:
        """Load the model, as each of its workers does once."""
        self._model = self._model_fn(model_dir)

    def transform(self, data: bytes, headers: dict[str, str]) -> Any:
        """Answer one request."""
        content_type = headers.get("ContentType") or headers.get("Content-Type") or "application/json"
        accept = headers.get("Accept")
        if not accept or accept == "*/*":
            accept = DEFAULT_ACCEPT
        content = data.decode("utf-8", errors="replace") if content_type in UTF8_TYPES else data
        rows = self._input_fn(content, content_type)
        prediction = self._predict_fn(rows, self._model)
        result = self._output_fn(prediction, accept)
        if isinstance(result, tuple):
            return Response(response=result[0], mimetype=result[1])
        return result
