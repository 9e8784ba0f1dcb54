"""The part of a model server's log that says why it serves nothing."""

from __future__ import annotations

from collections.abc import Iterable

# Enough for the reason to be among them, whatever a server writes when it goes down.
LINES_READ = 300
_LINES_SHOWN = 30
# As ``container/serving/serve.py`` begins the line that gives its reason.
_REASON = "error: the model cannot be served"


def last_words(log: Iterable[str]) -> str:
    """Return the lines to show, indented: those up to the server's own reason, or the last where it gave none."""
    lines = list(log)
    reason = next((number for number, line in enumerate(lines) if line.startswith(_REASON)), len(lines) - 1)
    return "\n".join(f"  {line}" for line in lines[: reason + 1][-_LINES_SHOWN:])
