"""``action=status``: the endpoints on this machine, or with ``mode=remote`` what byoe has in the account."""

from __future__ import annotations

from rich.console import Console

from experiments.config.compose import Composed
from experiments.reporting.console import print_plain
from experiments.serving.open import open_host


def show_status(composed: Composed, console: Console) -> int:
    """Show what runs on the host; return 0, or 1 if an endpoint does not serve its model.

    Raises:
        InputError: There is no such endpoint, or the host is not available.
    """
    status = open_host(composed, console).status()
    for warning in status.warnings:
        print_plain(console, f"warning: {warning}", "yellow")
    for entry in status.entries:
        style = None if entry.healthy is None else "green" if entry.healthy else "red"
        print_plain(console, entry.title, style)
        for detail in entry.details:
            print_plain(console, f"  {detail}")
    if status.summary:
        print_plain(console, status.summary)
    return 0 if status.healthy else 1
