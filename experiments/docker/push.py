"""Push an image from this machine's engine to a registry; the login is passed to the engine for this call only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from experiments.errors import ConfigError

if TYPE_CHECKING:
    from docker import DockerClient

# The engine sends no event while a registry assembles a layer, nor while it waits before another attempt.
_SECONDS_WITHOUT_EVENTS = 600


class PushFailed(Exception):
    """The registry or the engine refused a push; the message is theirs."""


def check_architecture(client: DockerClient, image: str, architecture: str) -> None:
    """Raise ConfigError unless an image on this engine is for Linux and that architecture."""
    found = client.images.get(image).attrs
    platform = f"{found['Os']}/{found['Architecture']}"
    if platform != f"linux/{architecture}":
        raise ConfigError(
            f"image {image} is for {platform}, and SageMaker's instances are linux/{architecture}: it is not pushed. "
            f"Set mode.image.base to an image for linux/{architecture}, or pull the base with --platform "
            f"linux/{architecture}, and remove this image with `docker image rm {image}`."
        )


def push_image(
    client: DockerClient, image: str, address: str, username: str, password: str, report: Callable[[str], None]
) -> None:
    """Push an image and return when the registry has it.

    Args:
        client: The engine's client.
        image: The image's name on the engine.
        address: Its name in the registry, with a tag; the engine does not keep it.
        username: The registry's login.
        password: The registry's login.
        report: Called with a line for each event, such as the progress of a layer.

    Raises:
        PushFailed: The push failed.
    """
    repository, _, tag = address.rpartition(":")
    with _named(client, image, repository, tag), _pushing(client, repository, tag, username, password) as events:
        for event in events:
            if "error" in event:
                raise PushFailed(str(event["error"]))
            if "status" in event:
                report(_describe(event))


@contextmanager
def _pushing(
    client: DockerClient, repository: str, tag: str, username: str, password: str
) -> Iterator[Iterable[dict[str, Any]]]:
    """Have the engine push an image, and yield its events."""
    from docker.auth import encode_header

    # docker-py's push keeps the connection open when the caller stops reading, so Ctrl-C would not end the push.
    with client.api.post(
        f"{client.api.base_url}/v{client.api.api_version}/images/{repository}/push",
        params={"tag": tag},
        headers={"X-Registry-Auth": encode_header({"username": username, "password": password})},
        stream=True,
        timeout=_SECONDS_WITHOUT_EVENTS,
    ) as answer:
        if answer.ok:
            yield map(json.loads, filter(None, answer.iter_lines()))
        else:
            yield [{"error": answer.json().get("message", answer.reason)}]


@contextmanager
def _named(client: DockerClient, image: str, repository: str, tag: str) -> Iterator[None]:
    """Tag an image with its name in the registry for the duration of the block."""
    client.images.get(image).tag(repository, tag)
    try:
        yield
    finally:
        client.images.remove(f"{repository}:{tag}", noprune=True)


def _describe(event: Mapping[str, Any]) -> str:
    """Return a line about an event of the engine, which formats the bytes itself."""
    layer = f"layer {event['id']}: " if "id" in event else ""
    return f"{layer}{event['status']} {event.get('progress', '')}".rstrip()
