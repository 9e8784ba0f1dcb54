"""Commands as children of one process that has the libraries imported, which takes seconds in a new process.

A forked command is a process like any other: it has its own number, signals, environment, working directory and
descriptors, it can be killed, and it ends as Python ends. It differs in four ways, and a test of one of them starts a
cold process: its imports are done, all have one hash seed, ``/proc/<pid>/environ`` is that of the forker, and its modules are
not finalised.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.forker import PROJECT

ADDRESS = "BYOE_FORKER"
RUN = str(PROJECT / "run.py")
WORKER = [sys.executable, "-m", "ensemble.worker"]


class Popen(subprocess.Popen):  # type: ignore[type-arg]  # of text or bytes, depending on its arguments
    """A forked process of this interpreter without options: a script, ``-m`` with a module, or ``-c`` with code.

    It has the methods and attributes of any process; ``preexec_fn``, users and groups are not supported.
    """

    _connection: socket.socket | None = None

    def _is_forked(self, args: Any) -> bool:
        return True

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any, *rest: Any
    ) -> None:
        if not self._is_forked(args):
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
            return
        _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *_, start_new_session, _ = rest
        ends = [theirs if theirs != -1 else number for number, theirs in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "run": list(map(os.fspath, args[1:])),
            "environment": dict(os.environ if env is None else env),
            "folder": os.path.abspath(cwd or os.curdir),  # noqa: PTH100
            "descriptors": [0, 1, 2, *pass_fds],
            "session": bool(start_new_session),
        }
        text = json.dumps(request).encode()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(os.environ[ADDRESS])
            socket.send_fds(connection, [len(text).to_bytes(8, "big")], [*ends, *pass_fds])
            connection.sendall(text)
            self.pid = _number(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._connection is None:
            return super()._try_wait(wait_flags)
        seconds = 0 if wait_flags & os.WNOHANG else None
        if not select.select([self._connection], [], [], seconds)[0]:
            return 0, 0
        with self._connection:
            return self.pid, _number(self._connection)

    def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
        if self._connection is None:
            return super()._internal_poll(*args, **kwargs)
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid == self.pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


class WorkersForked(Popen):
    """A process that is forked if it is a worker, and otherwise started as usual."""

    def _is_forked(self, args: Any) -> bool:
        return isinstance(args, list) and args[: len(WORKER)] == WORKER


def _number(connection: socket.socket) -> int:
    digits = b""
    while not digits.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise RuntimeError("the process that commands of the tests are forked from has ended")
        digits += byte
    return int(digits)


class Forker:
    """The process that commands are forked from. It imports the libraries at the first command.

    One serves all workers of pytest-xdist: its address is in the environment.
    """

    def __init__(self, *, libraries: bool = True) -> None:
        """Start it.

        Args:
            libraries: Whether it imports the libraries.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="byoe-forker-"))
        address = self._folder / "socket"
        # No threads, since its children would lack them: neither BLAS's nor those of Arrow's allocator.
        quiet = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
        left_out = ("PYTEST_", "MLFLOW_", "AWS_", "PYTHONPATH", "OMP_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(64)
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    str(PROJECT / "tests" / "support" / "forker.py"),
                    str(listener.fileno()),
                    *(["with libraries"] if libraries else []),
                ],
                env=kept | quiet,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        os.environ[ADDRESS] = str(address)

    def close(self) -> None:
        """End it, and the commands that still run."""
        del os.environ[ADDRESS]
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder)


def command(*arguments: str) -> list[str]:
    """Return the command that runs ``run.py`` with these arguments."""
    return [sys.executable, RUN, *arguments]
