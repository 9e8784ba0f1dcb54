"""JSON files that others may have changed: read without a traceback, whatever is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """Return the JSON document in a file.

    Raises:
        ValueError: It is not JSON, nested too deeply, or not a regular file; the text says which.
        OSError: There is no such file, or it cannot be read.
    """
    if path.exists() and not path.is_file():  # a pipe would wait for a writer
        raise ValueError("it is not a regular file")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
