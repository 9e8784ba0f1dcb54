"""The parity line of a study that continues elsewhere: one of its trials is trained again there first."""

from __future__ import annotations

import shutil
from dataclasses import asdict

from rich.console import Console

from experiments.backends.base import StudyHandle
from experiments.reporting.console import print_plain
from experiments.study.continuing import (
    SPOT_CHECKS,
    CannotContinue,
    check_same_numbers,
    due_spot_check,
    spot_check_trial,
)
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec
from experiments.system import crash_points


def spot_check(study: StudySpec, ledger: Ledger, handle: StudyHandle, console: Console) -> None:
    """Train a trial of another place again, unless the study has run here before, and record that it is the same.

    Args:
        study: The study.
        ledger: Its ledger, which gets the fact ``SPOT_CHECKS``.
        handle: The running study.
        console: Where the result is shown.

    Raises:
        CannotContinue: The numbers differ, or the versions of libraries do. Nothing is recorded.
    """
    results, known = ledger.results(), ledger.noted(SPOT_CHECKS) or {}
    study = study.as_trained(results)
    original = due_spot_check(study, results, {SPOT_CHECKS: known})
    if original is None:
        return
    trial, there = spot_check_trial(study, original), study.place_of(original)
    with console.status(f"training trial {original.index} of mode={there} again, in mode={study.mode}"):
        again = handle.run_again(trial)
    crash_points.point("trained_again")
    try:
        check_same_numbers(study, original, again)
    except CannotContinue:
        shutil.rmtree(trial.folder, ignore_errors=True)
        raise
    ledger.note(SPOT_CHECKS, {**known, study.mode: asdict(again.ran_in(study.mode))})
    crash_points.point("spot_checked")
    print_plain(
        console,
        f"parity: PASS (trial {original.index} of mode={there}, trained again in mode={study.mode}: all "
        f"{len(original.metrics)} numbers equal to the bit)",
        "green",
    )
