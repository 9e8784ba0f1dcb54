"""A study's winner: its bundle, and its scores on the test rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.status import Status

from ensemble.bundle_files import MANIFEST
from ensemble.evaluation import SCORES
from ensemble.finished_trainings import OUT_OF_FOLD_FILE
from experiments.backends.base import StudyHandle
from experiments.backends.worker_pool import LocalWorkers
from experiments.errors import StudyFailed, storage_errors
from experiments.reporting.console import print_plain
from experiments.study.coverage import COVERAGE
from experiments.study.folder import (
    final_folder,
    log_path,
    model_dir,
    output_data_dir,
    scored_model_dir,
    study_blend_file,
    test_predictions,
)
from experiments.study.ledger import Ledger
from experiments.study.serving_cost import MEMBERS_MS, SERVING_COST
from experiments.study.spec import STUDY_BLEND, StudySpec, TrialResult
from experiments.study.study_blend import StudyBlend, decide, is_open, origin, recorded_blend, request, searched_values
from experiments.system import crash_points
from experiments.system.files import replacing

# The ledger's facts of the winner: its result with test scores, and the importance of the features.
FINAL = "final"
# The share of search.timeout that finding the importance may take, the seconds that are kept for figures and MLflow,
# and how long calls of the served model are repeated to measure it, if time is limited.
IMPORTANCE_SHARE = 0.05
RECORDING_SECONDS = 8.0
MEASURING_SECONDS = 0.05
IMPORTANCE = "feature_importance"


def is_winner(final: Mapping[str, Any], best: TrialResult, study: StudySpec, blend: StudyBlend | None) -> bool:
    """Return whether the ledger's fact ``FINAL`` is of the winner, and its models are fitted on the right rows.

    Args:
        final: The fact.
        best: The best trial.
        study: The study.
        blend: The blend over the study, if one was looked for.
    """
    wanted = blend.as_dict() if blend is not None and blend.better else None
    served = final["info"].get("final_rows", "train")
    return bool(
        final["index"] == best.index and served == study.final_rows and final["info"].get(STUDY_BLEND) == wanted
    )


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
        ledger: Its ledger, which gets the facts ``FINAL``, ``IMPORTANCE``, ``SERVING_COST`` and ``STUDY_BLEND``.
        handle: The running study.
        local_workers: Returns the workers that compute the scores.
        best: The best trial.
        console: Where progress is shown, and a difference from the trial.

    Raises:
        StudyFailed: The winner could not be trained once more.
    """
    results = ledger.results()
    known, fact = ledger.noted(FINAL), ledger.noted(STUDY_BLEND)
    bundle = model_dir(final_folder(study.folder))
    blend, sought = recorded_blend(study, results, fact), is_open(study, results, fact)
    if not sought and known is not None and is_winner(known, best, study, blend) and (bundle / MANIFEST).exists():
        return
    trained = None
    if study.max_ms is not None and ledger.noted(MEMBERS_MS) is None:
        with console.status("measuring how long each member of the best trial takes"):
            trained = _train(study, ledger, handle, best, None, console)
            ledger.note(MEMBERS_MS, _measured(study, local_workers)["members_ms"])
    if sought or (blend is not None and not study_blend_file(study.folder).exists()):
        with console.status("choosing the blend over the study"):
            blend = _find_blend(study, ledger, local_workers, results, best, console)
    doing = handle.final_status if blend is None or not blend.better else "training the blend over the study"
    scoring = "" if study.channels.test is None else " and scoring it on the test rows"
    with console.status(f"{doing}{scoring}") as status:
        chosen = blend if blend is not None and blend.better else None
        if trained is None or chosen is not None:
            trained = _train(study, ledger, handle, best, chosen, console)
        final = trained
        _score(study, ledger, local_workers, final, status, _importance_seconds(study, handle))


def _find_blend(
    study: StudySpec,
    ledger: Ledger,
    local_workers: LocalWorkers,
    results: Sequence[TrialResult],
    best: TrialResult,
    console: Console,
) -> StudyBlend:
    """Choose the blend over the study, and note it."""
    milliseconds = None if study.max_ms is None else ledger.noted(MEMBERS_MS)
    arguments = request(study, results, best, study_blend_file(study.folder), milliseconds)
    log = study.folder / "study_blend.txt"
    found = local_workers().call("experiments.study.study_blend:blend_study", arguments, log)
    blend = decide(found, results, best, study)
    ledger.note(STUDY_BLEND, blend.as_dict())
    crash_points.point("blend_chosen")
    if milliseconds is not None and blend.models:
        takes = sum(milliseconds[origin(name)[0]] for name in blend.names)
        if takes > float(study.max_ms or 0.0):
            print_plain(
                console,
                f"note: no member predicts a row within ensemble.max_ms={study.max_ms:g}: the fastest is served alone, "
                f"and takes {takes:.3g} ms.",
                "yellow",
            )
    return blend


def _train(
    study: StudySpec,
    ledger: Ledger,
    handle: StudyHandle,
    best: TrialResult,
    chosen: StudyBlend | None,
    console: Console,
) -> TrialResult:
    """Train the winner: the blend over the study, or the best trial once more."""
    final = handle.run_final(best.index, None if chosen is None else chosen.hyperparameters)
    what = f"trial {best.index}" if chosen is None else "the blend over the study"
    if final.state == "failed":
        log = log_path(final_folder(study.folder))
        trained = "was trained once more" if chosen is None else "was trained"
        raise StudyFailed(f"{what} {trained} and failed: {final.reason} (output: {log})")
    expected = best.metrics if chosen is None else _scores_of_models(chosen, ledger.results())
    moved = [name for name, value in expected.items() if final.metrics.get(name) != value]
    if moved:
        console.print(
            f"warning: trained once more, {what} gave other numbers: {moved[0]} was "
            f"{expected[moved[0]]!r} and is {final.metrics.get(moved[0])!r}. Library versions then: "
            f"{best.info.get('versions')}, now: {final.info.get('versions')}.",
            style="yellow",
        )
    return final if chosen is None else _with_nested_scores(final, chosen, study)


