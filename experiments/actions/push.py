"""``action=push``: this project's image in the account's registry, for the jobs and endpoints of ``mode=remote``."""

from __future__ import annotations

import time
from dataclasses import replace

from rich.console import Console

from experiments.aws.account import Account, find_account
from experiments.aws.ecr import ARCHITECTURE, Registry
from experiments.aws.image_push import check_architecture, push_image
from experiments.aws.settings import user_tags
from experiments.config.compose import Composed
from experiments.config.schema import RemoteModeConfig, account_mode
from experiments.docker.engine import open_engine
from experiments.docker.image import REPOSITORY, ImageSpec, build_image_if_missing, configured_image
from experiments.errors import BackendUnavailable, ConfigError
from experiments.reporting.console import print_plain

_TAGS = {"byoe:role": "image"}


def push(composed: Composed, console: Console) -> int:
    """Build the image of the configuration, push it unless it is there, and say how jobs use it; return 0.

    Raises:
        ConfigError: The mode has no account, a value is not possible, or SageMaker does not run the image's
            architecture.
        BackendUnavailable: The engine does not answer, the build failed, or AWS refused.
    """
    mode = account_mode(composed.config.mode)
    if mode is None:
        name = composed.config.mode.name
        raise ConfigError(f"mode={name} pushes no image to an account: python run.py mode=remote action=push.")
    spec = configured_image(mode.image)
    account = find_account(mode.region, mode.profile)
    registry = Registry(account)
    with console.status("asking AWS"):
        repository = registry.address(REPOSITORY)
        there = None if repository is None else registry.architectures(REPOSITORY, spec.version)
    if there is None:
        address = _build_and_push(spec, mode, registry, repository, console)
    else:
        address = f"{repository}:{spec.version}"
        _check_there(address, there, spec, account)
        print_plain(console, f"{address} is there already, for linux/{ARCHITECTURE}: nothing is built or pushed.")
    print_plain(
        console,
        "\nFor the jobs and endpoints of mode=remote, in configs/local/mode/remote.yaml:\n\n"
        f"image: {{uri: {address}}}\n\nor on the command line:\n\nmode.image.uri={address}",
    )
    return 0


def _build_and_push(
    spec: ImageSpec, mode: RemoteModeConfig, registry: Registry, repository: str | None, console: Console
) -> str:
    """Return the image's address in the registry, which has it."""
    login = registry.login()  # before a build of minutes, which it may not be worth
    with open_engine() as client:
        if client.version()["Arch"] != ARCHITECTURE:
            spec = replace(spec, architecture=ARCHITECTURE)
        build_image_if_missing(spec, client, console)
        check_architecture(client, spec.tag, ARCHITECTURE)
        if repository is None:
            repository = registry.create(REPOSITORY, user_tags(mode) | _TAGS)
            print_plain(
                console,
                f"repository {repository} is made: its tags cannot be moved, its images are scanned as they come, and "
                "what lies in it is billed by the month.",
            )
        address = f"{repository}:{spec.version}"
        print_plain(console, f"pushing {spec.tag} to {address}.")
        began = time.monotonic()
        with console.status("pushing") as status:
            push_image(
                client, spec.tag, address, login, lambda text: status.update(text[: max(20, console.width - 10)])
            )
    if registry.architectures(REPOSITORY, spec.version) is None:
        raise BackendUnavailable(f"{address} was pushed, and AWS does not have it. Run the same command again.")
    print_plain(console, f"pushed in {time.monotonic() - began:.0f} s.")
    return address


def _check_there(address: str, architectures: list[str], spec: ImageSpec, account: Account) -> None:
    if ARCHITECTURE not in architectures:
        raise ConfigError(
            f"{address} is there already, for {', '.join(architectures)}, and SageMaker's instances are "
            f"{ARCHITECTURE}. `aws ecr batch-delete-image --region {account.region} --repository-name {REPOSITORY} "
            f"--image-ids imageTag={spec.version}` removes it; then run the same command again."
        )
