"""An image on this machine's engine, sent to a registry layer by layer; the login goes into the engine's call only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from experiments.aws.account import AccessDenied
from experiments.aws.ecr import Login
from experiments.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from docker import DockerClient

# The engine sends no event while a registry assembles a layer, nor while it waits before another attempt.
_SECONDS_OF_SILENCE = 600
_ACTION = re.compile(r"not authorized to perform: (ecr:\w+)")
_DENIED = re.compile(r"\bdenied\b|\b403\b")


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


def push_image(client: DockerClient, image: str, address: str, login: Login, report: Callable[[str], None]) -> None:
    """Push an image and return when the registry has it.

    Args:
        client: The engine's client.
        image: The image's name on the engine.
        address: Its name in the registry, with a tag; the engine does not keep it.
        login: The registry's login.
        report: Called with a line for each event, such as the progress of a layer.

    Raises:
        AccessDenied: The registry does not permit it.
        BackendUnavailable: The push failed for another reason.
    """
    repository, _, tag = address.rpartition(":")
    with _named(client, image, repository, tag), _pushing(client, repository, tag, login) as events:
        for event in events:
            if "error" in event:
                raise _failed(address, str(event["error"]), login)
            if "status" in event:
                report(_describe(event))


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


def _describe(event: Mapping[str, Any]) -> str:
    """Return a line about an event of the engine, which formats the bytes itself."""
    layer = f"layer {event['id']}: " if "id" in event else ""
    return f"{layer}{event['status']} {event.get('progress', '')}".rstrip()


def _failed(address: str, text: str, login: Login) -> BackendUnavailable:
    text = text.replace(login.password, "***").strip()
    missing = _ACTION.search(text)
    if missing:
        return AccessDenied.of(missing[1], f"push {address}")
    hint = " docs/aws.md has the IAM actions that a push needs." if _DENIED.search(text) else ""
    return BackendUnavailable(
        f"{address} could not be pushed: {text}.{hint} Run the same command again; layers that have arrived are not "
        "sent twice."
    )
