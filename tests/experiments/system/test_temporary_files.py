"""Temporary files are removed at the end of the command or, after a kill, by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.system.temporary_files import temporary_files_removed
from tests.conftest import PROJECT, environment

HOLD = """
import pathlib, sys, tempfile
from experiments.system.temporary_files import temporary_files_removed
with temporary_files_removed():
    file = pathlib.Path(tempfile.mkdtemp()) / "file"
    file.write_text("text")
    print(file, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's folder for temporary files."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return path


def holder() -> tuple[subprocess.Popen[str], Path]:
    """Start a process that has a temporary file and runs until its input ends."""
    command = [sys.executable, "-c", HOLD]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=PROJECT, env=environment(), stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_files_are_removed_and_the_folder_is_restored(temporary: Path) -> None:
    with temporary_files_removed():
        made = Path(tempfile.mkdtemp())
        child = subprocess.run(
            [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"], capture_output=True, check=True
        )
        assert Path(child.stdout.decode().strip()).parent == made.parent != temporary
        assert made.parent.parent == temporary
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(temporary)


def test_files_are_removed_when_the_command_fails(temporary: Path) -> None:
    def command() -> None:
        with temporary_files_removed():
            tempfile.mkdtemp()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command()
    assert list(temporary.iterdir()) == []


def test_the_next_command_removes_files_of_a_killed_process_and_not_those_of_a_running_one(temporary: Path) -> None:
    killed, left = holder()
    with killed:
        killed.send_signal(signal.SIGKILL)
    living, used = holder()
    assert not left.exists()
    with living, temporary_files_removed():
        assert used.read_text() == "text"
        living.communicate("")
    assert list(temporary.iterdir()) == []


def test_a_command_runs_where_no_folder_can_be_created(temporary: Path) -> None:
    code = """
import resource
from experiments.system.temporary_files import temporary_files_removed
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # as on a full disk
with temporary_files_removed():
    print("inside")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "inside\n", "")


def test_other_files_with_such_a_name_are_kept(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("text")
    (temporary / f"byoe-{os.getuid()}-link").symlink_to(precious)
    (temporary / f"byoe-{os.getuid()}-file").write_text("text")
    (temporary / f"byoe-{os.getuid() + 1}-folder").mkdir()
    with temporary_files_removed():
        pass
    assert len(list(temporary.iterdir())) == 3
    assert (precious / "file").read_text() == "text"
