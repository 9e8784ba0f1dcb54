"""When the baseline is trained, and why it is not."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.class_weight import compute_sample_weight

from ensemble.channel import write_channel
from ensemble.members.boosting import CatBoost
from ensemble.table import Table, numbers
from experiments.backends.base import StudyHandle
from experiments.backends.baseline import Baseline
from experiments.study.baseline import BASELINE, PARAMETERS, baseline_seconds, score_mean
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult, TrialSpec
from tests.experiments.backends.contract import plan

SMALL, LARGE = {"rows": 200, "columns": {"number": 10}}, {"rows": 2_000_000, "columns": {"number": 10}}


class Handle:
    """Runs a training beside the trials, unless it costs money."""

    def __init__(self, *, paid: bool = False, result: TrialResult | None = None, slow: float = 1.0) -> None:
        self.paid = paid
        self.slow = slow
        self.result = result
        self.begun: list[TrialSpec] = []

    def run_beside(self, trial: TrialSpec, seconds: float | None = None) -> Callable[[], TrialResult | None] | None:
        if self.paid:
            return None
        self.begun.append(trial)
        return lambda: self.result

    def slowness(self) -> float:
        return self.slow


class Workers:
    """Gives the mean a score."""

    def call(self, function: str, kwargs: Mapping[str, Any], log: Path) -> dict[str, float]:
        assert log.parent.is_dir()
        return {"cv_rmse_mean": 80.0}


def finished(study: StudySpec, handle: Handle, info: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return what the ledger has of a baseline after a study of one trial, and what was printed."""
    file = io.StringIO()
    with Ledger.open(study) as ledger:
        baseline = Baseline(study, ledger, cast(StudyHandle, handle))
        baseline.start(TrialResult(0, "failed", {}, 0.0, 1.0, failure="no luck"))
        assert handle.begun == []
        for index in (1, 2):
            baseline.start(TrialResult(index, "complete", {}, 0.0, 1.0, info=info))
        baseline.finish(cast(Any, Workers), Console(file=file, width=200))
        return ledger.noted(BASELINE), file.getvalue()


def with_baseline(*arguments: str) -> StudySpec:
    return plan("search.baseline=true", *arguments)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_it_is_what_catboost_fits_by_itself(classes: int) -> None:
    import catboost

    random = np.random.RandomState(0)
    features = random.normal(size=(60, 2))
    score = features @ [1.0, -2.0] + random.normal(size=60)
    target = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(float) if classes else score
    member = CatBoost(PARAMETERS, seed=4, threads=1, classes=classes)
    member.fit(features, target)
    library = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    own = library(random_seed=4, thread_count=1, allow_writing_files=False, verbose=False).fit(features, target)
    theirs = own.predict_proba(features) if classes else own.predict(features)
    np.testing.assert_allclose(member.predict(features), theirs, rtol=1e-14)  # the exponential is not the same


def test_more_classes_take_more_time(folder: Path) -> None:
    study, trial = with_baseline(), TrialResult(1, "complete", {}, 0.0, 1.0, info=LARGE)
    of_three = dataclasses.replace(study, classes=("a", "b", "c"))
    assert baseline_seconds(of_three, trial) == pytest.approx(1.5 * baseline_seconds(study, trial))


def test_it_is_trained_once_with_catboosts_own_defaults(folder: Path) -> None:
    study = with_baseline("search.seed=3", "dataset.folds.k=4", "search.objective=validation_mae_xgboost")
    result = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_rmse_catboost": 55.0})
    noted, printed = finished(study, handle := Handle(result=result), SMALL)
    assert noted is not None
    assert noted["metrics"] == {"cv_rmse_catboost": 55.0, "cv_rmse_mean": 80.0}
    assert printed == ""
    (trial,) = handle.begun
    own = {name: text for name, text in trial.hyperparameters.items() if name.startswith("catboost__")}
    assert own == {"catboost__iterations": "1000"}
    assert [trial.hyperparameters[name] for name in ("members", "seed", "folds_k")] == ["catboost", "3", "4"]
    assert trial.hyperparameters["objective"] == "cv_mae_blended"  # so that its folds have it too
    finished(study, again := Handle(), SMALL)
    assert again.begun == []


