"""Trials and predictions with round numbers, for the tests of what users see."""

from __future__ import annotations

import numpy as np

from experiments.study.predictions import Predictions
from experiments.study.spec import TrialResult

MEMBERS = ["xgboost", "catboost"]


def trial(index: int, xgboost: float, catboost: float, blended: float, spread: float = 1.0) -> TrialResult:
    """Return a complete trial with these RMSEs on every split; its folds differ by ``spread``."""
    metrics = {}
    for name, rmse in (("xgboost", xgboost), ("catboost", catboost), ("blended", blended)):
        metrics |= {f"{split}_rmse_{name}": rmse for split in ("cv", "validation", "test")}
        metrics |= {f"cv_rmse_{name}_fold_{fold}": rmse + spread * (fold - 2) for fold in range(5)}
    info = {"weights": {"xgboost": 0.25, "catboost": 0.75}, "fit_seconds": {"xgboost": 1.0, "catboost": 2.0}}
    return TrialResult(index, "complete", {"xgboost__max_depth": 3}, 0.0, 1.0, metrics, info)


def failed(index: int) -> TrialResult:
    """Return a trial that failed."""
    return TrialResult(index, "failed", {}, 0.0, 1.0, failure="no luck")


def pruned(index: int) -> TrialResult:
    """Return a trial that was pruned after two folds."""
    return TrialResult(index, "pruned", {}, 0.0, 1.0, info={"pruned": {"folds": 2, "expected": 13.5}})


def out_of_fold(rows: int = 40) -> Predictions:
    """Return predictions whose first member errs less than the second."""
    random = np.random.RandomState(0)
    target = random.normal(size=rows)
    members = target[:, None] + random.normal(size=(rows, 2)) * [0.2, 0.4]
    return Predictions(target, members, members.mean(axis=1), None, tuple(MEMBERS))
