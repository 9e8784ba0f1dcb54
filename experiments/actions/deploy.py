"""``action=deploy``: a model is served by an endpoint, on this machine or on SageMaker."""

from __future__ import annotations

import sys

from rich.console import Console

from experiments.config.compose import Composed
from experiments.reporting.console import print_plain
from experiments.serving.base import Deployment
from experiments.serving.open import open_host


def deploy(composed: Composed, console: Console) -> int:
    """Serve the model, and show where it is served and what to type next; return 0.

    Raises:
        InputError: A mistake in the configuration, or the host is not available.
        DeployFailed: The model could not be served.
    """
    host = open_host(composed, console)

    def announce(deployment: Deployment) -> None:
        print_plain(console, deployment.summary)
        commands = "\n".join(f"  {command}" for command in host.next_commands(deployment.model))
        print_plain(console, f"\n{commands}\n")
        sys.stdout.flush()  # the host may have minutes of work left

    host.deploy(announce)
    return 0
