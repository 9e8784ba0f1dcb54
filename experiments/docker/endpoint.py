"""Endpoints as containers on this machine's engine, started from the requests that create one on SageMaker.

The SDK's own local endpoint ends with its process, listens on all interfaces and has no limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.docker.engine import (
    ENDPOINT_LABEL,
    FOLDER_LABEL,
    EngineFailed,
    container_user,
    labels,
    list_containers,
    remove_container,
)
from experiments.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

SERVER_PORT = "8080/tcp"
MODEL_PLACE = "/opt/ml/model"
# Longer than the server waits for requests that are running.
SECONDS_TO_DRAIN = 40
_MOST_PROCESSES = 512
_LOG = {"max-size": "10m", "max-file": "2"}


@dataclass(frozen=True)
class Limits:
    """What an endpoint's container may use.

    Attributes:
        port: Its port on 127.0.0.1; None for a free one.
        memory_bytes: Its memory; None for no limit.
        cpus: Its cores; None for all.
        read_only: Whether its file system is read-only.
        isolated: Whether it cannot reach the network.
    """

    port: int | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    read_only: bool = False
    isolated: bool = False


@dataclass(frozen=True)
class Started:
    """A container that was started.

    Attributes:
        container: Its name.
        network: Its network's name.
        url: The address at which it will answer.
    """

    container: str
    network: str
    url: str


def start_container(
    client: DockerClient, requests: Mapping[str, Any], folder: Path, model_dir: Path, limits: Limits
) -> Started:
    """Start the container of an endpoint.

    Args:
        client: The engine's.
        requests: By operation, as ``endpoint_requests`` returns them.
        folder: The endpoint's folder, which identifies its containers: a name may be used again in another folder.
        model_dir: The unpacked model.
        limits: What the container may use.

    Raises:
        ConfigError: The port is taken.
        EngineFailed: The engine could not run it.
    """
    from docker.errors import APIError
    from docker.types import LogConfig

    model, endpoint = requests["CreateModel"], requests["CreateEndpoint"]["EndpointName"]
    name = f"byoe-{model['ModelName']}"
    own_labels = labels("endpoint", endpoint=endpoint, folder=str(folder))
    memory = limits.memory_bytes
    container = None
    _make_network(client, name, own_labels, isolated=limits.isolated)
    try:
        container = client.containers.create(
            model["PrimaryContainer"]["Image"],
            ["serve"],
            name=name,
            environment=model["PrimaryContainer"]["Environment"],
            labels=own_labels,
            network=name,
            ports={SERVER_PORT: ("127.0.0.1", limits.port)},
            volumes={str(model_dir.absolute()): {"bind": MODEL_PLACE, "mode": "ro"}},
            user=container_user(client),
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=limits.read_only,
            tmpfs={"/tmp": "mode=1777"},  # noqa: S108  # the container's own
            pids_limit=_MOST_PROCESSES,
            log_config=LogConfig(type="json-file", config=_LOG),
            **({} if memory is None else {"mem_limit": memory, "memswap_limit": memory}),
            **({} if limits.cpus is None else {"nano_cpus": round(limits.cpus * 1e9)}),
        )
        container.start()
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"][SERVER_PORT][0]["HostPort"]
    except BaseException as error:
        with suppress(Exception):  # the engine may have stopped, and its containers with it
            stop_container(client, name, name, seconds=0)
        explanation = str(getattr(error, "explanation", None) or "")
        if isinstance(error, APIError) and ("already allocated" in explanation or "already in use" in explanation):
            raise ConfigError(
                f"serving.port={limits.port} is taken on 127.0.0.1. Choose another, or leave it out for a free one."
            ) from None
        if isinstance(error, Exception):
            raise EngineFailed(error) from error
        raise
    return Started(name, name, f"http://127.0.0.1:{port}")


def stop_container(client: DockerClient, container: str, network: str, seconds: int) -> None:
    """Stop a container, which has some seconds to answer its last requests, and remove it with its network."""
    from docker.errors import APIError, NotFound

    with suppress(NotFound):
        found = client.containers.get(container)
        if seconds:
            with suppress(APIError):  # it has ended by itself
                found.stop(timeout=seconds)
        remove_container(found)
    with suppress(NotFound, APIError):
        client.networks.get(network).remove()


def remove_other_versions(client: DockerClient, folder: Path, kept: str | None) -> None:
    """Remove an endpoint's containers and networks except one version's: a killed command may have left some."""
    from docker.errors import APIError

    mark = f"{FOLDER_LABEL}={folder}"
    for container in list_containers(client, [ENDPOINT_LABEL, mark]):
        if container.name != kept:
            remove_container(container)
    for network in client.networks.list(filters={"label": [ENDPOINT_LABEL, mark]}):
        if network.name != kept:
            with suppress(APIError):  # in use
                network.remove()


def container_state(client: DockerClient, container: str) -> str:
    """Return ``running``, or why it is not: ``removed``, ``killed for memory``, ``exited (3)``."""
    from docker.errors import NotFound

    try:
        found = client.containers.get(container)
    except NotFound:
        return "removed"
    if found.status == "running":
        return "running"
    facts = found.attrs["State"]
    return "killed for memory" if facts["OOMKilled"] else f"{found.status} ({facts['ExitCode']})"


def log_tail(client: DockerClient, container: str, lines: int) -> list[str]:
    """Return the last lines of a container's log; none if it was removed or is being removed."""
    from docker.errors import APIError

    try:
        log: bytes = client.containers.get(container).logs(tail=lines)
    except APIError as error:
        if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise
        return []
    return log.decode(errors="replace").splitlines()


def last_requests(client: DockerClient, container: str, number: int) -> list[dict[str, Any]]:
    """Return the server's log entries of the last requests."""
    found = []
    for line in log_tail(client, container, 10 * number):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and "request_id" in entry:
                found.append(entry)
    return found[-number:]


def peak_memory(client: DockerClient, container: str) -> int | None:
    """Return the peak memory of a container in bytes, or None if the kernel does not report it."""
    found: Container = client.containers.get(container)
    most = found.stats(stream=False)["memory_stats"].get("max_usage")
    if most:
        return int(most)
    code, output = found.exec_run(["cat", "/sys/fs/cgroup/memory.peak"])
    return int(output) if code == 0 and output.strip().isdigit() else None


def check_network(name: str) -> bool:
    """Return whether containers of this ``mode.network`` cannot reach the network.

    Raises:
        BackendUnavailable: An endpoint cannot have such a network.
    """
    if name not in ("none", "bridge"):
        raise BackendUnavailable(
            f"mode.network={name}: an endpoint has its own network. Use none, without a way to other machines, or "
            "bridge, with one."
        )
    return name == "none"


def _make_network(client: DockerClient, name: str, own_labels: Mapping[str, str], *, isolated: bool) -> None:
    # A network that is internal in Docker's sense publishes no ports. Without masquerading, packets leave but their
    # answers do not return, and requests from this machine still arrive.
    options = {"com.docker.network.bridge.enable_ip_masquerade": "false"} if isolated else {}
    client.networks.create(name, driver="bridge", options=options, labels=dict(own_labels), check_duplicate=True)
