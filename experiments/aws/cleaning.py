"""``action=clean``: everything of ours that is left on this machine's Docker engine, listed, then removed."""

from __future__ import annotations

from contextlib import closing

from rich.console import Console

from experiments.aws.engine import LABEL, STUDY_LABEL, connect, list_containers, remove_container


def clean(console: Console) -> int:
    """List and remove our containers, networks and images; return 0.

    Raises:
        BackendUnavailable: The engine does not answer.
    """
    found = 0
    with closing(connect()) as client:
        for container in list_containers(client, [LABEL]):
            study = container.labels.get(STUDY_LABEL)
            what = f"of study {study}" if study else "made from our image"
            console.print(f"container {container.name}  {container.status}, {what}", highlight=False)
            remove_container(container)
            found += 1
        for network in client.networks.list(filters={"label": LABEL}):
            console.print(f"network {network.name}", highlight=False)
            network.remove()
            found += 1
        for image in client.images.list(filters={"label": LABEL}):
            names = ", ".join(image.tags) or image.short_id
            console.print(f"image {names}  {image.attrs['Size'] / 1e6:.0f} MB", highlight=False)
            client.images.remove(image.id, force=True)
            found += 1
    console.print(f"{found} removed." if found else "nothing of ours is on this engine.", highlight=False)
    return 0
