"""``action=push``: push byoe's image to the account's registry, for the jobs and endpoints of ``mode=remote``."""

from __future__ import annotations

import time
from dataclasses import replace

from rich.console import Console

from experiments.aws.account import Account, find_account
from experiments.aws.ecr import ARCHITECTURE, Registry
from experiments.aws.image_push import push_to_registry
from experiments.aws.settings import user_tags
from experiments.config.compose import Composed
from experiments.config.schema import RemoteModeConfig
from experiments.docker.engine import open_engine
from experiments.docker.image import REPOSITORY, ImageSpec, build_image_if_missing, configured_image
from experiments.docker.push import check_architecture
from experiments.errors import BackendUnavailable, ConfigError
from experiments.reporting.console import print_plain
from experiments.sagemaker_requests.tags import TAG_PREFIX

_TAGS = {f"{TAG_PREFIX}role": "image"}


def push(composed: Composed, console: Console) -> int:
    """Build the configured image, push it unless the registry has it, and print how jobs use it; return 0.

    Raises:
        ConfigError: The mode has no account, a value is invalid, or the image is for another architecture than
            SageMaker's.
        BackendUnavailable: The engine does not answer, the build failed, or AWS refused.
    """
    mode = composed.config.mode.account
    if mode is None:
        name = composed.config.mode.name
        raise ConfigError(f"mode={name} pushes no image to an account: python run.py mode=remote action=push.")
    spec = configured_image(mode.image)
    account = find_account(mode.region, mode.profile)
    registry = Registry(account)
    with console.status("checking the registry"):
        repository = registry.address(REPOSITORY)
        there = None if repository is None else registry.architectures(REPOSITORY, spec.version)
    if there is None:
        address = _build_and_push(spec, mode, registry, repository, console)
    else:
        address = f"{repository}:{spec.version}"
        _check_existing(address, there, spec, account)
        print_plain(console, f"{address} exists already, for linux/{ARCHITECTURE}: nothing is built or pushed.")
    print_plain(
        console,
        "\nFor the jobs and endpoints of mode=remote, in configs/local/mode/remote.yaml:\n\n"
        f"image: {{uri: {address}}}\n\nor on the command line:\n\nmode.image.uri={address}",
    )
    return 0


def _build_and_push(
    spec: ImageSpec, mode: RemoteModeConfig, registry: Registry, repository: str | None, console: Console
) -> str:
    """Build and push the image; return its address in the registry."""
    login = registry.login()  # before the build, which takes minutes, in case it is refused
    with open_engine() as client:
        if client.version()["Arch"] != ARCHITECTURE:
            spec = replace(spec, architecture=ARCHITECTURE)
        build_image_if_missing(spec, client, console)
        check_architecture(client, spec.tag, ARCHITECTURE)
        if repository is None:
            repository = registry.create(REPOSITORY, user_tags(mode) | _TAGS)
            print_plain(
                console,
                f"repository {repository} created: its tags are immutable, each pushed image is scanned, and its "
                "storage is billed by the month.",
            )
        address = f"{repository}:{spec.version}"
        print_plain(console, f"pushing {spec.tag} to {address}.")
        began = time.monotonic()
        with console.status("pushing") as status:
            push_to_registry(
                client, spec.tag, address, login, lambda text: status.update(text[: max(20, console.width - 10)])
            )
    if registry.architectures(REPOSITORY, spec.version) is None:
        raise BackendUnavailable(
            f"{address} was pushed, but the registry does not list it. Run the same command again."
        )
    print_plain(console, f"pushed in {time.monotonic() - began:.0f} s.")
    return address


def _check_existing(address: str, architectures: list[str], spec: ImageSpec, account: Account) -> None:
    if ARCHITECTURE not in architectures:
        raise ConfigError(
            f"{address} exists already, for {', '.join(architectures)}, and SageMaker's instances are "
            f"{ARCHITECTURE}. Remove it with `aws ecr batch-delete-image --region {account.region} --repository-name "
            f"{REPOSITORY} --image-ids imageTag={spec.version}`, then run the same command again."
        )
