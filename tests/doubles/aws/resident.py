"""Scripts as children of one process that has imported the libraries, which would take each of them seconds."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from pathlib import Path

from tests.doubles.aws.container import Process


class Resident:
    """A context manager that forks a child for each script. It is thread-safe, and several doubles may share it."""

    def __enter__(self) -> Resident:
        self._lock = threading.Lock()
        self._started: queue.SimpleQueue[Forked] = queue.SimpleQueue()
        self._running: dict[int, Forked] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("forking.py"))],
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="resident")
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()

    def start(
        self, argv: list[str], folder: Path, environment: Mapping[str, str], log: Path, errors: Path | None = None
    ) -> Forked:
        """Start a script.

        Args:
            argv: Its file, from its working directory, and its arguments.
            folder: Its working directory.
            environment: All of its environment.
            log: Where its output goes.
            errors: Where its standard error goes; None for the log.
        """
        request = {
            "argv": argv,
            "folder": str(folder),
            "environment": dict(environment),
            "log": str(log),
            "errors": None if errors is None else str(errors),
        }
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return self._started.get()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                answer = json.loads(line)
                if "started" in answer:
                    forked = Forked(answer["started"])
                    self._running[forked.pid] = forked
                    self._started.put(forked)
                else:
                    self._running.pop(answer["ended"]).ended.set_result(answer["code"])


class Forked(Process):
    """A script in a child of the resident process.

    Attributes:
        pid: Id of its process, and of the process group of all that it starts.
        ended: Its exit code, negative for a signal.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid = pid
        self.ended: Future[int] = Future()

    def wait(self, seconds: float) -> int | None:
        """Return its exit code, or None if it has not ended within ``seconds``."""
        try:
            code = self.ended.result(seconds)
        except TooLate:
            return None
        return code if code >= 0 else 128 - code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to the processes that it started, if they still run."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def remove(self) -> None:
        """Wait for the process to end."""
        self.ended.result()
