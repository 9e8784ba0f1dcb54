"""``mode=remote action=status`` and ``action=clean``: what of ours is in the account, what it costs, and its end."""

from __future__ import annotations

from rich.console import Console

from experiments.aws.account import find_account
from experiments.aws.inventory import Owned, Ownership
from experiments.aws.settings import check_prefix
from experiments.config.schema import RemoteModeConfig
from experiments.reporting.console import dollars, print_plain


def show_account(mode: RemoteModeConfig, console: Console) -> int:
    """Show every job and endpoint that is tagged ours, with what it has cost; return 0.

    Raises:
        BackendUnavailable: AWS refused.
    """
    with console.status("asking AWS"):
        found = list(_ownership(mode).everything(ended=True))
    for owned in found:
        _show(owned, console)
    known = [owned.usd for owned in found if owned.usd is not None]
    unknown = sum(owned.usd is None and owned.is_job for owned in found)
    running = sum(owned.costs for owned in found)
    text = f"{len(found)} of ours, {running} of them still cost money. Training: {dollars(sum(known))} so far"
    text += f", and {unknown} jobs whose price is not known here" if unknown else ""
    print_plain(
        console, f"{text}; endpoints are billed by the request or the hour." if found else "there is nothing of ours."
    )
    if running:
        print_plain(console, "python run.py mode=remote action=clean ends what still costs money.")
    return 0


def clean_account(mode: RemoteModeConfig, console: Console) -> int:
    """List, then stop our jobs that run and delete our endpoints with their configurations and models; return 0.

    Configurations and models that an interrupted command has left go too.

    Raises:
        BackendUnavailable: AWS refused.
    """
    ownership = _ownership(mode)
    with console.status("asking AWS"):
        found = [owned for owned in ownership.everything(ended=False) if owned.costs or owned.part is not None]
    for owned in found:
        _show(owned, console)
    for owned in found:
        ownership.remove(owned)
        print_plain(console, f"{owned.kind} {owned.name} is {'being stopped' if owned.is_job else 'deleted'}.")
    if not found:
        print_plain(console, "nothing of ours costs money there.")
    if mode.bucket is not None:
        print_plain(
            console, f"data and results stay: `aws s3 rm --recursive s3://{mode.bucket}/{mode.prefix}/` removes them."
        )
    return 0


def _ownership(mode: RemoteModeConfig) -> Ownership:
    check_prefix(mode.prefix)
    return Ownership(find_account(mode.region, mode.profile), mode.price_usd_per_hour, mode.poll_seconds)


def _show(owned: Owned, console: Console) -> None:
    cost = "" if owned.usd is None else f", {dollars(owned.usd)}"
    print_plain(console, f"{owned.kind} {owned.name}  {owned.status}, {owned.detail}{cost}")
