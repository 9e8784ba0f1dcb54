"""Temporary files of a command, its libraries' and children's too, which not even ``kill -9`` leaves for long."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.system.locks import AlreadyLocked, Lock, lock_folder


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
        lock.release()


def _locked_folder(prefix: str) -> tuple[Path, Lock]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            return path, lock_folder(path)
        except (AlreadyLocked, FileNotFoundError):
            continue  # another command has just removed it as unused


def _remove_unused(path: Path) -> None:
    """Remove a temporary folder of this user's unless its process is alive."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return
        lock = lock_folder(path)
    except (AlreadyLocked, OSError):
        return
    with lock:
        shutil.rmtree(path, ignore_errors=True)
