"""Files that are replaced in one step, so that a reader sees the old content or the new, and never half of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from experiments.errors import storage_errors


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file beside ``path`` and move it there; ``path`` keeps its permissions if it exists.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.

    Raises:
        StorageError: It cannot be written; what was there is kept.
    """
    partial = path.with_name(f".{path.name}-{os.getpid()}.partial")
    with storage_errors(path):
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            if path.exists():
                partial.chmod(path.stat().st_mode)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
