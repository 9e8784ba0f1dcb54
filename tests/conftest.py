"""Fixtures of every tier: an empty project folder, and the command run in it."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from experiments.system.machine import openmp_environment
from tests.support import forked
from tests.support.examples import is_long, register_profiles
from tests.support.libraries import spare
from tests.support.once import made_once

if TYPE_CHECKING:
    from tests.doubles.aws.resident import Resident

PROJECT = forked.PROJECT
# OpenMP reads it when the first library that fits is loaded, here and in the processes that fork commands.
os.environ.setdefault("OMP_WAIT_POLICY", openmp_environment(1)["OMP_WAIT_POLICY"])
ENGINE = "engine"
# The time limit of tests that run commands, a guard against hangs on a busy machine; other tests have a minute.
COMMANDS_SECONDS = 300
# Variables of a command whose workers are found by their environment, which of a forked process is that of the forker.
COLD_WORKERS = {forked.ADDRESS: ""}
# The real members, quick to fit, and no baseline.
QUICK = (
    "ensemble=pair",
    "ensemble.params.xgboost.num_round=5",
    "ensemble.params.catboost.iterations=5",
    "search.baseline=false",  # of a thousand iterations
)


register_profiles()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the option of ``tests/endpoint`` here, because pytest reads options of subfolders only if they are named."""
    text = "what tests/endpoint runs against: process (default), local, an endpoint's name, or http://127.0.0.1:PORT"
    parser.addoption("--endpoint", default="process", metavar="ENDPOINT", help=text)
    text = (
        "which tests run against an endpoint of your own: quick (default; what its model answers, within a minute), or "
        "full (also everything that a client may do wrong)"
    )
    parser.addoption("--endpoint-tests", default="quick", choices=("quick", "full"), help=text)
    if not pluginmanager.hasplugin("xdist"):  # pyproject.toml gives these options also with -p no:xdist
        parser.addoption("--numprocesses", help="ignored without pytest-xdist")
        parser.addoption("--dist", help="ignored without pytest-xdist")
        parser.addoption("--no-loadscope-reorder", action="store_true", help="ignored without pytest-xdist")


def pytest_configure(config: pytest.Config) -> None:
    """Start the process that commands are forked from, once for all workers."""
    if not hasattr(config, "workerinput"):
        forker = forked.Forker()
        config.add_cleanup(forker.close)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each worker whole files, and one worker all tests that share the engine or an endpoint, to begin with.

    Tests with an engine check everything on it. The fixtures of a file are made once if its tests run in one worker. A
    file that sets its own group (``pytest.mark.xdist_group``) keeps it. Files that run commands come before others, so that
    both workers end at about the same time.
    """
    shared = config.getoption("--endpoint") != "process"
    groups, slow_groups = {}, {ENGINE}
    for item in items:
        own = item.get_closest_marker("xdist_group")
        alone = item.get_closest_marker("docker") is not None or (shared and "endpoint" in item.path.parts)
        groups[item] = own.args[0] if own else ENGINE if alone else item.location[0]
        if own is None:
            item.add_marker(pytest.mark.xdist_group(groups[item]))
        if {"folder", "byoe"} & set(item.fixturenames):  # type: ignore[attr-defined]  # a test that runs commands
            slow_groups.add(groups[item])
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(COMMANDS_SECONDS))
        if is_long():
            item.add_marker(pytest.mark.timeout(0), append=False)
    items.sort(key=lambda item: (groups[item] != ENGINE, groups[item] not in slow_groups))


@pytest.fixture(scope="module", autouse=True)
def few_objects_to_collect() -> None:
    """Keep the garbage collector from going through what outlives the file: items, libraries, examples of Hypothesis."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Report which endpoint is tested, why that one, and how long it will take."""
    from tests.endpoint.choice import choose
    from tests.endpoint.duration import described

    try:
        choice = choose(config.getoption("--endpoint"))
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None
    lines = [f"endpoint: {choice.name} ({choice.why})"]
    if config.getoption("--endpoint") != "process":
        lines.append(described(choice, config.getoption("--endpoint-tests")))
    return lines


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def signals_that_reach_commands() -> None:
    """Have commands start with default signal handling, even if these tests ignore signals, as under nohup or ``&``.

    A new program inherits ignored signals, and has the default for handled ones.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def spared_libraries() -> None:
    """Have libraries neither parse the same configuration file again nor wait for the disk."""
    spare()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory."""
    path = tmp_path / "project"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture(scope="session")
