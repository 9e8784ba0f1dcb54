"""The errors of byoe under one base class. Their text is written for the user who typed the command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnsembleError(Exception):
    """An error that is reported as a sentence, without a traceback.

    Attributes:
        exit_code: The exit code of a command that ends with this error.
    """

    exit_code = 1


class InputError(EnsembleError):
    """The user's mistake. The message names the value, its place and the fix."""

    exit_code = 2


class CellError(InputError):
    """A cell does not fit its column, or the whole column is missing or of another type.

    Attributes:
        column: The column's name.
        row: The data row, from 1; None if the error is about the whole column.
        expected: What the column should hold.
        got: What was found.
    """

    def __init__(self, message: str, *, column: str, row: int | None, expected: str, got: str) -> None:
        super().__init__(message)
        self.column = column
        self.row = row
        self.expected = expected
        self.got = got


class BundleError(InputError):
    """A model bundle cannot be used; the message says why."""


class MemberError(EnsembleError):
    """A member failed to fit or to predict.

    Attributes:
        member: The member's name in the ensemble.
        step: The step that failed, such as ``"fit, fold 2"``.
    """

    def __init__(self, member: str, step: str, cause: BaseException | str) -> None:
        reason = cause if isinstance(cause, str) else f"{type(cause).__name__}: {cause}"
        super().__init__(f"member {member!r} failed ({step}): {reason}")
        self.member = member
        self.step = step


# The longest value that a message shows.
_LONGEST = 80


def brief(value: object) -> str:
    """Return a value of the user's own program as a message shows it: by its kind if it does not fit in a line."""
    text = repr(value)
    kind = type(value)
    return text if len(text) <= _LONGEST and "\n" not in text else f"<{kind.__module__}.{kind.__qualname__}>"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the valid name nearest to ``name``, or an empty string."""
    close = difflib.get_close_matches(str(name), list(valid), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Return the names as ``"a, b, c"``, sorted."""
    return ", ".join(sorted(names))