@pytest.mark.parametrize(
    ("arguments", "handle", "info", "reason"),
    [
        (("search.timeout=60",), Handle(), LARGE, "too much of search.timeout=60"),
        (("search.timeout=60",), Handle(slow=4.0), SMALL, "too much of search.timeout=60"),  # beside other programs
        (("search.timeout=60",), Handle(), SMALL, "search.timeout=60 left no time for it"),
        ((), Handle(paid=True), LARGE, "on this machine, and a job on SageMaker costs money"),
    ],
)
def test_why_it_is_left_out_is_reported(
    arguments: tuple[str, ...], handle: Handle, info: dict[str, Any], reason: str, folder: Path
) -> None:
    study = with_baseline(*arguments)
    noted, printed = finished(study, handle, info)
    assert noted is not None
    assert noted["state"] == "failed"
    assert noted["metrics"] == {"cv_rmse_mean": 80.0}
    assert reason in noted["failure"]
    assert f"note: there is no score of plain CatBoost to compare with: {noted['failure']}." in printed
    later = dataclasses.replace(study, timeout=None)
    result = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_rmse_catboost": 55.0})
    if not handle.paid:
        tried, _ = finished(later, Handle(result=result), SMALL)
        assert tried is not None
        assert tried["state"] == "complete"


@pytest.mark.parametrize("arguments", [("search.baseline=false",), ("action=train", "search.baseline=false")])
def test_it_is_not_trained_if_the_user_says_so(arguments: tuple[str, ...], folder: Path) -> None:
    assert finished(plan(*arguments), handle := Handle(), SMALL) == (None, "")
    assert handle.begun == []


@pytest.mark.parametrize("kind", ["kfold", "time"])
def test_the_mean_is_that_of_the_rows_of_the_other_folds(kind: str, tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    target, weights = random.normal(size=30), random.uniform(size=30)
    keys = np.arange(30.0) if kind == "time" else None
    table = Table(numbers("a"), "price", random.normal(size=(30, 1)), target, weights, keys)
    write_channel(table, tmp_path)
    hyperparameters = {"members": "ridge", "folds_kind": kind, "folds_k": "2", "seed": "0"}
    found = score_mean(str(tmp_path), hyperparameters)
    if kind == "time":  # of thirty rows, the first ten are fitted and the next ten scored, then the first twenty
        parts = [(slice(0, 10), slice(10, 20)), (slice(0, 20), slice(20, 30))]
        for number, (fit, score) in enumerate(parts):
            mean = np.average(target[fit], weights=weights[fit])
            error = np.sqrt(np.average((target[score] - mean) ** 2, weights=weights[score]))
            assert found[f"cv_rmse_mean_fold_{number}"] == pytest.approx(error)
    folds = [found.pop(f"cv_rmse_mean_fold_{number}") for number in range(2)]
    assert set(found) == {"cv_rmse_mean", "cv_mae_mean", "cv_r2_mean"}
    assert min(folds) < found["cv_rmse_mean"] < max(folds)
    assert found["cv_r2_mean"] < 0 < found["cv_mae_mean"]


@pytest.mark.parametrize("balanced", [False, True])
def test_of_classes_the_baseline_is_their_frequencies(balanced: bool, tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    target = random.permutation(np.repeat([0.0, 1.0, 2.0], [16, 9, 5]))
    table = Table(numbers("a"), "risk", random.normal(size=(30, 1)), target, classes=("high", "low", "none"))
    write_channel(table, tmp_path)
    given = {"members": "xgboost", "folds_k": "3", "seed": "0", "objective": "cv_auc_blended"}
    hyperparameters = given | ({"class_weight": "balanced"} if balanced else {})
    found = score_mean(str(tmp_path), hyperparameters)
    assert set(found) == {
        "cv_logloss_mean",
        "cv_accuracy_mean",
        "cv_auc_mean",
        *(f"cv_logloss_mean_fold_{fold}" for fold in range(3)),
    }
    weights = compute_sample_weight("balanced", target) if balanced else np.ones(30)
    losses = []
    for number, (fit, score) in enumerate(StratifiedKFold(3, shuffle=True, random_state=0).split(target, target)):
        frequencies = np.bincount(target[fit].astype(int), weights[fit]) / weights[fit].sum()
        losses.append(-np.log(frequencies[target[score].astype(int)]))
        assert found[f"cv_logloss_mean_fold_{number}"] == pytest.approx(np.average(losses[-1], weights=weights[score]))
    if not balanced:
        assert found["cv_logloss_mean"] == pytest.approx(np.mean(np.concatenate(losses)))
        assert found["cv_accuracy_mean"] == pytest.approx(16 / 30)
