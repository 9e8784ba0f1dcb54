"""Worker processes on this machine: one resident process with the libraries imported, workers forked from it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import ensemble
from ensemble.worker import PRELOAD
from experiments.errors import EnsembleError, RunnerClosed
from experiments.system.machine import openmp_environment

ENTRY_FOLDER = Path(ensemble.__file__).resolve().parent.parent


class WorkerDied(Exception):
    """A worker process ended in the middle of a call.

    Attributes:
        exit_code: Its exit code, negative for a signal.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"worker ended with {exit_code}")
        self.exit_code = exit_code


@dataclass(frozen=True, eq=False)
class _Worker:
    pid: int
    socket: socket.socket
    answers: TextIO

    def close(self) -> None:
        self.answers.close()
        self.socket.close()


class WorkerPool:
    """Forks up to ``size`` workers, and gives each call to one that is free. Methods are safe in any thread.

    The resident process starts with the pool and imports in the background, so make the pool early. Everything ends
    with ``close``, and with this process, however it ends.
    """

    def __init__(
        self,
        size: int,
        threads: int,
        dependencies: Sequence[Path] = (),
        *,
        preload: Sequence[str] = PRELOAD,
        at_end: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the resident process.

        Args:
            size: Workers at a time.
            threads: OpenMP threads of a worker.
            dependencies: Folders that are importable in it.
            preload: What the resident process imports.
            at_end: What it calls after this process has ended, ``{"call": "module:function", "kwargs": {...}}``.
        """
        own, other = socket.socketpair()
        paths = [str(ENTRY_FOLDER), str(ENTRY_FOLDER.parent), *map(str, dependencies)]
        environ = {
            **os.environ,
            **openmp_environment(threads),
            "PYTHONSAFEPATH": "1",  # a script of the user's, such as random.py, is not imported for a library
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        with other:
            self._resident = subprocess.Popen(
                [sys.executable, "-m", "ensemble.worker", str(other.fileno()), ",".join(preload), json.dumps(at_end)],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
        self._control = own
        self._control_answers = own.makefile("r", encoding="utf-8")
        self._control_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._closed = False
        self._workers: set[_Worker] = set()
        self._busy: set[_Worker] = set()
        self._interrupted: set[_Worker] = set()
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for _ in range(size):
            self._idle.put(None)

    def wait_until_ready(self) -> None:
        """Wait until a worker has its libraries, so that what it is called for is not measured with their imports.

        Raises:
            RunnerClosed: The pool was closed meanwhile.
            EnsembleError: The libraries cannot be imported.
        """
        worker = self._idle.get()
        try:
            worker = worker or self._spawn()
        finally:
            self._idle.put(worker)

    def call(self, function: str, kwargs: dict[str, Any], log: Path | None = None) -> Any:
        """Call ``module:function`` in a worker; arguments and answer are JSON.

        Raises:
            WorkerDied: Its process ended; the next call gets a new one.
            RunnerClosed: The pool was closed or interrupted meanwhile.
            EnsembleError: The function raised, or the libraries cannot be imported.
        """
        worker = self._idle.get()
        try:
            if worker is None:
                worker = self._spawn()
            with self._state_lock:
                self._busy.add(worker)
            request = {"call": function, "kwargs": kwargs, "log": None if log is None else str(log)}
            try:
                worker.socket.sendall(json.dumps(request).encode() + b"\n")
                line = worker.answers.readline()
            except (OSError, ValueError):
                line = ""
            with self._state_lock:
                self._busy.discard(worker)
                interrupted = worker in self._interrupted
                self._interrupted.discard(worker)
            if interrupted or not line:
                dead, worker = worker, None
                exit_code = self._reap(dead)
                raise RunnerClosed if interrupted else WorkerDied(exit_code)
            answer = json.loads(line)
        finally:
            self._idle.put(worker)
        if "error" in answer:
            raise EnsembleError(f"{function} failed in its worker: {answer['error']}")
        return answer["value"]

    def cpu_seconds(self) -> float:
        """Return the processor time that the resident process has taken, 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._resident.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def scheduled(self) -> dict[int, tuple[float, float]]:
        """Return how long each worker ran and waited for a core; empty where the system does not count it."""
        with self._state_lock:
            pids = [worker.pid for worker in self._workers]
        found: dict[int, tuple[float, float]] = {}
        for pid in pids:
            with contextlib.suppress(OSError, ValueError):
                ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
                found[pid] = int(ran) / 1e9, int(waited) / 1e9
        return found

    def interrupt(self) -> None:
        """Kill the workers that are at work, whose calls raise ``RunnerClosed``; later calls get new ones."""
        with self._state_lock:
            for worker in self._busy - self._interrupted:
                self._interrupted.add(worker)
                os.kill(worker.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the workers and the resident process. Idempotent."""
        with self._state_lock:
            if self._closed:
                return
            self._closed = True
            workers = list(self._workers)
        self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._resident.wait(timeout=0.5)
        except subprocess.TimeoutExpired:  # still importing, with nothing in it that could be lost
            self._resident.kill()
            self._resident.wait()
        for worker in workers:
            with contextlib.suppress(OSError):  # the thread that was using it has reaped it
                worker.socket.shutdown(socket.SHUT_RDWR)
            worker.close()
        self._control_answers.close()
        self._control.close()
        if self._resident.stderr is not None:
            self._resident.stderr.close()

    def _spawn(self) -> _Worker:
        own, other = socket.socketpair()
        try:
            with other:
                pid = self._ask({"spawn": True}, [other.fileno()])["pid"]
        except BaseException:
            own.close()
            raise
        worker = _Worker(pid, own, own.makefile("r", encoding="utf-8"))
        with self._state_lock:
            if not self._closed:
                self._workers.add(worker)
                return worker
        worker.close()
        raise RunnerClosed

    def _reap(self, worker: _Worker) -> int:
        with self._state_lock:
            self._workers.discard(worker)
        worker.close()
        return int(self._ask({"wait": worker.pid}, [])["exit_code"])

    def _ask(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        with self._control_lock:
            if self._closed:
                raise RunnerClosed
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], fds)
                line = self._control_answers.readline()
            except (OSError, ValueError):
                line = ""
        if not line:
            if self._closed:
                raise RunnerClosed
            raise EnsembleError(f"the worker process could not start: {self._last_line()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_line(self) -> str:
        self._resident.wait()
        text = self._resident.stderr.read().decode(errors="replace") if self._resident.stderr else ""
        lines = text.strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {self._resident.returncode}"


# Returns the workers on this machine that prove a study and score its winner. The first call starts them, unless trials
# run in them too.
LocalWorkers = Callable[[], WorkerPool]
