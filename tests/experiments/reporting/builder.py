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


def class_trial(index: int, xgboost: float, catboost: float, blended: float) -> TrialResult:
    """Return a complete trial of two classes with these log losses on every split."""
    quantity = trial(index, xgboost, catboost, blended, spread=0.01)
    metrics = {name.replace("_rmse_", "_logloss_"): value for name, value in quantity.metrics.items()}
    for name in (*MEMBERS, "blended"):
        metrics |= {f"{split}_auc_{name}": 0.9 for split in ("cv", "test")}
        metrics |= {f"{split}_accuracy_{name}": 0.8 for split in ("cv", "test")}
    info = {**quantity.info, "classes": ["no", "yes"], "positive": "yes", "decision": {"positive": 1, "threshold": 0.5}}
    return TrialResult(index, "complete", quantity.params, 0.0, 1.0, metrics, info)


def failed(index: int) -> TrialResult:
    """Return a trial that failed."""
    return TrialResult(index, "failed", {}, 0.0, 1.0, failure="no luck")


def pruned(index: int) -> TrialResult:
    """Return a trial that was pruned after two folds."""
    return TrialResult(index, "pruned", {}, 0.0, 1.0, info={"pruned": {"folds": 2, "expected": 13.5}})


def class_probabilities(rows: int = 40, classes: int = 2) -> Predictions:
    """Return probabilities of classes, of which the first member errs less than the second."""
    random = np.random.RandomState(0)
    target = np.arange(rows) % classes
    members = random.dirichlet(np.ones(classes), size=(rows, 2))
    members[np.arange(rows), :, target] += [3.0, 0.3]
    members /= members.sum(axis=2, keepdims=True)
    blended = members.mean(axis=1)
    return Predictions(target.astype(float), members, blended, None, tuple(MEMBERS), blended.argmax(axis=1))


def out_of_fold(rows: int = 40) -> Predictions:
    """Return predictions whose first member errs less than the second."""
    random = np.random.RandomState(0)
    target = random.normal(size=rows)
    members = target[:, None] + random.normal(size=(rows, 2)) * [0.2, 0.4]
    return Predictions(target, members, members.mean(axis=1), None, tuple(MEMBERS))
