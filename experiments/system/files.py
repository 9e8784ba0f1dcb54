"""Files and folders that are replaced in one step, so that a reader sees the old content or the new, and no half."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.errors import storage_errors
from experiments.system.locks import lock_folder


def replace_file(path: Path, content: bytes | str) -> None:
    """Replace a file by this content; it keeps its permissions if it exists.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.

    Raises:
        StorageError: It cannot be written; what was there is kept.
    """
    with storage_errors(path), replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path``, which is moved there at the end, or removed if the block fails.

    The name is new, so that no link that somebody has put there is followed.

    Raises:
        OSError: It cannot be created or moved; what was at ``path`` is kept.
    """
    partial = path.with_name(f".byoe-{uuid.uuid4().hex}.partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        if path.exists():
            partial.chmod(path.stat().st_mode)
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def place_folder(folder: Path, write: Callable[[Path], None], holds: Callable[[Path], bool]) -> None:
    """Write a folder in one step, unless it is there with the content that it should have.

    One process at a time writes in the folder above, so that what a killed one has left there can be removed.

    Args:
        folder: The folder.
        write: Writes the content into an empty folder.
        holds: Whether an existing folder has exactly this content.

    Raises:
        StorageError: It cannot be written.
    """
    root = folder.parent
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with lock_folder(root, wait=True):
            for left in root.glob("partial*"):
                remove(left)
            if folder.is_dir() and holds(folder):
                return
            partial, old = root / "partial", root / "partial-old"
            try:
                partial.mkdir()
                write(partial)
                if folder.exists() or folder.is_symlink():
                    folder.replace(old)
                partial.replace(folder)
            finally:
                for left in (partial, old):
                    remove(left)


def remove(path: Path) -> None:
    """Remove a file, a folder with what is in it, or a link without what it points to."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
