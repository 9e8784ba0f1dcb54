"""``serve.py`` in its own process, on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT, environment, until
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
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log that are about requests."""
        return [json.loads(line) for line in self.out.read_text().splitlines()[1:]]

    def workers(self) -> list[int]:
        """Return the workers' process ids."""
        import psutil

        return sorted(child.pid for child in psutil.Process(self.process.pid).children())

    def terminate(self, seconds: float = 30) -> int:
        """End it with SIGTERM; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def run(folder: Path, place: Path, **env: str) -> tuple[subprocess.Popen[bytes], Path, Path]:
    """Start the server of the model in ``folder``, with its output in ``place``."""
    out, err = place / "server.out", place / "server.err"
    settings = {
        "SM_MODEL_DIR": str(folder),
        "SAGEMAKER_BIND_TO_PORT": "0",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "BYOE_HOST": "127.0.0.1",
    }
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(SERVE)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment(**settings | env),
            cwd=place,
            start_new_session=True,
        )
    return process, out, err


@contextlib.contextmanager
def serving(folder: Path, place: Path, name: str = "process", **env: str) -> Iterator[Server]:
    """Serve the model in ``folder`` while the context lasts, and end all of its processes."""
    process, out, err = run(folder, place, **env)
    try:
        until(lambda: b"\n" in out.read_bytes() or process.poll() is not None, 50)  # a busy machine takes long
        assert process.poll() is None, err.read_text()
        port = json.loads(out.read_text().splitlines()[0])["listening"]
        yield Server(Target(name, f"http://127.0.0.1:{port}", folder), process, out, err)
        if process.poll() is None:
            process.terminate()
            process.wait(20)
    finally:
        # Workers are in the master's session, and survive if the master is killed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
