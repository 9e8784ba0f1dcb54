"""Workers forked from a resident process: calls, logs and their end (``worker``)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ensemble.channel import write_channel
from ensemble.worker import PRELOAD
from experiments.backends.worker_pool import WorkerDied, WorkerPool
from experiments.errors import EnsembleError, RunnerClosed
from tests.conftest import PROJECT, until
from tests.entry.conftest import OWN_MEMBER, make_table
from tests.support.forked import Popen

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, or needs the parent-death signal")

# CatBoost's allocator starts this thread on import, and handles forks itself.
HARMLESS = "jemalloc_bg_thd"

OWN_FRAMES = """
import polars

def largest_by_rest():
    rows = polars.LazyFrame({"number": range(100_000)}).with_columns(rest=polars.col("number") % 3)
    return rows.group_by("rest").agg(polars.max("number")).sort("rest").collect()["number"].to_list()
"""


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "shop_members.py").write_text(OWN_MEMBER)
    (folder / "shop_frames.py").write_text(OWN_FRAMES)
    return folder


@pytest.fixture(scope="module")
def pool(own_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """A pool that is started in a folder with files that are called as modules of libraries are."""
    folder = tmp_path_factory.mktemp("scripts")
    for name in ("random.py", "py.py", "numpy.py"):
        (folder / name).write_text("raise RuntimeError('this is a script of the user')")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = WorkerPool(2, threads=2, dependencies=[own_folder])
    yield found
    found.close()


def environ(folder: Path, hyperparameters: dict[str, str]) -> dict[str, str]:
    write_channel(make_table(), folder)
    (folder / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    return {
        "SM_INPUT_CONFIG_DIR": str(folder),
        "SM_CHANNEL_TRAIN": str(folder),
        "SM_OUTPUT_DIR": str(folder),
        "SM_OUTPUT_DATA_DIR": str(folder / "data"),
        "SM_NUM_CPUS": "2",
    }


def run_entry(pool: WorkerPool, folder: Path, **hyperparameters: str) -> Any:
    kwargs = {"environ": environ(folder, hyperparameters)}
    return pool.call("ensemble.worker:run_entry", kwargs, folder / "log.txt")


def test_scripts_in_the_working_folder_do_not_take_the_place_of_libraries(pool: WorkerPool) -> None:
    assert (Path(pool.call("os:getcwd", {})) / "random.py").is_file()
    assert 0 <= pool.call("random:random", {}) < 1


@linux
def test_the_resident_process_has_one_thread_to_fork(pool: WorkerPool) -> None:
    resident = pool.call("os:getppid", {})
    names = [path.read_text().strip() for path in Path(f"/proc/{resident}/task").glob("*/comm")]
    assert len([name for name in names if name != HARMLESS]) == 1
    assert psutil.Process(resident).num_threads() == len(names) <= 2


def test_a_worker_can_use_polars_which_has_threads(pool: WorkerPool) -> None:
    pytest.importorskip("polars")
    assert pool.call("shop_frames:largest_by_rest", {}) == [99_999, 99_997, 99_998]


def test_a_worker_trains_with_two_threads_again_and_again(pool: WorkerPool, tmp_path: Path) -> None:
    metrics = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        quick = {"members": "xgboost,catboost,random_forest,ridge", "xgboost__num_round": "5"}
        quick |= {"catboost__iterations": "5", "random_forest__n_estimators": "5"}
        assert run_entry(pool, folder, **quick) == 0, (folder / "log.txt").read_text()
        metrics.append(json.loads((folder / "data" / "metrics.json").read_text())["metrics"])
    assert metrics[0] == metrics[1]


def test_a_worker_finds_the_users_own_members(pool: WorkerPool, tmp_path: Path) -> None:
    assert run_entry(pool, tmp_path, members="base:shop_members:Constant") == 0


def test_what_a_call_prints_goes_to_its_log(pool: WorkerPool, tmp_path: Path) -> None:
    assert run_entry(pool, tmp_path, members="ridge") == 0
    assert "[metric] cv_rmse_blended=" in (tmp_path / "log.txt").read_text()


def test_a_failed_training_is_an_answer(pool: WorkerPool, tmp_path: Path) -> None:
    assert run_entry(pool, tmp_path, members="rigde") == 2
    assert "Did you mean 'ridge'?" in (tmp_path / "log.txt").read_text()
    assert "Did you mean 'ridge'?" in (tmp_path / "failure").read_text()


@pytest.mark.parametrize(
    ("function", "kwargs", "words"),
    [
        ("json:loads", {"s": "{"}, "JSONDecodeError"),
        ("nowhere:main", {}, "ModuleNotFoundError"),
        ("json:nothing", {}, "AttributeError"),
        ("json:loads", {}, "TypeError"),
    ],
)
def test_an_error_is_answered_and_the_worker_goes_on(
    pool: WorkerPool, function: str, kwargs: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(EnsembleError, match=words):
        pool.call(function, kwargs, tmp_path / "log.txt")
    assert words in (tmp_path / "log.txt").read_text()
    assert pool.call("json:loads", {"s": "[1, 2.5]"}) == [1, 2.5]


def test_a_worker_that_ends_is_reported_and_replaced(pool: WorkerPool) -> None:
    with pytest.raises(WorkerDied) as died:
        pool.call("os:_exit", {"status": 3})
    assert died.value.exit_code == 3
    assert pool.call("os:getpid", {}) > 0


class Resident:
    """A resident process, forked from this one, and one worker, which the test drives over their sockets."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        self.work, worker_end = socket.socketpair()
        self.control.settimeout(50)
        self.work.settimeout(50)
        with theirs, worker_end:
            command = [sys.executable, "-m", "ensemble.worker", str(theirs.fileno()), ",".join(PRELOAD), "null"]
            self.process = Popen(command, pass_fds=[theirs.fileno()])
            socket.send_fds(self.control, [b'{"spawn": true}'], [worker_end.fileno()])
            self.worker = self.ask(self.control)["pid"]
        self._worker_process = psutil.Process(self.worker)

    def ask(self, end: socket.socket, **request: Any) -> Any:
        if request:
            end.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(end.makefile("r", encoding="utf-8").readline())

    def has_lost_its_worker(self) -> bool:
        try:
            return self.work.recv(1) == b""
        except ConnectionResetError:  # it ended with a request unread
            return True

    def close(self) -> None:
        self.control.close()
        self.work.close()
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(psutil.NoSuchProcess):
            self._worker_process.kill()


