"""The errors of requests, as the JSON that the client gets."""

from __future__ import annotations

import json
from typing import Any

from ensemble.errors import EnsembleError

# The longest quote of a value, and the longest message, in characters of JSON.
_LONGEST, _LONGEST_MESSAGE = 250, 900

BAD_REQUEST, NOT_ACCEPTABLE, TOO_LARGE, UNSUPPORTED = 400, 406, 413, 415


class RequestError(EnsembleError):
    """A request that cannot be answered because of the client's mistake. Its text is JSON.

    Attributes:
        status: The HTTP status.
        details: The JSON object: ``error`` (a code for programs), ``message`` (for people) and further facts by name.
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
    """Return the first line of a library's error, or its type if it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def unfit(message: str, **details: Any) -> RequestError:
    """Return an error for rows that do not fit the model's columns."""
    return RequestError(BAD_REQUEST, "rows_do_not_fit", message, **details)


def unreadable_body(kind: str, reason: str) -> RequestError:
    """Return an error for a body that does not have its content type."""
    return RequestError(BAD_REQUEST, "unreadable", f"the body is not {kind}: {reason}", expected=kind)
