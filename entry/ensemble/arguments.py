"""Arguments of a command, written so that they can be pasted into a shell and are read as they were meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

# What needs no quotes in a list.
_PLAIN = re.compile(r"[\w./:%@+*=<>#-]+( [\w./:%@+*=<>#-]+)*")
_IN_QUOTES = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)


def as_argument(key: str, value: str | Iterable[str]) -> str:
    """Return ``key=value``, quoted for a shell, from which the same text or list of texts is read."""
    return shlex.quote(f"{key}={as_value(value)}")


def as_value(value: str | Iterable[str]) -> str:
    """Return what follows ``key=`` in an argument from which the same text or list of texts is read."""
    if isinstance(value, str):
        return quoted(value) if value == "null" or unquoted(value) != value else value
    return f"[{','.join(item if _PLAIN.fullmatch(item) else quoted(item) for item in value)}]"


def quoted(text: str) -> str:
    """Return a text in double quotes, which ``unquoted`` removes."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def unquoted(text: str) -> str:
    """Return what is in the quotes around a whole text, in which a backslash precedes a quote or backslash."""
    found = _IN_QUOTES.fullmatch(text)
    return re.sub(r"""\\(["'\\])""", r"\1", found[2]) if found else text
