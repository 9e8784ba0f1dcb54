"""A lock is held by one process at a time, and ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments.system.locks import AlreadyLocked, ForeignFolder, is_locked, lock_file, lock_folder
from tests.conftest import PROJECT, environment

HOLD = """
import pathlib, sys
from experiments.system import locks
lock = getattr(locks, sys.argv[1])(pathlib.Path(sys.argv[2]))
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(function: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock in another process."""
    command = [sys.executable, "-c", HOLD, function, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, env=environment(), stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_file_names_the_process_that_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with held("lock_file", path) as process:
        assert is_locked(path)
        with pytest.raises(AlreadyLocked) as error:
            lock_file(path)
        assert error.value.holder == str(process.pid)
    assert not is_locked(path)
    with lock_file(path):
        assert path.read_text() == str(os.getpid())


def test_a_folder_is_locked_without_a_file_in_it(tmp_path: Path) -> None:
    with held("lock_folder", tmp_path), pytest.raises(AlreadyLocked):
        lock_folder(tmp_path)
    with lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []
    lock_folder(tmp_path, wait=True).release()


def test_a_folder_that_is_missing_or_a_file_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        lock_folder(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        lock_folder(tmp_path / "file")


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        lock_file(tmp_path / "lock")
    assert precious.read_text() == "mine"


def test_a_folder_to_be_emptied_must_be_this_users_and_not_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    lock_folder(tmp_path / "link").release()
    with pytest.raises(ForeignFolder):
        lock_folder(tmp_path / "link", own=True)
    lock_folder(tmp_path / "folder", own=True).release()
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ForeignFolder):
        lock_folder(tmp_path / "folder", own=True)
