"""``serve.py`` in a process of its own, on a free port, forked from one that has imported the libraries."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT, environment, until
from tests.doubles.aws.resident import Forked, Resident
from tests.endpoint.target import Target

SERVE = PROJECT / "container" / "serving" / "serve.py"


@dataclass(frozen=True)
class Server:
    """A running model server.

    Attributes:
        target: Where it answers.
        process: Its master.
        out: File of its standard output.
        err: File of its standard error.
    """

    target: Target
    process: Forked
    out: Path
    err: Path

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log that are about requests."""
        return [json.loads(line) for line in self.out.read_text().splitlines()[1:]]

    def workers(self) -> list[int]:
        """Return the workers' process ids."""
        import psutil

        return sorted(child.pid for child in psutil.Process(self.process.pid).children())

    def terminate(self, seconds: float = 30) -> int | None:
        """End it with SIGTERM to its master; return its exit code, or None if it runs after that time."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(seconds)


def run(resident: Resident, folder: Path, place: Path, **env: str) -> tuple[Forked, Path, Path]:
    """Start the server of the model in ``folder``, with its output in ``place``."""
    out, err = place / "server.out", place / "server.err"
    settings = {
        "SM_MODEL_DIR": str(folder),
        "SAGEMAKER_BIND_TO_PORT": "0",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "BYOE_HOST": "127.0.0.1",
    }
    process = resident.start([str(SERVE)], place, environment(**settings | env), out, err)
    return process, out, err


@contextlib.contextmanager
def serving(resident: Resident, folder: Path, place: Path, name: str = "process", **env: str) -> Iterator[Server]:
    """Serve the model in ``folder`` while the context lasts, and end all of its processes."""
    process, out, err = run(resident, folder, place, **env)
    try:
        until(
            lambda: (out.exists() and b"\n" in out.read_bytes()) or process.wait(0) is not None, 50
        )  # a busy machine takes long
        assert process.wait(0) is None, err.read_text()
        port = json.loads(out.read_text().splitlines()[0])["listening"]
        server = Server(Target(name, f"http://127.0.0.1:{port}", folder), process, out, err)
        yield server
        if process.wait(0) is None:
            server.terminate(20)
    finally:
        process.close()  # with its workers, which survive if the master is killed
