"""What byoe has created on this machine's engine and nothing uses any more: containers, networks and images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.docker.engine import ENDPOINT_LABEL, LABEL, STUDY_LABEL, list_containers, remove_container

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.images import Image
    from docker.models.networks import Network


@dataclass(frozen=True)
class Leftovers:
    """What can be removed from an engine.

    Attributes:
        containers: Containers that nothing uses.
        networks: Networks of no container that is kept.
        images: Images of no container that is kept.
        kept: By container that is in use, the reason why it is kept.
    """

    containers: list[Container]
    networks: list[Network]
    images: list[Image]
    kept: dict[Container, str]

    def lines(self) -> Iterator[str]:
        """Yield a line of text for each thing that can be removed."""
        for container in self.containers:
            study, endpoint = container.labels.get(STUDY_LABEL), container.labels.get(ENDPOINT_LABEL)
            what = f"of study {study}" if study else f"of endpoint {endpoint}" if endpoint else "made from byoe's image"
            yield f"container {container.name}  {container.status}, {what}"
        for network in self.networks:
            yield f"network {network.name}"
        for image in self.images:
            names = ", ".join(image.tags) or image.short_id
            yield f"image {names}  {image.attrs['Size'] / 1e6:.0f} MB"


def find_leftovers(
    client: DockerClient, reason_to_keep: Callable[[str, str, Mapping[str, str]], str | None]
) -> Leftovers:
    """Return what carries byoe's label and is not needed by a container that is kept.

    Args:
        client: The engine's.
        reason_to_keep: Returns why the container of this name, status and labels is in use, or None if it is not.
    """
    containers = list_containers(client, [LABEL])
    reasons = {
        container: reason_to_keep(container.name, container.status, container.labels) for container in containers
    }
    kept = {container: reason for container, reason in reasons.items() if reason is not None}
    names = {container.name for container in kept}
    networks = [network for network in client.networks.list(filters={"label": LABEL}) if network.name not in names]
    if any(ENDPOINT_LABEL not in container.labels for container in kept):
        # A running study starts and ends SDK jobs, each with a network of its own.
        networks = [network for network in networks if ENDPOINT_LABEL in (network.attrs["Labels"] or {})]
    in_use = {container.image.id for container in kept if container.image is not None}
    images = [image for image in client.images.list(filters={"label": LABEL}) if image.id not in in_use]
    return Leftovers([container for container in containers if container not in kept], networks, images, kept)


def remove_leftovers(client: DockerClient, leftovers: Leftovers) -> list[str]:
    """Remove containers, networks and images; return a sentence for each that the engine did not remove."""
    from docker.errors import APIError

    failures = []
    for container in leftovers.containers:
        remove_container(container)
    for network in leftovers.networks:
        try:
            network.remove()
        except APIError as error:
            failures.append(f"network {network.name} stays: {error.explanation}")
    for image in leftovers.images:
        try:
            client.images.remove(image.id, force=True)
        except APIError as error:
            failures.append(f"image {image.short_id} stays: {error.explanation}")
    return failures
