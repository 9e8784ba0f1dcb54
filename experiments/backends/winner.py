"""A study's winner: its bundle, and its scores on the test rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from ensemble.bundle_files import MANIFEST
from experiments.backends.base import StudyHandle
from experiments.backends.worker_pool import LocalWorkers
from experiments.errors import StudyFailed
from experiments.reporting.console import print_plain
from experiments.study.folder import final_folder, log_path, model_dir, scored_model_dir, test_predictions
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult

# The ledger's facts of the winner: its result with test scores, and the importance of the features.
FINAL = "final"
IMPORTANCE = "feature_importance"


def is_winner(final: Mapping[str, Any], best: TrialResult, study: StudySpec) -> bool:
    """Return whether the ledger's fact ``FINAL`` is of the best trial, and its models are fitted on the right rows."""
    return bool(final["index"] == best.index and final["info"].get("final_rows", "train") == study.final_rows)


def place_winner(
    study: StudySpec,
    ledger: Ledger,
    handle: StudyHandle,
    local_workers: LocalWorkers,
    best: TrialResult,
    console: Console,
) -> None:
    """Place the winner's bundle, score it on the test rows, and note its result, unless that is done already.

    Args:
        study: The study.
        ledger: Its ledger, which gets the facts ``FINAL`` and ``IMPORTANCE``.
        handle: The running study.
        local_workers: Returns the workers that compute the scores.
        best: The best trial.
        console: Where progress is shown, and a difference from the trial.

    Raises:
        StudyFailed: The winner could not be trained once more.
    """
    known = ledger.noted(FINAL)
    bundle = model_dir(final_folder(study.folder))
    if known is not None and is_winner(known, best, study) and (bundle / MANIFEST).exists():
        return
    scoring = "" if study.channels.test is None else " and scoring it on the test rows"
    with console.status(f"{handle.final_status}{scoring}") as status:
        _place(study, ledger, handle, local_workers, best, status)


def _place(
    study: StudySpec,
    ledger: Ledger,
    handle: StudyHandle,
    local_workers: LocalWorkers,
    best: TrialResult,
    status: Status,
) -> None:
    console = status.console
    final = handle.run_final(best.index)
    if final.state == "failed":
        raise StudyFailed(
            f"trial {best.index} was trained once more and failed: {final.reason} "
            f"(output: {log_path(final_folder(study.folder))})"
        )
    moved = [name for name, value in best.metrics.items() if final.metrics.get(name) != value]
    if moved:
        console.print(
            f"warning: trained once more, trial {best.index} gave other numbers: {moved[0]} was "
            f"{best.metrics[moved[0]]!r} and is {final.metrics.get(moved[0])!r}. Library versions then: "
            f"{best.info.get('versions')}, now: {final.info.get('versions')}.",
            style="yellow",
        )
    scored, bundle = scored_model_dir(final_folder(study.folder)), model_dir(final_folder(study.folder))
    bundle = scored if scored.exists() else bundle
    scores = _scores(study, bundle, local_workers, status)
    ledger.note(IMPORTANCE, scores["importance"])
    final = replace(final, metrics={**final.metrics, **scores["metrics"]})
    shutil.rmtree(scored, ignore_errors=True)  # before the note, after which nothing would remove it
    ledger.note(FINAL, asdict(final))


def _scores(study: StudySpec, bundle: Path, local_workers: LocalWorkers, status: Status) -> dict[str, Any]:
    """Return the scores on the test rows as ``metrics``, and the ``importance`` of the features, in workers."""
    console = status.console
    unseen = {"validation": study.channels.validation, "test": study.channels.test}
    channels = {name: str(folder) for name, folder in unseen.items() if folder is not None}
    if not channels:
        print_plain(
            console, "note: the importance of features is left out, because there are neither validation nor test rows."
        )
        return {"metrics": {}, "importance": {}}
    kwargs = {
        "bundle": str(bundle),
        "channels": channels,
        "hashes": dict(study.channels.hashes),
        "predictions": str(test_predictions(study.folder)),
    }
    pool = local_workers()
    threads = study.threads * study.parallel
    log = final_folder(study.folder) / "scoring.txt"
    scores = pool.call("experiments.study.winner_scores:score_winner", {**kwargs, "threads": threads}, log)
    importance, features = dict(scores["importance"]), scores["features"]
    if not features:
        print_plain(console, "note: the importance of features is left out, because there are too many features.")
    elif len(importance) < features:
        print_plain(console, f"finding the importance of {features} features, a shuffle for each.")
    while len(importance) < features:
        status.update(f"importance of features: {len(importance)} of {features}")
        part = {"bundle": str(bundle), "rows": next(iter(channels.values())), "first": len(importance)}
        importance |= pool.call("experiments.study.importance:next_part", {**part, "threads": threads}, log)
    return {"metrics": scores["metrics"], "importance": importance}