def resident() -> Iterator[Resident]:
    """The process that jobs of doubles of AWS are forked from, so that they need not import the libraries."""
    from tests.doubles.aws.resident import Resident

    with Resident() as resident:
        yield resident


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables, which take MLflow seconds to create."""
    from experiments.tracking.store import make_store, quiet

    def make(folder: Path) -> None:
        quiet()
        make_store(f"sqlite:///{folder}/mlflow.db", folder)

    return made_once(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture
def project(folder: Path, empty_store: Path) -> Path:
    """The working directory, with an empty MLflow store in it."""
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Restore the signal handlers that a command in this process changes."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the workers that this process starts, so that they need not import the libraries."""
    monkeypatch.setattr(subprocess, "Popen", forked.WorkersForked)


# The figures that a command in this process has drawn.
_DRAWN: set[str] = set()


@pytest.fixture
def byoe(
    capsys: pytest.CaptureFixture[str], forked_workers: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Ended]]:
    """Run a command in this process; its workers are forked, and each figure is drawn for the first study only.

    Drawing its figures is a fifth of a small study's time. ``run_command`` draws all of them.
    """
    from matplotlib.figure import Figure

    from experiments.cli import main
    from experiments.tracking.store import store_kept

    draw = Figure.savefig

    def draw_once(figure: Figure, path: str, **options: Any) -> None:
        if Path(path).name in _DRAWN:
            Path(path).touch()
        else:
            draw(figure, path, **options)
            _DRAWN.add(Path(path).name)

    monkeypatch.setattr(Figure, "savefig", draw_once)

    def run(*arguments: str) -> Ended:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    with signals_kept(), store_kept():  # MLflow writes its address into the environment
        yield run


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        path = tmp_path / "disk"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}. To run it: be root")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def running(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a command in a new process, without waiting for it."""
    return forked.Popen(
        forked.command(*arguments), env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def await_trials(harness: subprocess.Popen[bytes], count: int) -> None:
    """Wait until a running command has shown ``count`` more trials, in any order."""
    assert harness.stdout is not None
    shown = (line for line in harness.stdout if line.startswith(b"trial "))
    assert len(list(itertools.islice(shown, count))) == count


def until(happened: Callable[[], bool], seconds: float = 20) -> bool:
    """Poll for something that another process does; return whether it happened in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def environment(**more: str) -> dict[str, str]:
    """Return this environment without pytest's variables, which libraries look at, and without MLflow's.

    MLflow writes the store that a test sets into the environment.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MLFLOW_"))} | more


def run_command(*arguments: str, cold: bool = False, folder: Path | None = None, **variables: str) -> Ended:
    """Run a command in a new process.

    Args:
        arguments: What follows ``run.py``.
        cold: Whether to start an interpreter for it. Otherwise it is forked; see ``tests.support.forked`` for what differs.
        folder: Its working directory; by default this process's.
        variables: Environment variables in addition to this process's.
    """
    popen = subprocess.Popen if cold else forked.Popen
    pipe = subprocess.PIPE
    env = environment(**variables)
    with popen(forked.command(*arguments), stdout=pipe, stderr=pipe, text=True, cwd=folder, env=env) as process:
        try:
            out, err = process.communicate()
        except BaseException:  # the time limit of the test
            process.kill()
            raise
    return Ended(process.returncode, out, err)
