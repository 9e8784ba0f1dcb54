"""What answers of all operations have in common: errors, filters and pages."""

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
        code: Its code.
        message: Its message.
        status: Its HTTP status.
        more: Further fields of it.
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
    """What a list can be filtered by."""

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
    """Whether something is not filtered out by the request for a list."""
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
        Refused: The token is none.
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
