"""``serve``, the command that SageMaker starts: load the model once, fork workers that share it, listen on port 8080.

Settings come from the environment, under SageMaker's own names where it has them:

    SM_MODEL_DIR                     folder of the model (/opt/ml/model)
    SAGEMAKER_PROGRAM                the inference script (inference.py)
    SAGEMAKER_SUBMIT_DIRECTORY       folder of the script (code/ in the model's folder)
    SAGEMAKER_BIND_TO_PORT           port (8080); 0 for a free one, which is printed
    SAGEMAKER_MODEL_SERVER_WORKERS   number of worker processes (the number of cores)
    SAGEMAKER_MODEL_SERVER_TIMEOUT   timeout of an answer in seconds (60)
    BYOE_HOST                        address (all interfaces, which in a container are its own)
    BYOE_MODEL_NAME                  name of the model in /ping
    BYOE_MAX_BODY_BYTES              longest body (6 MB, SageMaker's own limit; serverless has 4 MB)
    BYOE_MAX_CONCURRENCY             requests at a time; further ones get 429
    BYOE_THREADS                     number of threads that a member may use to predict (1)
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import math
import mmap
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

# Libraries read these when they are loaded. There is one worker per core, so each must use a single thread.
THREADS = os.environ.setdefault("BYOE_THREADS", "1")
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

from gunicorn.app.base import BaseApplication  # noqa: E402
from gunicorn.errors import HaltServer  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from app import Application, Limits  # noqa: E402
from bundle_files import MANIFEST, read_manifest_file, verify_files  # noqa: E402
from worker import BACKLOG, KILL_SECONDS, Worker  # noqa: E402

BAD_SETTING, BAD_MODEL = 2, 3
DEFAULT_BODY_BYTES = 6 * 2**20
# Parameters of mallopt in glibc, and the default of both thresholds.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, THRESHOLD_BYTES = -1, -3, 128 * 1024


def main() -> int:
    """Serve until SIGTERM, then finish the requests that have begun. Return the exit code."""
    # The first process of a container ignores signals without a handler, and gunicorn sets its handlers only later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    faulthandler.enable()  # a library that crashes on a model's file says where
    try:
        settings = read_settings(os.environ)
        module, model = load(settings)
    except Exception as error:  # the model's own code may raise anything
        print_error(error)
        return BAD_MODEL
    bundle = getattr(model, "bundle", None)
    identity = {"model": settings["name"], "bundle": getattr(bundle, "content_hash", None)}
    application = Application(module, model, identity, settings["limits"])
    try:
        listener = socket.create_server((settings["host"], settings["port"]), backlog=BACKLOG)
    except OSError as error:
        print(f"error: cannot listen on port {settings['port']}: {error.strerror}", file=sys.stderr, flush=True)
        return BAD_SETTING
    print(json.dumps({"listening": listener.getsockname()[1], **identity}), flush=True)
    keep_heap_flat()
    # The collector must not touch loaded objects, so that workers share their memory.
    gc.collect()
    gc.freeze()
    Server(application, listener, settings["workers"], model).run()
    return 0


def keep_heap_flat() -> None:
    """Make glibc return free memory to the system at its default thresholds.

    By default, glibc raises these thresholds after the first large block, and the heap then grows over some 100,000
    requests.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        for threshold in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(threshold, THRESHOLD_BYTES)


def print_error(error: Exception) -> None:
    """Print why the model cannot be served, with a traceback unless the error is written for users."""
    if not hasattr(error, "exit_code"):  # errors that are written for users have one
        traceback.print_exception(error)
    print(f"error: the model cannot be served: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def read_settings(environ: Any) -> dict[str, Any]:
    """Return the settings that the environment gives."""
    folder = Path(environ.get("SM_MODEL_DIR") or "/opt/ml/model")
    code = environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or ""
    concurrency = environ.get("BYOE_MAX_CONCURRENCY")
    # Only a single process can count all requests.
    workers = 1 if concurrency else int(environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or cores())
    return {
        "folder": folder,
        # SageMaker may also give the address from which the code was downloaded, such as s3://.
        "code": Path(code) if Path(code).is_dir() and code else folder / "code",
        "program": environ.get("SAGEMAKER_PROGRAM") or "inference.py",
        "host": environ.get("BYOE_HOST", "0.0.0.0"),  # noqa: S104  # of the container's own network
        "port": int(environ.get("SAGEMAKER_BIND_TO_PORT") or 8080),
        "name": environ.get("BYOE_MODEL_NAME"),
        "workers": workers,
        "limits": Limits(
            body_bytes=int(environ.get("BYOE_MAX_BODY_BYTES") or DEFAULT_BODY_BYTES),
            concurrency=int(concurrency) if concurrency else None,
            seconds=float(environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT") or 60),
        ),
    }


def load(settings: dict[str, Any]) -> tuple[Any, Any]:
    """Verify the model, import its inference script and load it. Return script and model.

    A model without a manifest is one of another kind, with a script of its own, and cannot be verified.
    """
    folder = settings["folder"]
    if os.path.lexists(folder / MANIFEST):
        verify_files(folder, read_manifest_file(folder)["files"])
    else:
        print(f"{folder} has no {MANIFEST}, so its files are not verified.", file=sys.stderr, flush=True)
    # Compiled code beside the verified source is neither read nor written.
    sys.dont_write_bytecode = True
    sys.pycache_prefix = os.devnull
    sys.path.insert(0, str(settings["code"]))
    module = importlib.import_module(Path(settings["program"]).stem)
    return module, module.model_fn(str(settings["folder"]))


def cores() -> int:
    """Return the number of cores that this container may use, at least 1."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return found
    return found if quota == "max" else max(1, min(found, math.ceil(int(quota) / int(period))))


class Server(BaseApplication):
    """gunicorn's master process: forks workers, replaces those that die, and lets them finish on SIGTERM."""

    def __init__(self, application: Application, listener: socket.socket, workers: int, model: Any) -> None:
        self._application = application
        self._listener = listener
        self._workers = workers
        self._model = model
        self._proved = mmap.mmap(-1, 1)  # which the workers share
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings."""
        settings = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": self._workers,
            "worker_class": Worker,
            "preload_app": True,
            "graceful_timeout": KILL_SECONDS,
            "timeout": 120,
            "keepalive": 75,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
            "control_socket_disable": True,
            "loglevel": "warning",
            "post_fork": lambda _server, _worker: self._application.begin(),
            "post_worker_init": lambda _worker: self._check(),
            "child_exit": lambda server, _worker: self._end_without_proof(ending=not server.LISTENERS),
        }
        for name, value in settings.items():
            if value is not None:
                self.cfg.set(name, value)

    def load(self) -> Application:
        """Return the application, which is already loaded."""
        return self._application

    def _check(self) -> None:
        """Predict the model's example before the first request. If that fails, end the server."""
        check = getattr(self._model, "check", None)
        try:
            if check is not None:
                check()
        except Exception as error:  # the model's own code may raise anything
            print_error(error)
            sys.exit(BAD_MODEL)  # which gunicorn reads as a worker that cannot boot, and so ends
        self._proved[0] = 1

    def _end_without_proof(self, *, ending: bool) -> None:
        """End the server if a worker died before any had predicted the example; the next would die too."""
        if not self._proved[0] and not ending:
            print("error: the model cannot be served: it crashed a library.", file=sys.stderr, flush=True)
            raise HaltServer("no worker could predict the model's example", BAD_MODEL)


if __name__ == "__main__":
    sys.exit(main())
