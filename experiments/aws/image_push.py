"""Push an image to an account's registry."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from experiments.aws.account import AccessDenied
from experiments.aws.ecr import Login
from experiments.docker.push import PushFailed, push_image
from experiments.errors import BackendUnavailable

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

_ACTION = re.compile(r"not authorized to perform: (ecr:\w+)")
_DENIED = re.compile(r"\bdenied\b|\b403\b")


def push_to_registry(
    client: DockerClient, image: str, address: str, login: Login, report: Callable[[str], None]
) -> None:
    """Push an image and return when the registry has it.

    Args:
        client: The engine's client.
        image: The image's name on the engine.
        address: Its name in the registry, with a tag.
        login: The registry's login.
        report: Called with a line for each event, such as the progress of a layer.

    Raises:
        AccessDenied: The registry does not permit it.
        BackendUnavailable: The push failed for another reason.
    """
    try:
        push_image(client, image, address, login.username, login.password, report)
    except PushFailed as error:
        raise _failed(address, str(error), login) from None


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
