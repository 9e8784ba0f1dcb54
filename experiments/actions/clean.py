"""``action=clean``: everything of ours that is left on this machine's Docker engine, listed, then removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.docker.engine import (
    ENDPOINT_LABEL,
    FOLDER_LABEL,
    LABEL,
    STUDY_LABEL,
    list_containers,
    open_engine,
    remove_container,
)
from experiments.reporting.console import print_plain
from experiments.serving.records import Records
from experiments.study.ledger import is_held

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.images import Image
    from docker.models.networks import Network


def clean(console: Console) -> int:
    """List, then remove our containers, networks and images, but what running studies and endpoints need; return 0.

    Raises:
        BackendUnavailable: The engine does not answer.
    """
    from docker.errors import APIError

    with open_engine() as client:
        containers = list_containers(client, [LABEL])
        kept = {container: why for container in containers if (why := _wanted(container)) is not None}
        doomed = [container for container in containers if container not in kept]
        names = {container.name for container in kept}
        networks = [network for network in client.networks.list(filters={"label": LABEL}) if network.name not in names]
        if any(ENDPOINT_LABEL not in container.labels for container in kept):
            # Cold jobs come and go, and their network with them; an endpoint's is its own.
            networks = [network for network in networks if ENDPOINT_LABEL in (network.attrs["Labels"] or {})]
        in_use = {container.image.id for container in kept if container.image is not None}
        images = [image for image in client.images.list(filters={"label": LABEL}) if image.id not in in_use]
        for line in _lines(doomed, networks, images):
            print_plain(console, line)
        for container, why in kept.items():
            print_plain(console, f"kept: container {container.name}, {why}")
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
        print_plain(console, failure, "yellow")
    removed = len(doomed) + len(networks) + len(images) - len(failures)
    print_plain(console, f"{removed} removed." if removed else "nothing of ours was removed.")
    return 0


def _wanted(container: Container) -> str | None:
    """Return why a container is left alone: its study is being run, or it serves an endpoint; else None."""
    folder, endpoint = container.labels.get(FOLDER_LABEL), container.labels.get(ENDPOINT_LABEL)
    if folder is None:
        return None
    if endpoint is None:
        return f"study {container.labels[STUDY_LABEL]} is running" if is_held(Path(folder)) else None
    record = Records(Path(folder).parent).find(endpoint)
    if record is None or record.container != container.name:
        return None
    how = "is served" if container.status == "running" else f"is recorded, and its container is {container.status}"
    return f"endpoint {endpoint} {how}; python run.py action=delete endpoint={endpoint} in its folder removes it"


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
