"""The resident process of ``tests.doubles.aws.resident``: imports libraries, then forks a child for each script.

It is run as a file, so that nothing of this project is imported in it: a script finds what was downloaded for it. It
reads one JSON line a script, ``{"argv": [...], "folder": path, "environment": {...}, "log": path, "errors": path}``, in which
``errors`` may be null for the log. It writes ``{"started": pid}`` at once and ``{"ended": pid, "code": n}`` once that has
ended, negative for a signal. The end of standard input ends it, with all that still run. It imports and does nothing else,
since what has once entered an OpenMP region hangs its forked children in XGBoost.
"""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import sys
import traceback
from typing import Any

LIBRARIES = (
    "catboost",
    "scipy.optimize",
    "skops.io",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.preprocessing",
    "xgboost",
)


def main() -> None:
    """Fork until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # otherwise a collection in a child copies every page
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only a signal with a handler writes to the descriptor
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    answers = os.fdopen(os.dup(1), "w")
    requests = io.FileIO(0, closefd=False)  # unbuffered: readline must not read beyond the line
    running: set[int] = set()
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 4096)
            for pid, code in iter(ended, None):
                running.discard(pid)
                print(json.dumps({"ended": pid, "code": code}), file=answers, flush=True)
        if 0 in ready:
            line = requests.readline()
            if not line:
                break
            pid = os.fork()
            if pid == 0:
                run(json.loads(line))
            os.setpgid(pid, pid)  # also here, so that the group exists before anyone can signal it
            running.add(pid)
            print(json.dumps({"started": pid}), file=answers, flush=True)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def ended() -> tuple[int, int] | None:
    """Return a child that has ended, and its exit code."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def run(request: dict[str, Any]) -> None:
    """Run a script and end this process with its exit code."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, 64)  # the descriptors of the resident process
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        errors = log
        if request["errors"] is not None:
            errors = os.open(request["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(errors, 2)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.path[:0] = [request["folder"]]
        sys.argv = request["argv"]
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # as at the normal end of a script
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
