"""Fixtures of every tier: an empty project folder, and the command run in it."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.doubles.aws.resident import Resident

PROJECT = Path(__file__).resolve().parent.parent
# Members that are quick to fit, and the real ones all the same.
QUICK = ("ensemble.params.xgboost.num_round=5", "ensemble.params.catboost.iterations=5")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of ``tests/endpoint``; here, since pytest reads options of folders below only when they are named."""
    text = "what tests/endpoint runs against: process (default), local, an endpoint's name, or http://127.0.0.1:PORT"
    parser.addoption("--endpoint", default="process", metavar="ENDPOINT", help=text)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which endpoint is tested, and why that one."""
    from tests.endpoint.choice import choose

    try:
        choice = choose(config.getoption("--endpoint"))
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None
    return f"endpoint: {choice.name} ({choice.why})"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def signals_that_reach_commands() -> None:
    """Have commands start with the default of signals that these tests were told to ignore, as by nohup or ``&``.

    What is ignored stays so in a new program; what is handled is the default there.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory."""
    path = tmp_path / "project"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture(scope="session")
def resident() -> Iterator[Resident]:
    """What jobs of doubles of AWS are forked from, so that each need not import the libraries."""
    from tests.doubles.aws.resident import Resident

    with Resident() as resident:
        yield resident


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables made, which takes MLflow seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    call = f"mlflow.MlflowClient('sqlite:///{path}').get_experiment_by_name('none')"
    code = f"from experiments.tracking.store import quiet; quiet(); import mlflow; {call}"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=path.parent)
    return path


@pytest.fixture
def project(folder: Path, empty_store: Path) -> Path:
    """The working directory, with an empty MLflow store in it."""
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Put back what a command that is called in this process does on signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def byoe(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Run a command in this process."""
    from experiments.cli import main

    def run(*arguments: str) -> Ended:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    with signals_kept():
        yield run


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system of its own."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        path = tmp_path / "disk"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def running(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own, which is not waited for."""
    command = [sys.executable, str(PROJECT / "run.py"), *arguments]
    return subprocess.Popen(command, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def await_trials(harness: subprocess.Popen[bytes], count: int) -> None:
    """Wait until a running command has shown so many more trials, which end in any order."""
    assert harness.stdout is not None
    shown = (line for line in harness.stdout if line.startswith(b"trial "))
    assert len(list(itertools.islice(shown, count))) == count


def until(happened: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait for something that another process does, looking again and again; return whether it happened in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def environment(**more: str) -> dict[str, str]:
    """Return this environment without what tells a library that it is being tested, and without MLflow's own.

    MLflow keeps the store that is set in a process, by any test, in the environment.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MLFLOW_"))} | more


def run_command(*arguments: str, timeout: float = 120, **env: str) -> Ended:
    """Run a command in a process of its own, in the working directory."""
    done = subprocess.run(
        [sys.executable, str(PROJECT / "run.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**env),
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
