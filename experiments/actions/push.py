"""``action=push``: push byoe's image to the account's registry, for the jobs and endpoints of ``mode=remote``."""

from __future__ import annotations

from rich.console import Console

from experiments.aws.account import find_account
from experiments.aws.image_push import push_image_if_missing
from experiments.aws.settings import user_tags
from experiments.config.compose import Composed
from experiments.docker.image import configured_image
from experiments.errors import ConfigError
from experiments.reporting.console import print_plain
from experiments.system.project import COMMAND


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
        raise ConfigError(f"mode={name} pushes no image to an account: {COMMAND} mode=remote action=push.")
    spec = configured_image(mode.image)
    address = push_image_if_missing(find_account(mode.region, mode.profile), spec, user_tags(mode), console)
    print_plain(
        console,
        "\nFor the jobs and endpoints of mode=remote, in configs/local/mode/remote.yaml:\n\n"
        f"image: {{uri: {address}}}\n\nor on the command line:\n\nmode.image.uri={address}",
    )
    return 0
