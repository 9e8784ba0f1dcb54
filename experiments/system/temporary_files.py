"""Temporary files of a command, its libraries and its children: removed with it or, after a kill, by the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.system.locks import AlreadyLocked, ForeignFolder, Lock, lock_folder


@contextlib.contextmanager
def temporary_files_removed() -> Iterator[None]:
    """Put temporary files into a folder of this process, which is removed at the end, with those of killed processes.

    The folder is locked while its process lives, so that the next command can tell which folders are unused. If no
    folder can be created, as on a full disk, temporary files go where they would without this function.
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
        with lock:
            shutil.rmtree(path, ignore_errors=True)


def _locked_folder(prefix: str) -> tuple[Path, Lock]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            return path, lock_folder(path)
        except (AlreadyLocked, FileNotFoundError):
            continue  # another command has just taken it for an unused one


def _remove_unused(path: Path) -> None:
    try:
        lock = lock_folder(path, own=True)
    except (AlreadyLocked, ForeignFolder, OSError):  # its process lives, or it is not a folder of this user
        return
    with lock:
        shutil.rmtree(path, ignore_errors=True)
