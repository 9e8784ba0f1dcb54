"""Workers: a resident process imports the libraries once, and its forked children run the trials.

The resident process only imports. Once a process has entered an OpenMP region, its forked children hang in XGBoost and
in histogram boosting, so the resident process never fits, predicts or opens a table.

Its protocol is JSON lines over the socket that it inherits. ``{"spawn": true}``, sent with one end of a socket pair,
forks a worker that serves this end. ``{"wait": pid}`` waits for a worker and returns its exit code. A worker answers
``{"call": "module:function", "kwargs": {...}, "log": path}`` with ``{"value": ...}`` or ``{"error": ...}``, and writes
the output of the call to ``log``. When the resident process's socket is closed, it kills all workers and ends, so that
nothing outlives the process at the other end. It then makes the call ``at_end``, which cleans up after the workers.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.abc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

PRELOAD = (
    "catboost",
    "numpy",
    "scipy.optimize",
    "skops.io",
    "sklearn.ensemble",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "threadpoolctl",
    "xgboost",
    "ensemble.bundle",
    "ensemble.cli",
    "ensemble.training",
)

# CatBoost imports it if it is installed, and it starts a thread, which a forked worker would not have.
_ONLY_AFTER_A_FORK = "polars"


class _NotYet(importlib.abc.MetaPathFinder):
    """Finds that a module is not installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Raise ModuleNotFoundError for the module; leave all others to the next finder."""
        if fullname == _ONLY_AFTER_A_FORK:
            raise ModuleNotFoundError(f"{fullname} is not imported before a fork", name=fullname)


def resident(control: socket.socket, preload: Sequence[str] = PRELOAD, at_end: Mapping[str, Any] | None = None) -> None:
    """Import, then fork workers on request until ``control`` ends.

    Args:
        control: The socket to the process that started this one.
        preload: Modules to import before workers are forked.
        at_end: A call to make after the workers are dead, as ``call`` and ``kwargs`` of a worker's request.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.meta_path.insert(0, refused := _NotYet())
    for name in preload:
        importlib.import_module(name)
    sys.meta_path.remove(refused)
    workers: set[int] = set()
    try:
        while True:
            message, fds, _, _ = socket.recv_fds(control, 4096, 1)
            if not message:
                return
            request = json.loads(message)
            if "spawn" in request:
                parent = os.getpid()
                with socket.socket(fileno=fds[0]) as work:
                    pid = os.fork()
                    if pid == 0:
                        control.close()
                        _serve_and_exit(work, parent)
                workers.add(pid)
                _send(control, {"pid": pid})
            else:
                _, status = os.waitpid(request["wait"], 0)
                workers.discard(request["wait"])
                _send(control, {"exit_code": os.waitstatus_to_exitcode(status)})
    except ConnectionError:
        return
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if at_end is not None:
            _call(at_end["call"], at_end["kwargs"])


def serve(work: socket.socket) -> None:
    """Answer calls, one at a time, until ``work`` is closed."""
    with work.makefile("r", encoding="utf-8") as requests:
        for line in requests:
            request = json.loads(line)
            _redirect(request.get("log"))
            try:
                answer = {"value": _call(request["call"], request["kwargs"])}
            except Exception as error:  # reported to the caller; this worker continues
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.flush()
            sys.stderr.flush()
            _send(work, answer)


def _call(name: str, kwargs: dict[str, Any]) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)(**kwargs)


def _send(to: socket.socket, message: dict[str, Any]) -> None:
    to.sendall(json.dumps(message).encode() + b"\n")


def _redirect(log: str | None) -> None:
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def _serve_and_exit(work: socket.socket, parent: int) -> None:
    code = 1
    try:
        _die_with(parent)
        serve(work)
        code = 0
    except (ConnectionError, BrokenPipeError):
        code = 0
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    # For kill -9 of the resident process itself. On other systems than Linux, workers end after their current call.
    if sys.platform == "linux":
        parent_died, pr_set_pdeathsig = signal.SIGKILL, 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, parent_died)
    if os.getppid() != parent:  # it died before prctl could take effect
        os._exit(1)


def run_entry(environ: dict[str, str], dependencies: Sequence[str] = ()) -> int:
    """Run the entry script as in a training job.

    Args:
        environ: The environment of the job: SageMaker's ``SM_*`` variables.
        dependencies: Folders of the user's own packages.

    Returns:
        The exit code of the entry script.
    """
    from ensemble.cli import CODE_VARIABLE, main

    for folder in dependencies:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return main([], {**environ, CODE_VARIABLE: os.pathsep.join(dependencies)})


if __name__ == "__main__":
    resident(socket.socket(fileno=int(sys.argv[1])), sys.argv[2].split(","), json.loads(sys.argv[3]))
