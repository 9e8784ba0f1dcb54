"""Studies in a line each, and the leaderboard of what was trained on the same folds of the same rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED
from experiments.comparison.measures import Measures, measure, same_folds
from experiments.comparison.recorded_study import RecordedStudy, read_study
from experiments.comparison.table import state
from experiments.errors import InputError
from experiments.study.baseline import CATBOOST, MEAN
from experiments.study.ledger import recorded_studies
from experiments.study.spec import TrialResult

_UNITS = ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Listed:
    """A study in a line.

    Attributes:
        name: Its name.
        mode: Where it ran; None if it cannot be read, like everything but ``state``.
        dataset: The data's display name.
        created: When it was created, in seconds since the epoch.
        state: Whether it is finished, or why it is not.
        trials: Number of finished trials.
        objective: The metric that it optimised.
        best: Its best value; None without a score.
    """

    name: str
    state: str
    mode: str | None = None
    dataset: str | None = None
    created: float | None = None
    trials: int | None = None
    objective: str | None = None
    best: float | None = None


@dataclass(frozen=True)
class Placed:
    """A line of the leaderboard: what a member or a blend reached at best in a study.

    Attributes:
        score: The score in cross-validation by which that study is judged.
        model: The member, ``blended``, or a baseline.
        trial: The trial in which it reached the score; None for a baseline and for a blend over the study.
        study: The study.
        mode: Where that ran.
        test: The winner's score on the test rows, for its blend.
    """

    score: float
    model: str
    trial: int | None
    study: str
    mode: str
    test: float | None = None


def read_studies(studies: Path) -> tuple[list[Measures], list[Listed]]:
    """Return the studies that have a finished trial, the newest first, and a line for each of all studies."""
    known: list[RecordedStudy] = []
    others = []
    for folder in recorded_studies(studies):
        try:
            known.append(read_study(folder))
        except InputError as error:
            reason = str(error).removeprefix(f"study {folder.name} ").partition(": ")[0].partition(" (")[0]
            others.append(Listed(folder.name, reason))
    known.sort(key=lambda study: -study.created)
    measured = [measure([study])[0] for study in known]
    return measured, [*map(_listed, measured), *others]


def _listed(one: Measures) -> Listed:
    study, best = one.study, one.study.best
    return Listed(
        study.name,
        state(one),
        study.mode,
        study.dataset,
        study.created,
        len(study.results),
        study.objective,
        None if best is None else best.metrics[study.objective],
    )


def leaderboard(measures: Sequence[Measures], of: Measures) -> list[Placed]:
    """Return what each member, blend and baseline reached at best in each study on the same folds, the best first.

    Args:
        measures: The studies.
        of: The study whose rows and folds count.
    """
    score = MetricName("cv", of.decisive, BLENDED)
    found = [line for one in measures if same_folds(one.study, of.study) for line in _of_study(one, score)]
    return sorted(found, key=lambda line: _rank(line.score, score))


def _rank(value: float, score: MetricName) -> float:
    return -value if score.maximised else value


def _of_study(one: Measures, score: MetricName) -> list[Placed]:
    study, lines = one.study, []
    key = f"{score.split}_{score.score}"
    for name in one.names:
        metric = f"{key}_{name}"
        trials = [one for one in study.results if one.state == "complete" and metric in one.metrics]
        if trials:
            trial = min(trials, key=lambda result: _rank(result.metrics[metric], score))
            test = _test(study, f"test_{score.score}_{name}", trial)
            lines.append(Placed(trial.metrics[metric], name, trial.index, study.name, study.mode, test))
    known = {} if study.baseline is None else study.baseline.metrics
    naive = "class frequencies" if study.classes else "mean of the target"
    baselines = ((CATBOOST, "plain CatBoost"), (MEAN, naive))
    found = [(known.get(f"{key}_{name}"), title) for name, title in baselines]
    lines += [Placed(value, title, None, study.name, study.mode) for value, title in found if value is not None]
    return lines


def _test(study: RecordedStudy, metric: str, trial: TrialResult) -> float | None:
    """Return the score on the test rows, which only the winner has."""
    final = study.final
    return final.metrics.get(metric) if final is not None and final.index == trial.index else None


def age(created: float) -> str:
    """Return for how long something has existed, such as ``3 h``."""
    seconds = max(0.0, time.time() - created)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    count = int(seconds // size)
    return f"{count} {unit}{'s' if unit == 'day' and count != 1 else ''}"
