"""``action=clean``: what byoe has left on this machine's engine or in the account is listed, then removed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from experiments.aws.inventory import open_inventory
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.schema import RemoteModeConfig
from experiments.docker.engine import ENDPOINT_LABEL, FOLDER_LABEL, STUDY_LABEL, open_engine
from experiments.docker.leftovers import find_leftovers, remove_leftovers
from experiments.reporting.console import print_plain
from experiments.serving.records import Records
from experiments.study.ledger import is_held

# What is done with each kind of resource that is not deleted.
_DONE = {"tuning job": "being stopped", "training job": "being stopped", "warm pool": "ended"}


def clean(composed: Composed, console: Console) -> int:
    """Clean where the configured mode runs; return 0.

    Raises:
        BackendUnavailable: The engine does not answer, or AWS refused.
    """
    mode = composed.config.mode.account
    if mode is None:
        _clean_engine(console)
    else:
        _clean_account(mode, console)
    return 0


def _clean_engine(console: Console) -> None:
    """Remove byoe's containers, networks and images, except those that running studies and endpoints need."""
    with open_engine() as client:
        found = find_leftovers(client, _reason_to_keep)
        for line in found.lines():
            print_plain(console, line)
        for container, reason in found.kept.items():
            print_plain(console, f"kept: container {container.name}, {reason}")
        failures = remove_leftovers(client, found)
    for failure in failures:
        print_plain(console, failure, "yellow")
    removed = len(found.containers) + len(found.networks) + len(found.images) - len(failures)
    print_plain(console, f"{removed} removed." if removed else "nothing was removed.")


def _reason_to_keep(name: str, status: str, labels: Mapping[str, str]) -> str | None:
    """Return why a container is kept: its study is running, or it serves an endpoint; else None."""
    folder, endpoint = labels.get(FOLDER_LABEL), labels.get(ENDPOINT_LABEL)
    if folder is None:
        return None
    if endpoint is None:
        return f"study {labels[STUDY_LABEL]} is running" if is_held(Path(folder)) else None
    record = Records(Path(folder).parent).find(endpoint)
    if record is None or record.container != name:
        return None
    how = "is served" if status == "running" else f"is recorded, and its container is {status}"
    delete = typed_command(["action=delete", f"endpoint={endpoint}"])
    return f"endpoint {endpoint} {how}; to delete it, run {delete} in its folder"


def _clean_account(mode: RemoteModeConfig, console: Console) -> None:
    """Stop byoe's running jobs, and delete its endpoints and what interrupted commands have left of endpoints."""
    inventory = open_inventory(mode)
    with console.status("reading the account"):
        found = [
            resource for resource in inventory.resources(ended=False) if resource.costs or resource.part is not None
        ]
    for resource in found:
        print_plain(console, resource.line)
    for resource in found:
        inventory.remove(resource)
        print_plain(console, f"{resource.kind} {resource.name} is {_DONE.get(resource.kind, 'deleted')}.")
    if not found:
        print_plain(console, "byoe has nothing in this account and region that costs money.")
    if mode.bucket is not None:
        print_plain(
            console,
            "data and results are kept. To remove them: "
            + shlex.join(["aws", "s3", "rm", "--recursive", f"s3://{mode.bucket}/{mode.prefix}/"]),
        )
