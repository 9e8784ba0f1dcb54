"""Text for a terminal: it may have any character that a file or a user named, and must not control the terminal."""

from __future__ import annotations

import contextlib
import io
import re
import sys

# Control characters, except tabulator and line feed, and those that change the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return a text with each control character as its escape, such as ``\x1b``."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def replace_what_cannot_be_printed() -> None:
    """Let standard output replace characters that its encoding lacks, as on a terminal that has ASCII only."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "replace":
            with contextlib.suppress(OSError):  # a file that has been read cannot be set up again
                stream.reconfigure(errors="replace")
