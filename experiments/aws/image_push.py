"""byoe's image in an account's registry: built on this machine and pushed, unless the registry has it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.aws.account import AccessDenied, Account
from experiments.aws.ecr import ARCHITECTURE, DOCKER_MANIFEST, FoundImage, Login, Registry
from experiments.docker.engine import open_engine
from experiments.docker.image import REPOSITORY, ImageSpec, build_image_if_missing
from experiments.docker.push import PushFailed, check_architecture, push_image
from experiments.errors import BackendUnavailable, ConfigError
from experiments.reporting.console import print_plain
from experiments.sagemaker_requests.tags import TAG_PREFIX

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

_TAGS = {f"{TAG_PREFIX}role": "image"}
_ACTION = re.compile(r"not authorized to perform: (ecr:\w+)")
_DENIED = re.compile(r"\bdenied\b|\b403\b")


def push_image_if_missing(account: Account, spec: ImageSpec, tags: Mapping[str, str], console: Console) -> str:
    """Build byoe's image and push it, unless the registry has it; return its address there.

    Args:
        account: The account and region.
        spec: The image.
        tags: The user's tags of the repository, if it has to be created.
        console: Where the progress is shown.

    Raises:
        ConfigError: The image is for another architecture than SageMaker's.
        BackendUnavailable: The engine does not answer, the build failed, or AWS refused.
    """
    registry = Registry(account)
    with console.status("checking the registry"):
        repository = registry.address(REPOSITORY)
        there = None if repository is None else registry.find_image(REPOSITORY, spec.version)
    if there is None:
        return _build_and_push(spec, tags, registry, repository, console)
    address = f"{repository}:{spec.version}"
    _check_existing(address, there, spec, account)
    print_plain(console, f"{address} exists already, for linux/{ARCHITECTURE}: nothing is built or pushed.")
    return address


def _build_and_push(
    spec: ImageSpec, tags: Mapping[str, str], registry: Registry, repository: str | None, console: Console
) -> str:
    """Build and push the image; return its address in the registry."""
    login = registry.login()  # before the build, which takes minutes, in case it is refused
    with open_engine() as client:
        if client.version()["Arch"] != ARCHITECTURE:
            spec = replace(spec, architecture=ARCHITECTURE)
        build_image_if_missing(spec, client, console)
        check_architecture(client, spec.tag, ARCHITECTURE)
        if repository is None:
            repository = registry.create(REPOSITORY, {**tags, **_TAGS})
            print_plain(
                console,
                f"repository {repository} created: its tags are immutable, each pushed image is scanned, and its "
                "storage is billed by the month.",
            )
        address = f"{repository}:{spec.version}"
        print_plain(console, f"pushing {spec.tag} to {address}.")
        began = time.monotonic()
        with console.status("pushing") as status:
            _push_and_tag(
                client,
                spec,
                repository,
                registry,
                login,
                lambda text: status.update(text[: max(20, console.width - 10)]),
            )
    if registry.find_image(REPOSITORY, spec.version) is None:
        raise BackendUnavailable(
            f"{address} was pushed, but the registry does not list it. Run the same command again."
        )
    print_plain(console, f"pushed in {time.monotonic() - began:.0f} s.")
    return address


def _push_and_tag(
    client: DockerClient,
    spec: ImageSpec,
    repository: str,
    registry: Registry,
    login: Login,
    report: Callable[[str], None],
) -> None:
    """Push the image under a tag for the upload, then give it its own tag with a manifest that endpoints accept.

    An engine with containerd's image store pushes OCI's manifests, which endpoints do not accept, and a tag of this
    repository cannot be moved. The upload's tag is removed at the end, or by the next push after one that failed.
    """
    upload = f"{spec.version}-upload"
    registry.remove_tag(REPOSITORY, upload)
    _push(client, spec.tag, f"{repository}:{upload}", login, report)
    registry.tag_for_endpoints(REPOSITORY, upload, spec.version)
    registry.remove_tag(REPOSITORY, upload)


def _push(client: DockerClient, image: str, address: str, login: Login, report: Callable[[str], None]) -> None:
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


def _check_existing(address: str, image: FoundImage, spec: ImageSpec, account: Account) -> None:
    """Raise ConfigError if the image that has this tag cannot be used; its tag cannot be moved to another."""
    if ARCHITECTURE not in image.architectures:
        wrong = f"for {', '.join(image.architectures)}, and SageMaker's instances are {ARCHITECTURE}"
    elif image.media_type != DOCKER_MANIFEST:
        wrong = f"with a manifest of type {image.media_type}, and endpoints on SageMaker accept {DOCKER_MANIFEST}"
    else:
        return
    raise ConfigError(
        f"{address} exists already, {wrong}. Remove it with `aws ecr batch-delete-image --region {account.region} "
        f"--repository-name {REPOSITORY} --image-ids imageTag={spec.version}`, then run the same command again."
    )
