"""The errors of this project, under one base; their text is written for the person who typed the command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnsembleError(Exception):
    """Anything that this project reports in a sentence instead of a traceback.

    Attributes:
        exit_code: What a command that ends with this error returns to the shell.
    """

    exit_code = 1


class InputError(EnsembleError):
    """The user's mistake: names the value, where it stands and what to do."""

    exit_code = 2


class CellError(InputError):
    """A cell, or the whole column, that is not what the column holds.

    Attributes:
        column: The column's name.
        row: The data row, from 1; None for a column that is missing.
        expected: What the column holds.
        got: What the cell holds.
    """

    def __init__(self, message: str, *, column: str, row: int | None, expected: str, got: str) -> None:
        super().__init__(message)
        self.column = column
        self.row = row
        self.expected = expected
        self.got = got


class BundleError(InputError):
    """A model bundle that cannot be used, and why."""


class MemberError(EnsembleError):
    """A member failed to fit or to predict.

    Attributes:
        member: The member's name in the ensemble.
        step: What it was doing, such as ``"fit, fold 2"``.
    """

    def __init__(self, member: str, step: str, cause: BaseException | str) -> None:
        reason = cause if isinstance(cause, str) else f"{type(cause).__name__}: {cause}"
        super().__init__(f"member {member!r} failed ({step}): {reason}")
        self.member = member
        self.step = step


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the valid name nearest to ``name``, or an empty string."""
    close = difflib.get_close_matches(str(name), list(valid), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Return the names as ``"a, b, c"``, sorted."""
    return ", ".join(sorted(names))
