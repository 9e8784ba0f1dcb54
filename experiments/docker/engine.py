"""The Docker engine on this machine: whether it is there, and what of ours is on it."""

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

if TYPE_CHECKING:
    from docker import DockerClient as DockerClient  # noqa: PLC0414  # for annotations elsewhere
    from docker.models.containers import Container

# Everything that we make on an engine has this label; its value says what it is.
LABEL = "byoe"
STUDY_LABEL = "byoe.study"
RUN_LABEL = "byoe.run"
FOLDER_LABEL = "byoe.folder"
ENDPOINT_LABEL = "byoe.endpoint"
# What every engine has; others are made by users.
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
    """The engine could not run a container in the middle of a study; what is finished is kept."""

    def __init__(self, cause: BaseException) -> None:
        explanation = getattr(cause, "explanation", None)
        what = f"could not run a container: {explanation}" if explanation else f"does not answer: {_root_cause(cause)}"
        super().__init__(
            f"the Docker engine {what}. What is finished is kept. Look at it with python run.py action=doctor, then "
            "run the same command again."
        )


def connect() -> DockerClient:
    """Return a client of the engine that the ``docker`` command uses, which the caller closes.

    Raises:
        BackendUnavailable: Docker is not installed, or its engine does not answer; the message has the command that
            mends it.
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
    """Yield a client of the engine; what goes wrong with it meanwhile is said in a sentence.

    Raises:
        BackendUnavailable: It does not answer from the start.
        EngineFailed: It failed or ended meanwhile.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    with closing(connect()) as client:
        try:
            yield client
        except (DockerException, RequestException) as error:
            raise EngineFailed(error) from error


def check_engine() -> None:
    """Raise EngineFailed unless the engine answers: a job that died with its engine says nothing about itself."""
    try:
        connect().close()
    except BackendUnavailable as error:
        raise EngineFailed(error) from error


def compose_version() -> str | None:
    """Return the version of compose that SageMaker's local mode will use, or None if it will find none."""
    plugin = answer(["docker", "compose", "version", "--short"])
    if plugin is not None and int(plugin.lstrip("v").partition(".")[0] or 0) >= 2:
        return plugin.lstrip("v")
    return answer(["docker-compose", "version", "--short"])


def answer(command: list[str]) -> str | None:
    """Return what a command prints, or None if it fails, is not there or says nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def is_rootless(client: DockerClient) -> bool:
    """Whether the engine runs without root, so that a container's root is this user."""
    return any("rootless" in option for option in client.info().get("SecurityOptions") or ())


def container_user(client: DockerClient) -> str:
    """Return whom containers run as, so that the files they leave are this user's: ``uid:gid``."""
    return "0:0" if is_rootless(client) else f"{os.getuid()}:{os.getgid()}"


def labels(kind: str, **more: str) -> dict[str, str]:
    """Return the labels of something that we make, such as ``labels("trial", study="mine", run="...")``."""
    return {LABEL: kind} | {f"{LABEL}.{name}": text for name, text in more.items()}


def remove_containers(client: DockerClient, wanted: Mapping[str, str]) -> int:
    """Kill and remove the containers that have these labels; return how many there were."""
    found = list_containers(client, [f"{key}={text}" for key, text in wanted.items()])
    for container in found:
        remove_container(container)
    return len(found)


def list_containers(client: DockerClient, wanted: Sequence[str]) -> list[Container]:
    """Return the containers, running or not, that have all of these labels, each ``key`` or ``key=value``."""
    # One may be gone before it is looked at.
    found: list[Container] = client.containers.list(all=True, ignore_removed=True, filters={"label": list(wanted)})
    return found


def remove_container(container: Container) -> None:
    """Kill and remove a container, or leave it to whoever is removing it."""
    from docker.errors import APIError, NotFound

    with suppress(NotFound):  # it has removed itself meanwhile
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if error.status_code != 409:  # its removal is under way already
                raise


def _host() -> str | None:
    # The command line knows contexts (Docker Desktop, Colima, Podman), the Python client does not.
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    host = answer(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    context = os.environ.get("DOCKER_CONTEXT")
    if host is None and context:
        raise BackendUnavailable(
            f"DOCKER_CONTEXT={context} is none of Docker's contexts. docker context ls lists them; correct or unset it."
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
