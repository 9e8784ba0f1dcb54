"""``action=clean``: everything of ours that is left on this machine's Docker engine, listed, then removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.aws.engine import (
    ENDPOINT_LABEL,
    FOLDER_LABEL,
    LABEL,
    STUDY_LABEL,
    connect,
    list_containers,
    remove_container,
)
from experiments.ledger import is_held

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.images import Image
    from docker.models.networks import Network


def clean(endpoints: Mapping[str, str], console: Console) -> int:
    """List, then remove our containers, networks and images, but what running studies and endpoints need; return 0.

    Args:
        endpoints: By container that serves an endpoint, the endpoint's name.
        console: Where it is listed.

    Raises:
        BackendUnavailable: The engine does not answer.
    """
    from docker.errors import APIError

    with closing(connect()) as client:
        containers = list_containers(client, [LABEL])
        kept = [container for container in containers if container.name in endpoints or _is_wanted(container)]
        doomed = [container for container in containers if container not in kept]
        networks = client.networks.list(filters={"label": LABEL})
        if any(container.name not in endpoints for container in kept):
            # Cold jobs come and go, and their network with them.
            networks = [network for network in networks if ENDPOINT_LABEL in _labels(network)]
        networks = [network for network in networks if network.name not in endpoints]
        in_use = {container.image.id for container in kept if container.image is not None}
        images = [image for image in client.images.list(filters={"label": LABEL}) if image.id not in in_use]
        for line in _lines(doomed, networks, images):
            console.print(line, highlight=False, markup=False)
        for container in kept:
            why = f"study {container.labels.get(STUDY_LABEL)} is running"
            if container.name in endpoints:
                name = endpoints[container.name]
                why = f"endpoint {name} is served; python run.py action=delete endpoint={name} removes it"
            console.print(f"kept: container {container.name}, {why}", highlight=False, markup=False, soft_wrap=True)
        failures = []
        for container in doomed:
            remove_container(container)
        for network in networks:
            try:
                network.remove()
            except APIError as error:
                failures.append(f"network {network.name} stays: {error.explanation}")
        for image in images:
            try:
                client.images.remove(image.id, force=True)
            except APIError as error:
                failures.append(f"image {image.short_id} stays: {error.explanation}")
    for failure in failures:
        console.print(failure, style="yellow", highlight=False, markup=False)
    removed = len(doomed) + len(networks) + len(images) - len(failures)
    console.print(f"{removed} removed." if removed else "nothing of ours was removed.", highlight=False)
    return 0


def _labels(network: Network) -> Mapping[str, str]:
    found: Mapping[str, str] = network.attrs.get("Labels") or {}
    return found


def _is_wanted(container: Container) -> bool:
    """Whether the study that the container belongs to is being run by a process on this machine."""
    folder = container.labels.get(FOLDER_LABEL)
    return folder is not None and is_held(Path(folder))


def _lines(containers: list[Container], networks: list[Network], images: list[Image]) -> Iterator[str]:
    for container in containers:
        study, endpoint = container.labels.get(STUDY_LABEL), container.labels.get(ENDPOINT_LABEL)
        what = f"of study {study}" if study else f"of endpoint {endpoint}" if endpoint else "made from our image"
        yield f"container {container.name}  {container.status}, {what}"
    for network in networks:
        yield f"network {network.name}"
    for image in images:
        names = ", ".join(image.tags) or image.short_id
        yield f"image {names}  {image.attrs['Size'] / 1e6:.0f} MB"
