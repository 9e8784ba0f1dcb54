"""Which numbers of a trial MLflow gets: the scores that are compared, and each fold as a step of one metric.

``metrics.json`` has every score of every member. All of them as metrics of each trial would be hundreds of columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble.evaluation import SCORES, MetricName
from ensemble.recipe import BLENDED
from experiments.study.coverage import coverage_of
from experiments.study.fold_intervals import fold_scores
from experiments.study.spec import TrialResult

SPLITS = ("cv", "validation", "test")


@dataclass(frozen=True)
class Number:
    """A number that is logged.

    Attributes:
        name: The metric.
        value: Its value.
        step: The fold, for a score that has one value on each.
    """

    name: str
    value: float
    step: int = 0


def trial_numbers(result: TrialResult, members: Sequence[str], main: str, objective: str) -> list[Number]:
    """Return what is logged of a trial: at most 45 metrics for nine members.

    They are the main score of every member and of the blend in cross-validation, as a whole and on each fold, every
    score of the blend there, its main score on the validation rows, the objective, weights, rounds, seconds and cost.

    Args:
        result: The trial.
        members: Its members.
        main: The main score of the study's task.
        objective: The metric that decides.
    """
    names = (BLENDED, *members)
    wanted = [f"cv_{main}_{who}" for who in names]
    wanted += [f"validation_{main}_{BLENDED}", *(f"cv_{score}_{BLENDED}" for score in SCORES), objective]
    return [*_picked(result.metrics, wanted), *fold_numbers(result, names, main, objective), *_further(result)]


def winner_numbers(result: TrialResult, members: Sequence[str], main: str, objective: str) -> list[Number]:
    """Return what is logged of a winner: as of a trial, each member's scores on validation and test rows, and coverage.

    The arguments are those of ``trial_numbers``.
    """
    names, coverage = (BLENDED, *members), coverage_of(result.info)
    return [
        *winner_scores(result.metrics, members, main, objective),
        *fold_numbers(result, names, main, objective),
        *_further(result),
        *(Number(name, value) for name, value in ({} if coverage is None else coverage.metrics()).items()),
    ]


def winner_scores(
    metrics: Mapping[str, float], members: Sequence[str], main: str, objective: str | None = None
) -> list[Number]:
    """Return the scores by which winners are compared: the main score of all on every split, and all of the blend.

    Args:
        metrics: The winner's metrics.
        members: Its members.
        main: The main score of the study's task.
        objective: The metric that decides, if it is known.
    """
    wanted = [f"{split}_{main}_{who}" for who in (BLENDED, *members) for split in SPLITS]
    wanted += [f"{split}_{score}_{BLENDED}" for split in SPLITS for score in SCORES]
    return _picked(metrics, wanted if objective is None else [*wanted, objective])


def fold_numbers(result: TrialResult, names: Sequence[str], main: str, objective: str) -> list[Number]:
    """Return the main score of each of ``names``, and the objective, on each fold, as steps of one metric."""
    decides = MetricName.parse(objective)
    wanted = dict.fromkeys([*((main, who) for who in names), (decides.score, decides.who)])
    return [
        Number(f"cv_{score}_{who}_fold", value, fold)
        for score, who in wanted
        for fold, value in fold_scores(result, who, score).items()
    ]


def _further(result: TrialResult) -> list[Number]:
    info, cloud = result.info, result.info.get("cloud", {})
    seconds = info.get("fit_seconds", {})
    found = {
        **{f"weight_{member}": weight for member, weight in info.get("weights", {}).items()},
        **{f"rounds_{member}": rounds for member, rounds in info.get("rounds", {}).items()},
        **({"fit_seconds": sum(seconds.values())} if seconds else {}),
        **{name: cloud[name] for name in ("billable_seconds", "cost_usd") if cloud.get(name) is not None},
    }
    return [Number(name, value) for name, value in found.items()]


def _picked(metrics: Mapping[str, float], wanted: Sequence[str]) -> list[Number]:
    return [Number(name, metrics[name]) for name in dict.fromkeys(wanted) if name in metrics]
