"""The part of a model server's log that explains why the model cannot be served."""

from __future__ import annotations

from collections.abc import Iterable

# Enough to include the reason, however much a server writes when it stops.
LINES_READ = 300
_LINES_SHOWN = 30
# How ``container/serving/serve.py`` begins the line with its reason.
_REASON = "error: the model cannot be served"


def relevant_lines(log: Iterable[str]) -> str:
    """Return the lines to show, indented: those up to the server's reason, or the last lines if it gave none."""
    lines = list(log)
    reason = next((number for number, line in enumerate(lines) if line.startswith(_REASON)), len(lines) - 1)
    return "\n".join(f"  {line}" for line in lines[: reason + 1][-_LINES_SHOWN:])
