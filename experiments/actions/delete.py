"""``action=delete``: an endpoint is removed with everything that was created for it."""

from __future__ import annotations

from rich.console import Console

from experiments.config.compose import Composed
from experiments.reporting.console import print_plain
from experiments.serving.open import open_host


def delete_endpoint(composed: Composed, console: Console) -> int:
    """Delete the endpoint; return 0.

    Raises:
        InputError: There is no such endpoint, or byoe did not deploy it.
    """
    host = open_host(composed, console)
    host.delete()
    print_plain(console, f"endpoint {host.endpoint} is deleted, with its configuration and model.")
    return 0
