"""The common parts of all answers: errors, filters and pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

Document = Mapping[str, Any]
Answer = dict[str, Any]
Entry = TypeVar("Entry")
_PAGE = 10


class Refused(Exception):
    """An answer that is an error.

    Attributes:
        code: The error code.
        message: The error message.
        status: The HTTP status.
        more: Further fields of the answer.
    """

    def __init__(
        self, code: str, message: str, status: str = "400 Bad Request", more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.more = more or {}


class Listed(Protocol):
    """The properties by which a list can be filtered."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def status(self) -> str:
        """Its status."""

    @property
    def created(self) -> float:
        """When it was made."""

    @property
    def modified(self) -> float:
        """When it was last changed."""


def is_wanted(document: Document, listed: Listed) -> bool:
    """Return whether something matches the filters of a list request."""
    times = {"CreationTime": listed.created, "LastModifiedTime": listed.modified}
    return (
        document.get("NameContains", "") in listed.name
        and document.get("StatusEquals", listed.status) == listed.status
        and all(at >= document.get(f"{name}After", at) for name, at in times.items())
        and all(at <= document.get(f"{name}Before", at) for name, at in times.items())
    )


def page(document: Document, entries: Sequence[Entry], name: str) -> Answer:
    """Return one page of entries, with the token of the next if there is one.

    Raises:
        Refused: The token is not valid.
    """
    try:
        first = int(base64.b64decode(document["NextToken"], validate=True)) if "NextToken" in document else 0
    except ValueError as error:
        raise Refused("ValidationException", "Invalid NextToken") from error
    last = first + document.get("MaxResults", _PAGE)
    answer: Answer = {name: list(entries[first:last])}
    if last < len(entries):
        answer["NextToken"] = base64.b64encode(str(last).encode()).decode()
    return answer
