"""The Docker engine and byoe's image for tests of the container tier."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from experiments.docker.engine import LABEL, STUDY_LABEL, compose_version, connect, list_containers
from experiments.docker.image import ImageSpec, build_image, image_exists, image_spec
from experiments.errors import BackendUnavailable

REQUIRE = "BYOE_REQUIRE_DOCKER"
DEFAULT_BASE = "python:3.12-slim-bookworm"


def require_engine() -> None:
    """Skip the test if there is no engine, or fail it if one is required."""
    try:
        connect().close()
    except BackendUnavailable as error:
        missing(f"there is no engine: {error}")


def require_image() -> ImageSpec:
    """Return byoe's image, built if necessary; without an engine skip the test, or fail it if one is required."""
    base = os.environ.get("BASE_IMAGE", DEFAULT_BASE)
    spec = image_spec(base, None)
    try:
        with closing(connect()) as client:
            if not image_exists(client, spec):
                build_image(client, spec, lambda text: None)
        if compose_version() is None:
            raise BackendUnavailable("docker compose is not installed")
    except BackendUnavailable as error:
        missing(f"there is no engine or no image: {error}")
    return spec


def missing(reason: str) -> NoReturn:
    """Skip the test because something of Docker is missing, or fail it if Docker is required."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE}=1, and {reason}")
    pytest.skip(f"{reason.rstrip('.')}. To run it: start Docker, or `.ci/docker-engine` on Debian, or set DOCKER_HOST")


def containers(study: str) -> list[str]:
    """Return the names of all containers of a study, running or not."""
    with closing(connect()) as client:
        found = list_containers(client, [f"{STUDY_LABEL}={study}"])
        return [container.name for container in found]


def left_behind() -> list[str]:
    """Return byoe's containers and networks on the engine."""
    with closing(connect()) as client:
        things = list_containers(client, [LABEL])
        networks = client.networks.list(filters={"label": LABEL})
        return [thing.name for thing in [*things, *networks]]


def owners(folder: Path) -> set[int]:
    """Return the users that own something below a folder."""
    return {path.lstat().st_uid for path in folder.rglob("*")}


class Forwarder:
    """A socket that forwards to the engine until it is closed, as if the engine had stopped.

    Attributes:
        path: The socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: list[socket.socket] = []

    def __enter__(self) -> Forwarder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        self._open.append(listener)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink()
        self.cut()

    def cut(self) -> None:
        """Close every connection, and accept no other."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect("/var/run/docker.sock")
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
