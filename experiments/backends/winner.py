"""A study's winner: its bundle, and its scores on the test rows."""

from __future__ import annotations

from dataclasses import asdict, replace

from rich.console import Console

from ensemble.bundle_files import MANIFEST
from experiments.backends.base import StudyHandle
from experiments.backends.worker_pool import LocalWorkers
from experiments.errors import StudyFailed
from experiments.study.folder import final_folder, log_path, model_dir, test_predictions
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult

# The ledger's facts of the winner: its result with test scores, and the importance of the features.
FINAL = "final"
IMPORTANCE = "feature_importance"


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
        console: Where a difference from the trial is shown.

    Raises:
        StudyFailed: The winner could not be trained once more.
    """
    known = ledger.noted(FINAL)
    bundle = model_dir(final_folder(study.folder))
    if known is not None and known["index"] == best.index and (bundle / MANIFEST).exists():
        return
    pool = local_workers()
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
    channels = study.channels
    kwargs = {
        "bundle": str(bundle),
        "validation": str(channels.validation),
        "test": str(channels.test),
        "hashes": dict(channels.hashes),
        "predictions": str(test_predictions(study.folder)),
    }
    threads = study.threads * study.parallel
    log = final_folder(study.folder) / "scoring.txt"
    scores = pool.call("experiments.study.winner_scores:score_winner", {**kwargs, "threads": threads}, log)
    ledger.note(IMPORTANCE, scores["importance"])
    final = replace(final, metrics={**final.metrics, **scores["metrics"]})
    ledger.note(FINAL, asdict(final))