@pytest.fixture
def resident() -> Iterator[Resident]:
    found = Resident()
    yield found
    found.close()


def test_a_resident_process_ends_with_its_socket_and_its_worker_with_it(resident: Resident) -> None:
    assert resident.ask(resident.work, call="os:getpid", kwargs={}) == {"value": resident.worker}
    resident.control.close()
    assert resident.process.wait(timeout=50) == 0
    assert resident.has_lost_its_worker()
    assert not psutil.pid_exists(resident.worker)


def test_a_worker_in_the_middle_of_a_call_ends_with_the_resident_process(resident: Resident) -> None:
    resident.work.sendall(b'{"call": "signal:pause", "kwargs": {}}\n')
    resident.control.close()
    assert resident.process.wait(timeout=50) == 0
    assert not psutil.pid_exists(resident.worker)


@linux
@pytest.mark.parametrize("settled", [True, False])
def test_workers_end_when_the_resident_process_is_killed(settled: bool, resident: Resident) -> None:
    if settled:
        assert resident.ask(resident.work, call="os:getpid", kwargs={}) == {"value": resident.worker}
    resident.work.sendall(b'{"call": "signal:pause", "kwargs": {}}\n')
    os.kill(resident.process.pid, signal.SIGKILL)
    assert resident.process.wait(timeout=50) == -signal.SIGKILL
    assert resident.has_lost_its_worker()


def test_a_worker_ends_with_its_socket(resident: Resident) -> None:
    resident.work.close()
    assert resident.ask(resident.control, wait=resident.worker) == {"exit_code": 0}


def test_an_interrupt_leaves_the_resident_process_alone(resident: Resident) -> None:
    resident.process.send_signal(signal.SIGINT)
    resident.work.close()
    assert resident.ask(resident.control, wait=resident.worker) == {"exit_code": 0}


def test_an_interrupted_pool_kills_what_is_at_work_and_goes_on(tmp_path: Path) -> None:
    pool = WorkerPool(2, threads=1)
    try:
        assert pool.call("os:getpid", {}) != os.getpid()
        outcome: list[BaseException] = []
        ready = tmp_path / "ready"

        def wait_for_ever() -> None:
            try:
                pool.call("subprocess:call", {"args": ["sh", "-c", f"touch {ready}; exec sleep 1000"]})
            except RunnerClosed as closed:
                outcome.append(closed)

        thread = threading.Thread(target=wait_for_ever)
        thread.start()
        while not ready.exists():
            thread.join(0.01)
        pool.interrupt()
        thread.join()
        assert len(outcome) == 1
        pool.interrupt()
        assert pool.call("os:getpid", {}) != os.getpid()
    finally:
        pool.close()


def test_the_call_at_end_is_made_when_the_owner_has_ended(tmp_path: Path) -> None:
    called = tmp_path / "called"
    owner = f"""
import sys
from experiments.backends.worker_pool import WorkerPool
at_end = {{"call": "os:mkdir", "kwargs": {{"path": {str(called)!r}}}}}
pool = WorkerPool(1, threads=1, preload=["json"], at_end=at_end)
print(pool.call("os:getpid", {{}}), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    assert until(called.exists)
    assert not psutil.pid_exists(worker)
