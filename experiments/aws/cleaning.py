"""``action=clean``: everything of ours that is left on this machine's Docker engine, listed, then removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.aws.engine import (
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


def clean(console: Console) -> int:
    """List, then remove our containers, networks and images, but those of studies that are running; return 0.

    Raises:
        BackendUnavailable: The engine does not answer.
    """
    from docker.errors import APIError

    with closing(connect()) as client:
        containers = list_containers(client, [LABEL])
        kept = [container for container in containers if _is_wanted(container)]
        doomed = [container for container in containers if container not in kept]
        # Cold jobs come and go, and their network with them.
        networks = [] if kept else client.networks.list(filters={"label": LABEL})
        in_use = {container.image.id for container in kept if container.image is not None}
        images = [image for image in client.images.list(filters={"label": LABEL}) if image.id not in in_use]
        for line in _lines(doomed, networks, images):
            console.print(line, highlight=False, markup=False)
        for container in kept:
            study = container.labels[STUDY_LABEL]
            console.print(f"kept: container {container.name}, study {study} is running", highlight=False, markup=False)
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


def _is_wanted(container: Container) -> bool:
    """Whether the study that the container belongs to is being run by a process on this machine."""
    folder = container.labels.get(FOLDER_LABEL)
    return folder is not None and is_held(Path(folder))


def _lines(containers: list[Container], networks: list[Network], images: list[Image]) -> Iterator[str]:
    for container in containers:
        study = container.labels.get(STUDY_LABEL)
        what = f"of study {study}" if study else "made from our image"
        yield f"container {container.name}  {container.status}, {what}"
    for network in networks:
        yield f"network {network.name}"
    for image in images:
        names = ", ".join(image.tags) or image.short_id
        yield f"image {names}  {image.attrs['Size'] / 1e6:.0f} MB"
