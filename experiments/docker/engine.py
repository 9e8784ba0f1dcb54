"""The Docker engine on this machine: its client, and the containers with byoe's labels."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from experiments.errors import BackendUnavailable, EnsembleError
from experiments.system.project import COMMAND

if TYPE_CHECKING:
    from docker import DockerClient as DockerClient  # noqa: PLC0414  # for annotations elsewhere
    from docker.models.containers import Container

# Everything that byoe creates on an engine has this label; its value is the kind of object.
LABEL = "byoe"
STUDY_LABEL = "byoe.study"
RUN_LABEL = "byoe.run"
FOLDER_LABEL = "byoe.folder"
ENDPOINT_LABEL = "byoe.endpoint"
# The networks of every engine; users create others.
NETWORKS = ("none", "bridge", "host")
_SECONDS_TO_ANSWER = 60
START = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
INSTALL = "brew install --cask docker" if sys.platform == "darwin" else "curl -fsSL https://get.docker.com | sudo sh"
# Docker's own packages call it docker-compose-plugin, Debian's call it docker-compose.
INSTALL_COMPOSE = (
    "brew install docker-compose"
    if sys.platform == "darwin"
    else "sudo apt-get install docker-compose-plugin || sudo apt-get install docker-compose"
)


class EngineFailed(EnsembleError):
    """The engine stopped answering, or could not run a container, during a study; finished trials are kept."""

    def __init__(self, cause: BaseException) -> None:
        explanation = getattr(cause, "explanation", None)
        what = f"could not run a container: {explanation}" if explanation else f"does not answer: {_root_cause(cause)}"
        super().__init__(
            f"the Docker engine {what}. Finished trials are kept. Check it with {COMMAND} action=doctor, then run "
            "the same command again."
        )


def connect() -> DockerClient:
    """Return a client of the engine that the ``docker`` command uses, which the caller closes.

    Raises:
        BackendUnavailable: Docker is not installed, or its engine does not answer; the message has the command that
            fixes it.
    """
    import docker
    from docker.errors import DockerException

    if shutil.which("docker") is None:
        raise BackendUnavailable(f"docker is not on the PATH, and images and containers need it. Install it: {INSTALL}")
    client = None
    try:
        host = _host()
        _check_socket(host)
        client = docker.DockerClient(base_url=host, timeout=_SECONDS_TO_ANSWER)
        client.ping()
    except (DockerException, OSError) as error:
        if client is not None:
            client.close()
        named = os.environ.get("DOCKER_HOST")
        whose, cure = "its engine", START
        if named:
            whose, cure = f"the engine at DOCKER_HOST={named}", f"{START}, or correct or unset DOCKER_HOST"
        raise BackendUnavailable(
            f"docker is installed, and {whose} does not answer ({_root_cause(error)}). Start it: {cure}"
        ) from None
    return client


@contextmanager
def open_engine() -> Iterator[DockerClient]:
    """Yield a client of the engine, and raise its errors inside the block as ``EngineFailed``.

    Raises:
        BackendUnavailable: The engine does not answer when the block begins.
        EngineFailed: It failed or stopped during the block.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    with closing(connect()) as client:
        try:
            yield client
        except (DockerException, RequestException) as error:
            raise EngineFailed(error) from error


def check_engine() -> None:
    """Raise EngineFailed unless the engine answers: a job that ended with its engine has no reason of its own."""
    try:
        connect().close()
    except BackendUnavailable as error:
        raise EngineFailed(error) from error


def compose_version() -> str | None:
    """Return the version of compose that SageMaker's local mode uses, or None if there is no compose."""
    plugin = _command_output(["docker", "compose", "version", "--short"])
    if plugin is not None and int(plugin.lstrip("v").partition(".")[0] or 0) >= 2:
        return plugin.lstrip("v")
    return _command_output(["docker-compose", "version", "--short"])


def _command_output(command: list[str]) -> str | None:
    """Return the output of a command, or None if it fails, does not exist or prints nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def is_rootless(client: DockerClient) -> bool:
    """Return whether the engine runs without root, so that root in a container is this user."""
    return any("rootless" in option for option in client.info().get("SecurityOptions") or ())


def container_user(client: DockerClient) -> str:
    """Return the ``uid:gid`` that containers run as, so that this user owns the files that they write."""
    return "0:0" if is_rootless(client) else f"{os.getuid()}:{os.getgid()}"


def labels(kind: str, **more: str) -> dict[str, str]:
    """Return the labels of an object that byoe creates, such as ``labels("trial", study="mine", run="...")``."""
    return {LABEL: kind} | {f"{LABEL}.{name}": text for name, text in more.items()}


def remove_containers(client: DockerClient, wanted: Mapping[str, str]) -> int:
    """Kill and remove the containers with these labels; return their number."""
    found = list_containers(client, [f"{key}={text}" for key, text in wanted.items()])
    for container in found:
        remove_container(container)
    return len(found)


def list_containers(client: DockerClient, wanted: Sequence[str]) -> list[Container]:
    """Return the containers, running or not, with all of these labels, each ``key`` or ``key=value``."""
    # A container may be removed between the list and its inspection.
    found: list[Container] = client.containers.list(all=True, ignore_removed=True, filters={"label": list(wanted)})
    return found


def remove_container(container: Container) -> None:
    """Kill and remove a container, unless its removal is in progress already."""
    from docker.errors import APIError, NotFound

    with suppress(NotFound):  # it was removed in the meantime
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if error.status_code != 409:  # its removal is in progress
                raise


def _host() -> str | None:
    # docker-py does not read contexts, which Docker Desktop, Colima and Podman use.
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    host = _command_output(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    context = os.environ.get("DOCKER_CONTEXT")
    if host is None and context:
        raise BackendUnavailable(
            f"DOCKER_CONTEXT={context}: there is no such context. docker context ls lists them; correct or unset it."
        )
    return host


def _check_socket(host: str | None) -> None:
    # The Python client leaves a socket open where it cannot connect it.
    from docker.utils import parse_host

    address: str = parse_host(host)
    scheme = "http+unix://"
    if address.startswith(scheme):
        with socket.socket(socket.AF_UNIX) as attempt:
            attempt.settimeout(_SECONDS_TO_ANSWER)
            attempt.connect(address.removeprefix(scheme))


def _root_cause(error: BaseException) -> Any:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]  # one of them is there
    return error
