"""A comparison as MLflow records it, with the names and tags that studies and trials have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ensemble.parameters import encode
from ensemble.recipe import BLENDED
from experiments.comparison.measures import Measures
from experiments.comparison.parity import Parity
from experiments.comparison.recorded_study import RecordedStudy
from experiments.tracking.comparisons import ComparedStudy, Comparison
from experiments.tracking.scores import winner_scores


def comparison_of(measures: Sequence[Measures], parity: Parity, page: str) -> Comparison:
    """Return the record of a comparison.

    Args:
        measures: The studies in numbers.
        parity: Whether the paired trials are equal.
        page: The report page, as HTML.
    """
    compared = [_compared(one.study) for one in measures]
    digest = hashlib.sha256(json.dumps([compared, parity.tolerance], sort_keys=True).encode()).hexdigest()
    return Comparison(
        page=page,
        digest=digest,
        dataset=next((one.study.dataset for one in measures if one.study.dataset), "comparisons"),
        tags={"byoe.action": "compare", "byoe.parity": parity.verdict, "byoe.data_hash": measures[0].study.data_hash},
        metrics={"parity_pairs": len(parity.pairs), "parity_equal": parity.equal, "parity_exact": parity.exact},
        studies=[_study(one) for one in measures],
    )


def _compared(study: RecordedStudy) -> list[Any]:
    """Return everything that decides the result of a comparison."""
    return [study.name, study.identity, study.final is not None, [asdict(result) for result in study.results]]


def _study(one: Measures) -> ComparedStudy:
    study = one.study
    # MLflow's compare view draws metrics in the order in which they were logged.
    numbers: dict[str, float | None] = {
        f"cv_{study.main_score}_{BLENDED}": one.main("cv", BLENDED),
        "trials": len(study.results),
        "failed": one.count("failed"),
        "wall_seconds": one.seconds,
        "trials_per_minute": one.trials_per_minute,
        "billable_seconds": one.billed,
        "cost_usd": one.usd,
    }
    if one.best is not None:
        members = list(one.best.info.get("weights", study.members))
        scores = winner_scores(one.best.metrics, members, study.main_score, study.objective)
        numbers |= {score.name: score.value for score in scores}
    if one.lift is not None:
        numbers |= {"lift_mean": one.lift.value, "lift_low": one.lift.low, "lift_high": one.lift.high}
    return ComparedStudy(
        name=study.name,
        label=one.label,
        tags={
            "byoe.mode": study.mode,
            "byoe.data_hash": study.data_hash,
            **({} if study.dataset is None else {"byoe.dataset": study.dataset}),
            **({} if one.best is None else {"byoe.best_trial": str(one.best.index)}),
        },
        params={
            **study.static(),
            **({} if one.best is None else {name: encode(value) for name, value in one.best.params.items()}),
        },
        metrics={name: float(value) for name, value in numbers.items() if value is not None},
        best_so_far=[
            (result.finished, point.best)
            for result, point in zip(study.results, one.by_trial, strict=True)
            if point.best is not None
        ],
        began=min(result.started for result in study.results),
        ended=max(result.finished for result in study.results),
    )
