"""What a request did wrong, as the JSON that its sender gets."""

from __future__ import annotations

import json
from typing import Any

from ensemble.errors import EnsembleError

# As much of what came is said again as takes so many characters in JSON.
_LONGEST, _LONGEST_MESSAGE = 250, 900

BAD_REQUEST, NOT_ACCEPTABLE, TOO_LARGE, UNSUPPORTED = 400, 406, 413, 415


class RequestError(EnsembleError):
    """A request that cannot be answered, by its sender's mistake. As text it is its JSON.

    Attributes:
        status: The HTTP status.
        details: Facts by name, beside ``error`` (a word for programs) and ``message`` (for people).
    """

    def __init__(self, status: int, error: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.details: dict[str, Any] = {"error": error, "message": _cut(message, _LONGEST_MESSAGE)}
        for name, value in details.items():
            if value is not None:
                self.details[name] = _cut(value, _LONGEST) if name == "got" and isinstance(value, str) else value

    def __str__(self) -> str:
        return json.dumps(self.details)


def _cut(text: str, most: int) -> str:
    start = text[:most]
    if start == text and len(json.dumps(text)) <= most:
        return text
    while len(json.dumps(start)) > most - 3:
        start = start[: len(start) * 9 // 10]
    return start + "..."


def first_line(error: BaseException) -> str:
    """Return what a library's error says, which may be nothing or a page."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def unfit(message: str, **details: Any) -> RequestError:
    """Return the error of rows that do not fit the model's columns."""
    return RequestError(BAD_REQUEST, "rows_do_not_fit", message, **details)


def unreadable_body(kind: str, reason: str) -> RequestError:
    """Return the error of a body that is not what its content type says."""
    return RequestError(BAD_REQUEST, "unreadable", f"the body is not {kind}: {reason}", expected=kind)
