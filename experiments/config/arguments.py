"""What is shown and recorded of a user's arguments: passwords in addresses are kept out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_PASSWORD = re.compile(r"(://[^/@:\s]*):[^/@\s]+@")


def masked(text: str) -> str:
    """Return a text with the password of every address in it as ``***``."""
    return _PASSWORD.sub(r"\1:***@", text)


def typed_command(arguments: Iterable[str]) -> str:
    """Return the command of these arguments, to be shown."""
    return masked(shlex.join(["python", "run.py", *arguments]))
