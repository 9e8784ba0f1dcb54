"""Temporary files of a command, its libraries' and children's too, which not even ``kill -9`` leaves for long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def temporary_files_removed() -> Iterator[None]:
    """Have temporary files made in a folder of this process, which goes with it, and remove those of killed processes.

    The folder is locked while its process lives, so the next command can tell which of them nobody uses any more. Where
    no folder can be made, as on a full disk, temporary files are where they would be without this.
    """
    prefix = f"byoe-{os.getuid()}-"
    try:
        system = tempfile.gettempdir()
        for path in Path(system).glob(f"{prefix}*"):
            _remove_unused(path)
        path, lock = _locked_folder(prefix)
    except OSError:
        yield
        return
    before = os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(path)
    try:
        yield
    finally:
        tempfile.tempdir = system
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked_folder(prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            return path, _lock(path)
        except (BlockingIOError, FileNotFoundError):
            continue  # another command took it, a moment ago, for one that nobody uses


def _remove_unused(path: Path) -> None:
    try:
        lock = _lock(path)
    except OSError:  # its process lives, or it is no folder of ours
        return
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _lock(path: Path) -> int:
    """Lock a folder of this user's, and return its descriptor."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != os.getuid():
            raise PermissionError(f"{path} is another user's")
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.stat()  # it may have been removed before it was locked
    except OSError:
        os.close(folder)
        raise
    return folder