def _score(
    study: StudySpec,
    ledger: Ledger,
    local_workers: LocalWorkers,
    final: TrialResult,
    status: Status,
    seconds: float | None,
) -> None:
    """Score the winner on the test rows, find the importance of its features, measure it, and note all of it.

    Args:
        study: The study.
        ledger: Its ledger.
        local_workers: Returns the workers.
        final: The winner.
        status: Where progress is shown.
        seconds: The time for the importance; None for no limit.
    """
    scored, bundle = scored_model_dir(final_folder(study.folder)), model_dir(final_folder(study.folder))
    scores = _scores(study, scored if scored.exists() else bundle, local_workers, status, seconds)
    ledger.note(IMPORTANCE, scores["importance"])
    ledger.note(SERVING_COST, _measured(study, local_workers))
    covered = {} if scores["coverage"] is None else {COVERAGE: scores["coverage"]}
    final = replace(final, metrics={**final.metrics, **scores["metrics"]}, info={**final.info, **covered})
    shutil.rmtree(scored, ignore_errors=True)  # before the note, after which nothing would remove it
    ledger.note(FINAL, asdict(final))


def _importance_seconds(study: StudySpec, handle: StudyHandle) -> float | None:
    """Return the time in which the importance is found: a share of the limit that leaves enough for the record."""
    left = handle.seconds_left()
    if left is None:
        return None
    return max(0.0, min(IMPORTANCE_SHARE * (study.timeout or 0.0), left - RECORDING_SECONDS * handle.slowness()))


def _measured(study: StudySpec, local_workers: LocalWorkers) -> dict[str, Any]:
    """Return what the bundle in the study's final folder costs, as ``ServingCost``'s fields."""
    final = final_folder(study.folder)
    kwargs: dict[str, Any] = {"bundle": str(model_dir(final))}
    if study.timeout is not None and study.max_ms is None:  # which needs exact times
        kwargs["seconds"] = MEASURING_SECONDS
    found: dict[str, Any] = local_workers().call(
        "experiments.study.serving_cost:measure_bundle", kwargs, final / "scoring.txt"
    )
    return found


def _scores(
    study: StudySpec, bundle: Path, local_workers: LocalWorkers, status: Status, seconds: float | None
) -> dict[str, Any]:
    """Return what ``score_winner`` does, with the ``importance`` of all features, in workers.

    The importance may take ``seconds``; None for no limit.
    """
    console = status.console
    unseen = {"validation": study.channels.validation, "test": study.channels.test}
    channels = {name: str(folder) for name, folder in unseen.items() if folder is not None}
    if not channels:
        print_plain(
            console, "note: the importance of features is left out, because there are neither validation nor test rows."
        )
        return {"metrics": {}, "coverage": None, "importance": {}}
    kwargs = {
        "bundle": str(bundle),
        "channels": channels,
        "hashes": dict(study.channels.hashes),
        "predictions": str(test_predictions(study.folder)),
        "seconds": seconds,
    }
    pool = local_workers()
    threads = study.threads * study.parallel
    log = final_folder(study.folder) / "scoring.txt"
    scores = pool.call("experiments.study.winner_scores:score_winner", {**kwargs, "threads": threads}, log)
    importance, features = dict(scores["importance"]), scores["features"]
    if not features:
        print_plain(console, "note: the importance of features is left out: it would take too long.")
    elif len(importance) < features:
        print_plain(console, f"finding the importance of {features} features, a shuffle for each.")
    while len(importance) < features:
        status.update(f"importance of features: {len(importance)} of {features}")
        part = {"bundle": str(bundle), "rows": next(iter(channels.values())), "first": len(importance)}
        part["most_rows"] = scores["rows"]
        importance |= pool.call("experiments.study.importance:next_part", {**part, "threads": threads}, log)
    return {"metrics": scores["metrics"], "coverage": scores["coverage"], "importance": importance}


def _scores_of_models(blend: StudyBlend, results: Sequence[TrialResult]) -> dict[str, float]:
    """Return the cross-validated scores that the models of the blend had in their trials, by their new names."""
    by_index = {result.index: result for result in results}
    expected: dict[str, float] = {}
    for name in blend.names:
        member, trial = origin(name)
        metrics = by_index[trial].metrics
        expected |= {
            f"cv_{score}_{name}": metrics[found] for score in SCORES if (found := f"cv_{score}_{member}") in metrics
        }
    return expected


def _with_nested_scores(final: TrialResult, blend: StudyBlend, study: StudySpec) -> TrialResult:
    """Return the winner with the scores of a blend whose models were chosen without the rows that are scored.

    The job does not know how its models were chosen, so its own scores of the blend, which are kept, flatter it.
    """
    own = {name: final.metrics[name] for name in blend.metrics if name in final.metrics}
    path = output_data_dir(final_folder(study.folder)) / OUT_OF_FOLD_FILE
    with np.load(path, allow_pickle=False) as arrays, np.load(study_blend_file(study.folder)) as nested:
        content = {**arrays, **nested}
    with storage_errors(path), replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **content)
    info = {**final.info, STUDY_BLEND: blend.as_dict(), "scores_of_job": own}
    params = searched_values(study, blend)
    return replace(final, params=params, metrics={**final.metrics, **blend.metrics}, info=info)
