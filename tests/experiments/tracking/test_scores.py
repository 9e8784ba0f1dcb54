"""Which numbers of a trial are logged: few enough for a table, with each fold as a step."""

from __future__ import annotations

from itertools import product

import pytest

from ensemble.classes import Task
from ensemble.evaluation import main_score
from experiments.study.spec import TrialResult
from experiments.tracking.scores import Number, trial_numbers, winner_numbers

OF_TASK = {
    "regression": ("rmse", "mae", "r2"),
    "binary": ("logloss", "auc", "accuracy", "balanced_accuracy", "f1", "brier"),
}


def trial(members: list[str], scores: tuple[str, ...], splits: tuple[str, ...], folds: int = 5) -> TrialResult:
    """Return a trial with every number that a trial can have."""
    names = [*members, "blended"]
    metrics = {f"{split}_{score}_{who}": 1.0 for split, score, who in product(splits, scores, names)}
    metrics |= {f"cv_{s}_{who}_fold_{i}": float(i) for s, who, i in product(scores[:2], names, range(folds))}
    info = {
        "weights": dict.fromkeys(members, 0.1),
        "fit_seconds": dict.fromkeys(members, 2.0),
        "rounds": dict.fromkeys(members[:3], 40),
        "cloud": {"billable_seconds": 60, "cost_usd": 0.1},
    }
    return TrialResult(0, "complete", {}, 0.0, 1.0, metrics, info)


@pytest.mark.parametrize(("task", "size"), [("regression", 10), ("binary", 9)])
def test_a_trial_of_the_widest_ensemble_has_at_most_45_metrics(task: Task, size: int) -> None:
    members, scores = [f"member{number}" for number in range(size)], OF_TASK[task]
    main = main_score(task)
    result = trial(members, scores, ("cv", "validation"))
    objective = f"cv_{scores[1]}_member1"
    numbers = trial_numbers(result, members, main, objective)
    names = {number.name for number in numbers}
    assert len(names) <= 45
    assert {f"cv_{main}_{who}" for who in (*members, "blended")} <= names
    assert {f"cv_{score}_blended" for score in scores} | {f"validation_{main}_blended", objective} <= names
    assert [n for n in numbers if n.name == f"cv_{main}_blended_fold"] == [
        Number(f"cv_{main}_blended_fold", float(fold), fold) for fold in range(5)
    ]
    assert Number(f"{objective}_fold", 4.0, 4) in numbers
    assert Number("fit_seconds", 2.0 * size) in numbers
    assert len({(number.name, number.step) for number in numbers}) == len(numbers)


def test_a_winner_has_each_member_on_every_split() -> None:
    result = trial(["ridge", "svr"], OF_TASK["regression"], ("cv", "validation", "test"))
    names = {number.name for number in winner_numbers(result, ["ridge", "svr"], "rmse", "cv_rmse_blended")}
    assert {
        f"{split}_rmse_{who}" for split, who in product(("cv", "validation", "test"), ("ridge", "blended"))
    } <= names
    assert "test_r2_blended" in names
    assert "test_r2_ridge" not in names  # metrics.json has it


def test_a_pruned_trial_has_its_finished_folds() -> None:
    metrics = {"cv_rmse_blended_fold_0": 3.0, "cv_rmse_ridge_fold_0": 2.0, "cv_rmse_blended_fold_1": 4.0}
    result = TrialResult(0, "pruned", {}, 0.0, 1.0, metrics, {"pruned": {"folds": 2}})
    assert trial_numbers(result, ["ridge"], "rmse", "cv_rmse_blended") == [
        Number("cv_rmse_blended_fold", 3.0, 0),
        Number("cv_rmse_blended_fold", 4.0, 1),
        Number("cv_rmse_ridge_fold", 2.0, 0),
    ]
