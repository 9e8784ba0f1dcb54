"""The process of ``tests.support.forked``: it has the libraries imported, and forks a child for each command.

It is run as a file with the number of a listening socket, and ends with its standard input. At the first request it imports
and composes a configuration, unless it is started without libraries, and it does nothing else: a process that has entered an
OpenMP region hangs its forked children in XGBoost.

A request is the length of its JSON text in eight bytes, sent with the file descriptors of the child, then that text:
``{"run": [...], "environment": {...}, "folder": path, "descriptors": [...], "session": bool}``. ``run`` is a script, ``-m``
and a module, or ``-c`` and code, with arguments; ``descriptors`` are the numbers that the descriptors get. The answer is a
line with the child's process id, and one with its wait status once it has ended.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parents[2]
# What commands and their workers import while they run, besides every module of the two packages.
LIBRARIES = (
    "alembic.command",
    "alembic.migration",
    "boto3",
    "catboost",
    "docker",
    "git",
    "hydra.core.override_parser.overrides_parser",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "mlflow.models.display_utils",
    "mlflow.pyfunc.scoring_server",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracing.processor.otel",
    "omegaconf",
    "optuna",
    "PIL.JpegImagePlugin",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "scipy.linalg",
    "scipy.optimize",
    "skops.io",
    "sklearn.datasets",
    "sklearn.ensemble",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sqlalchemy",
    "threadpoolctl",
    "xgboost",
)
PACKAGES = ("ensemble", "experiments")
_LENGTH = 8


class Forker:
    """Listens, forks, and reports how the children end."""

    def __init__(self, listener: socket.socket, *, libraries: bool) -> None:
        self._listener = listener
        self._connections: dict[int, socket.socket] = {}
        self._loaded = not libraries
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        self._woken = reader
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only a handled signal wakes the loop
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests

    def serve(self) -> dict[str, Any] | None:
        """Return None once standard input has ended; in each child, return its request."""
        while True:
            ready, _, _ = select.select([0, self._woken, self._listener], [], [])
            if 0 in ready:
                return None
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._report()
            if self._listener in ready:
                connection, _ = self._listener.accept()
                self._load()
                pid = os.fork()
                if pid == 0:
                    return _received(connection)
                self._connections[pid] = connection
                _tell(connection, pid)

    def kill(self) -> None:
        """Kill the children that still run, and report it."""
        for pid, connection in self._connections.items():
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            _tell(connection, status)

    def _load(self) -> None:
        if not self._loaded:
            from experiments.config.compose import compose
            from experiments.tracking.store import quiet
            from tests.support.libraries import spare

            self._loaded = True
            quiet()  # as commands do, before they import MLflow
            for name in LIBRARIES:
                importlib.import_module(name)
            import mlflow.utils.requirements_utils

            for package in map(importlib.import_module, PACKAGES):
                for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                    importlib.import_module(module.name)
            # MLflow searches all installed packages, once in each process.
            mlflow.utils.requirements_utils._init_packages_to_modules_map()
            spare()
            compose([])  # so that Hydra finds its plugins and its files are parsed
            gc.freeze()  # otherwise a collection in a child copies every page

    def _report(self) -> None:
        while self._connections:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._connections.pop(pid) as connection:
                _tell(connection, status)


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(ConnectionError):  # the process that asked was killed
        connection.sendall(f"{number}\n".encode())


def _received(connection: socket.socket) -> dict[str, Any]:
    """Take over what the request asks for except its program: descriptors, signals, environment and folder."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # Descriptors of other children and of the forker.
    os.closerange(3, connection.fileno())
    os.closerange(connection.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    length, sent, _, _ = socket.recv_fds(connection, _LENGTH, 64)
    with connection, connection.makefile("rb") as stream:
        request: dict[str, Any] = json.loads(stream.read(int.from_bytes(length, "big")))
    numbers = request["descriptors"]
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for descriptor in sent]
    for descriptor in sent:
        os.close(descriptor)
    for descriptor, number in zip(aside, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    return request


def _run(request: dict[str, Any], path: list[str]) -> None:
    """Run the program as a new interpreter would, except that the libraries are imported already."""
    import numpy as np

    time.tzset()
    tempfile.tempdir = None
    sys.path_importer_cache.clear()
    np.random.seed()  # otherwise every child draws the same numbers
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is not None:  # OpenMP read it when its library was loaded
        from threadpoolctl import threadpool_limits

        threadpool_limits(int(threads), user_api="openmp")
    if os.environ.get("BYOE_FORKER"):
        from tests.support.forked import WorkersForked

        subprocess.Popen = WorkersForked  # type: ignore[misc]
    kind, *arguments = request["run"] if request["run"][0] in ("-m", "-c") else ["", *request["run"]]
    first = "" if kind == "-c" else os.getcwd() if kind == "-m" else str(Path(arguments[0]).parent)  # noqa: PTH109
    more = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [first, *more, *path]
    sys.argv = ["-c", *arguments[1:]] if kind == "-c" else arguments
    if kind == "-c":
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    elif kind == "-m":
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(arguments[0], run_name="__main__")


def _outcome(request: dict[str, Any], path: list[str]) -> int:
    """Run the program; return its exit code, or the negative number of the signal that is to end it."""
    try:
        _run(request, path)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        return -signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but leave its memory to the system: to free all these libraries takes tenths of a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # wait for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # it is closed
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    installed = sys.path[1:]
    sys.path[:] = [str(PROJECT), str(PROJECT / "entry"), *installed]
    forker = Forker(socket.socket(fileno=int(sys.argv[1])), libraries=len(sys.argv) > 2)
    asked = forker.serve()
    if asked is None:
        forker.kill()
        os._exit(0)  # the libraries' exit handlers are for the children
    _end(_outcome(asked, installed))
