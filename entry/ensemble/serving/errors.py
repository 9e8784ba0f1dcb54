"""What a request did wrong, as the JSON that its sender gets."""

from __future__ import annotations

import json
from typing import Any

from ensemble.errors import EnsembleError

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
        self.details: dict[str, Any] = {"error": error, "message": message} | {
            name: value for name, value in details.items() if value is not None
        }

    def __str__(self) -> str:
        return json.dumps(self.details)


def unfit(message: str, **details: Any) -> RequestError:
    """Return the error of rows that do not fit the model's columns."""
    return RequestError(BAD_REQUEST, "rows_do_not_fit", message, **details)


def unreadable_body(kind: str, reason: str) -> RequestError:
    """Return the error of a body that is not what its content type says."""
    return RequestError(BAD_REQUEST, "unreadable", f"the body is not {kind}: {reason}", expected=kind)
