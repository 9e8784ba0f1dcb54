"""``action=doctor`` on this machine. ``test_sagemaker.py`` has its checks of Docker, ``test_remote.py`` those of an account."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.actions import doctor
from tests.conftest import Ended


def test_everything_works_on_this_machine(project: Path, byoe: Callable[..., Ended]) -> None:
    ended = byoe("action=doctor")
    assert ended.code == 0
    for text in ("xgboost 3.2.0", "scikit-learn 1.9.0", "cores", "memory", "can be written", "mode=local can run"):
        assert text in ended.out
    assert list(project.iterdir()) == [project / "mlflow.db"]


def test_a_failure_comes_with_the_command_that_fixes_it(folder: Path, byoe: Callable[..., Ended]) -> None:
    (folder / "mlflow.db").write_bytes(b"not a database " * 100)
    (folder / "studies").touch()
    ended = byoe("action=doctor")
    assert ended.code == 1
    assert "mode=local cannot run yet" in ended.out
    assert f"mv {folder}/mlflow.db {folder}/mlflow.db.broken" in ended.out
    assert "studies is a file" in ended.out


def test_a_wrong_version_is_found(byoe: Callable[..., Ended], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROJECT", folder)
    for file in doctor.REQUIREMENT_FILES:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text("numpy==1.0  # too old\nno-such-package>=3\n")
    ended = byoe("action=doctor")
    assert ended.code == 1
    assert "pip install numpy==1.0" in ended.out
    assert "pip install 'no-such-package>=3'" in ended.out


@pytest.mark.parametrize(
    ("free", "line"), [(2**30, "note  memory         1.0 GB free"), (2**33, "ok    memory         8.0 GB free")]
)
def test_little_memory_is_a_note(
    free: int, line: str, byoe: Callable[..., Ended], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))
    ended = byoe("action=doctor")
    assert ended.code == 0
    assert line in ended.out
    assert ("search.parallel=1" in ended.out) == line.startswith("note")


def test_a_tracking_server_that_does_not_answer_fails(byoe: Callable[..., Ended], folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://me:hush@127.0.0.1:{unused.getsockname()[1]}"
        ended = byoe("action=doctor", f"mlflow.uri={uri}")
    assert ended.code == 1
    assert f"fails MLflow store   {uri.replace('me:hush', '***')} does not answer" in ended.out


def test_a_database_is_left_to_mlflow(byoe: Callable[..., Ended], folder: Path) -> None:
    ended = byoe("action=doctor", "mlflow.uri=postgresql://me:hush@db.example/runs")
    assert ended.code == 0
    assert "note  MLflow store   postgresql://***@db.example/runs is not checked" in ended.out


def test_an_address_that_cannot_be_read_fails_without_its_password(byoe: Callable[..., Ended], folder: Path) -> None:
    ended = byoe("action=doctor", "mlflow.uri=http://user1:open/sesame@host/")
    assert ended.code == 1
    assert "fails MLflow store   http://***@host/ does not answer" in ended.out
    assert not {"sesame", "open", "user1"} & set(re.findall(r"\w+", ended.out + ended.err))
