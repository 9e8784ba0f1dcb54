"""Ledgers of studies that were not run: with trials as a test gives them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.config.compose import compose
from experiments.planning.study import plan_study
from experiments.study.ledger import Ledger
from experiments.study.sampling import make_proposer
from experiments.study.spec import PLACE, Point, StudySpec, TrialResult, TrialState

# Two intervals, whole numbers and choices; none has a first value.
SPACE = (
    "ensemble=pair",
    "search=blank",
    "search.space.xgboost.eta={low: 0.01, high: 0.3, log: true}",
    "search.space.xgboost.max_depth={low: 2, high: 9}",
    "search.space.catboost.learning_rate={low: 0.02, high: 0.3}",
    "search.space.catboost.depth={choices: [4, 6, 8]}",
)
STATES: Sequence[TrialState] = ("complete", "complete", "failed", "complete", "pruned")


@functools.cache
def _planned(arguments: tuple[str, ...]) -> StudySpec:
    return plan_study(compose(["study=planned", *SPACE, *arguments])).study


def planned(name: str, *arguments: str) -> StudySpec:
    """Return a study below the working directory, planned once for the same arguments; its channels are not written."""
    return replace(_planned(arguments), name=name, folder=Path("studies", name).absolute())


def score(point: Point) -> float:
    """Return a score that depends on every value of a point."""
    return sum(float(value or 0) * place for place, (_, value) in enumerate(sorted(point.items()), start=1)) / 3


def finished(study: StudySpec, index: int, point: Point) -> TrialResult:
    """Return a finished trial: the third of five failed, the fifth was pruned."""
    state = STATES[index % 5]
    info = {PLACE: study.mode, "weights": {"xgboost": 0.25, "catboost": 0.75}}
    if state == "failed":
        return TrialResult(index, state, point, 10.0 * index, 10.0 * index + 1.5, failure="no luck", info=info)
    value = score(point)
    metrics = {"cv_rmse_blended": value, "cv_rmse_xgboost": value + 1, "cv_rmse_xgboost_fold_0": value + 2}
    if study.objective not in metrics:
        metrics[study.objective] = value
    if state == "pruned":
        info |= {"pruned": {"folds": 2, "expected": value}}
        metrics = {"cv_rmse_xgboost_fold_0": value + 2}
    return TrialResult(index, state, point, 10.0 * index, 10.0 * index + 1.5, metrics, info)


def recorded(study: StudySpec, trials: int, points: Sequence[Point] | None = None) -> list[TrialResult]:
    """Record the trials that a study lacks up to this number, at given points or those that it proposes."""
    proposer = make_proposer(study)
    with Ledger.open(study) as ledger:
        done = {result.index: result for result in ledger.results()}
        for index in range(trials):
            point = proposer.ask(index, ledger.asked().get(index)) if points is None else points[index]
            if index not in done:
                ledger.record_asked({index: point})
                done[index] = finished(study, index, point)
                ledger.record(done[index])
            if points is None:
                proposer.tell(index, done[index])
    return [done[index] for index in sorted(done)]
