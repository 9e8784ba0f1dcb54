"""Passwords in addresses, kept out of what is shown and recorded."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(://[^/@:\s]*):[^/@\s]+@")


def masked(text: str) -> str:
    """Return a text with the password of every address in it as ``***``."""
    return _PASSWORD.sub(r"\1:***@", text)
