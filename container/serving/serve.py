"""``serve``: what SageMaker starts in this image. Loads the model once, forks workers that share it, answers on 8080.

Settings come from the environment, under SageMaker's own names where it has one:

    SM_MODEL_DIR                     folder of the model (/opt/ml/model)
    SAGEMAKER_PROGRAM                the inference script (inference.py)
    SAGEMAKER_SUBMIT_DIRECTORY       folder of the script (code/ in the model's folder)
    SAGEMAKER_BIND_TO_PORT           port (8080); 0 for a free one, which is printed
    SAGEMAKER_MODEL_SERVER_WORKERS   worker processes (as many as cores)
    SAGEMAKER_MODEL_SERVER_TIMEOUT   seconds for an answer (60)
    BYOE_HOST                        address (all interfaces; a container's are its own)
    BYOE_MODEL_NAME                  what /ping calls the model
    BYOE_MAX_BODY_BYTES              longest body (6 MB, SageMaker's own limit; 4 MB serverless)
    BYOE_MAX_CONCURRENCY             requests at a time in all; beyond that 429
    BYOE_THREADS                     threads that a member may use to predict (1)
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import math
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

# Before libraries are loaded, which read them then: workers are as many as cores, and one more thread each is too many.
THREADS = os.environ.setdefault("BYOE_THREADS", "1")
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

from gunicorn.app.base import BaseApplication  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from app import Application, Limits  # noqa: E402
from worker import BACKLOG, KILL_SECONDS, Worker  # noqa: E402

BAD_SETTING, BAD_MODEL = 2, 3
DEFAULT_BODY_BYTES = 6 * 2**20
# glibc's names for mallopt, and its default for both.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, THRESHOLD_BYTES = -1, -3, 128 * 1024


def main() -> int:
    """Serve until SIGTERM, then finish what is begun."""
    # A container's first process ignores what it does not handle, and gunicorn handles it only later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = read_settings(os.environ)
        module, model = load(settings)
    except Exception as error:  # whatever the model's own code raises
        tell(error)
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
    # What is loaded stays where it is, so that workers share its memory.
    gc.collect()
    gc.freeze()
    Server(application, listener, settings["workers"], model).run()
    return 0


def keep_heap_flat() -> None:
    """Have large blocks, and what is free at the heap's end, given back to the system at glibc's default thresholds.

    Left alone, glibc raises them after the first large block, and the heap then grows over some 100,000 requests.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        for threshold in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(threshold, THRESHOLD_BYTES)


def tell(error: Exception) -> None:
    """Say why the model cannot be served."""
    if not hasattr(error, "exit_code"):  # as what is told in a sentence has
        traceback.print_exception(error)
    print(f"error: the model cannot be served: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def read_settings(environ: Any) -> dict[str, Any]:
    """Return the settings of the environment."""
    folder = Path(environ.get("SM_MODEL_DIR") or "/opt/ml/model")
    code = environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or ""
    concurrency = environ.get("BYOE_MAX_CONCURRENCY")
    # A limit over all requests can only be counted where all are.
    workers = 1 if concurrency else int(environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or cores())
    return {
        "folder": folder,
        # SageMaker also gives the place that the code was taken from, such as s3://.
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
    """Return the inference script's module, and the model that it has loaded."""
    sys.path.insert(0, str(settings["code"]))
    module = importlib.import_module(Path(settings["program"]).stem)
    return module, module.model_fn(str(settings["folder"]))


def cores() -> int:
    """Return how many cores this container may use, at least one."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return found
    return found if quota == "max" else max(1, min(found, math.ceil(int(quota) / int(period))))


class Server(BaseApplication):
    """gunicorn's master, which forks workers, starts others for those that die, and lets them finish on SIGTERM."""

    def __init__(self, application: Application, listener: socket.socket, workers: int, model: Any) -> None:
        self._application = application
        self._listener = listener
        self._workers = workers
        self._model = model
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
        }
        for name, value in settings.items():
            if value is not None:
                self.cfg.set(name, value)

    def load(self) -> Application:
        """Return the application, which is loaded already."""
        return self._application

    def _check(self) -> None:
        """Predict the model's example before the first request; a worker that cannot ends the server."""
        check = getattr(self._model, "check", None)
        if check is None:
            return
        try:
            check()
        except Exception as error:  # whatever the model's own code raises
            tell(error)
            sys.exit(BAD_MODEL)  # which gunicorn takes for a worker that cannot start, and ends


if __name__ == "__main__":
    sys.exit(main())
