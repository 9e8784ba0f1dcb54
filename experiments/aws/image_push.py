"""An image on this machine's engine, sent to a registry layer by layer; the login goes into the engine's call only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from experiments.aws.account import AccessDenied
from experiments.aws.ecr import Login
from experiments.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from docker import DockerClient

# The engine says nothing while a registry puts a layer's parts together, nor while it waits to try again.
_SECONDS_OF_SILENCE = 600
# One of them is missing where the registry does not say which.
_ACTIONS = (
    "ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload or "
    "ecr:PutImage"
)
_ACTION = re.compile(r"not authorized to perform: (ecr:\w+)")
_DENIED = re.compile(r"\bdenied\b|\b403\b")
_NO_LOGIN = re.compile(r"no basic auth credentials|unauthorized|authentication required|token has expired")


@dataclass(frozen=True)
class Pushed:
    """What a push sent.

    Attributes:
        layers: How many layers.
        size: Their bytes, before compression.
        there: How many layers the registry had.
    """

    layers: int
    size: int
    there: int


def check_architecture(client: DockerClient, image: str, architecture: str) -> None:
    """Raise ConfigError unless an image of this engine's is for Linux on that architecture."""
    found = client.images.get(image).attrs
    platform = f"{found['Os']}/{found['Architecture']}"
    if platform != f"linux/{architecture}":
        raise ConfigError(
            f"image {image} is for {platform}, and SageMaker's instances are linux/{architecture}: it is not pushed. "
            f"Name a base for linux/{architecture} by mode.image.base, or pull that one for it and remove this image "
            f"by `docker image rm {image}`."
        )


def push_image(client: DockerClient, image: str, address: str, login: Login, console: Console) -> Pushed:
    """Push an image and return when the registry has it.

    Args:
        client: The engine's.
        image: Its name on the engine.
        address: Its name in the registry, with a tag; the engine does not keep it.
        login: What the registry takes.
        console: Where the bytes of each layer are shown.

    Raises:
        AccessDenied: The registry does not permit it.
        BackendUnavailable: It did not go through for another reason.
    """
    repository, _, tag = address.rpartition(":")
    with (
        _named(client, image, repository, tag),
        _Layers(console) as layers,
        _pushing(client, repository, tag, login) as events,
    ):
        for event in events:
            if "error" in event:
                raise _failed(address, str(event["error"]), login)
            layers.show(event)
    return layers.pushed


@contextmanager
def _pushing(client: DockerClient, repository: str, tag: str, login: Login) -> Iterator[Iterable[dict[str, Any]]]:
    """Let the engine push while the block lasts; yield what it says of it."""
    from docker.auth import encode_header

    # Not by the client's own method, which leaves the connection open, and the engine pushing, when it is given up.
    with client.api.post(
        f"{client.api.base_url}/v{client.api.api_version}/images/{repository}/push",
        params={"tag": tag},
        headers={"X-Registry-Auth": encode_header({"username": login.username, "password": login.password})},
        stream=True,
        timeout=_SECONDS_OF_SILENCE,
    ) as answer:
        if answer.ok:
            yield map(json.loads, filter(None, answer.iter_lines()))
        else:
            yield [{"error": answer.json().get("message", answer.reason)}]


@contextmanager
def _named(client: DockerClient, image: str, repository: str, tag: str) -> Iterator[None]:
    """Give an image the name that it is to have in the registry, for a while."""
    client.images.get(image).tag(repository, tag)
    try:
        yield
    finally:
        client.images.remove(f"{repository}:{tag}", noprune=True)


class _Layers:
    """The layers of a push: on a terminal, a bar for each that is being sent. A context manager."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("layer {task.description}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._sizes: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}
        self._there: set[str] = set()

    def __enter__(self) -> _Layers:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @property
    def pushed(self) -> Pushed:
        """What was sent so far."""
        return Pushed(len(self._sizes), sum(self._sizes.values()), len(self._there))

    def show(self, event: Mapping[str, Any]) -> None:
        """Take what the engine says of a layer."""
        layer, status = event.get("id"), str(event.get("status", ""))
        if layer is None:
            return
        if status == "Layer already exists" or status.startswith("Mounted from"):
            self._there.add(layer)
        elif status == "Pushing":
            detail = event.get("progressDetail") or {}
            done = int(detail.get("current", 0))
            # The engine's own count goes a little beyond the size that it gave.
            self._sizes[layer] = max(int(detail.get("total", 0)), done, self._sizes.get(layer, 0))
            if layer not in self._tasks:
                self._tasks[layer] = self._bars.add_task(layer, total=None)
            self._bars.update(self._tasks[layer], description=layer, completed=done, total=self._sizes[layer] or None)
        elif layer in self._tasks:  # "Pushed", or when it is tried again
            self._bars.update(self._tasks[layer], description=f"{layer} {status}", visible=status != "Pushed")


def _failed(address: str, text: str, login: Login) -> BackendUnavailable:
    text = text.replace(login.password, "***").strip()
    action = _ACTION.search(text)
    if action or (_DENIED.search(text) and not _NO_LOGIN.search(text)):
        return AccessDenied.of(action[1] if action else _ACTIONS, f"push {address}")
    if _NO_LOGIN.search(text):
        return BackendUnavailable(
            f"the registry does not take the login for {address}: {text}. Run the same command again."
        )
    return BackendUnavailable(
        f"{address} could not be pushed: {text}. Run the same command again; what has arrived is not sent twice."
    )
