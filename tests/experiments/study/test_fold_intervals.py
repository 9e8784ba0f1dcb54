"""The interval of a score over all rows, from its folds, against values worked out by hand and against refitted scores."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from ensemble.evaluation import pooled_scores
from experiments.study.fold_intervals import fold_scores, score_difference, score_interval
from experiments.study.spec import TrialResult


def trial(score: str, members: dict[str, tuple[float, list[float]]], **info: Any) -> TrialResult:
    """Return a trial whose members have this score over all rows and on the folds."""
    metrics = {f"cv_{score}_{name}": whole for name, (whole, _) in members.items()}
    for name, (_, folds) in members.items():
        metrics |= {f"cv_{score}_{name}_fold_{number}": value for number, value in enumerate(folds)}
    classes = {"classes": ["no", "yes"]} if score != "rmse" else {}
    return TrialResult(0, "complete", {}, 0.0, 1.0, metrics, {**classes, **info})


def folds_of(k: int, repeats: int = 1) -> dict[str, Any]:
    return {"recipe": {"folds": {"kind": "kfold", "k": k, "repeats": repeats}}}


def test_fold_scores_are_in_the_order_of_the_folds() -> None:
    metrics = {f"cv_rmse_ridge_fold_{fold}": float(fold) for fold in (10, 2, 0)} | {"cv_rmse_ridge": 9.0}
    result = TrialResult(0, "complete", {}, 0.0, 1.0, metrics)
    assert list(fold_scores(result, "ridge").items()) == [(0, 0.0), (2, 2.0), (10, 10.0)]
    assert fold_scores(result, "xgboost") == {}
    assert score_interval(result, "xgboost") is None


def test_equal_folds_have_an_interval_without_width() -> None:
    found = score_interval(trial("rmse", {"ridge": (2.0, [2.0, 2.0, 2.0])}), "ridge")
    assert found is not None
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_the_interval_of_a_mean_over_rows_is_the_corrected_one_worked_out_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, variance 1. t(0.975, 2) = 4.302653; 1/3 + 1/2 = 0.833333, its root 0.912871.
    both = trial("logloss", {"ridge": (22.0, [11.0, 22.0, 33.0]), "blended": (20.0, [10.0, 20.0, 30.0])})
    lift = score_difference(both, "blended", both, "ridge")
    assert lift is not None
    assert lift.value == -2
    assert (lift.low, lift.high) == (pytest.approx(-2 - 3.927767, abs=1e-6), pytest.approx(-2 + 3.927767, abs=1e-6))


def test_the_parts_of_an_rmse_are_linear_in_its_squared_errors() -> None:
    # Squares 1, 4, 7: mean 4, root 2. Parts 2 + (square - 4) / 4: 1.25, 2, 2.75, with the variance 0.5625.
    found = score_interval(trial("rmse", {"ridge": (2.0, [1.0, 2.0, math.sqrt(7)])}), "ridge")
    assert found is not None
    assert found.value == 2
    assert found.high - found.value == pytest.approx(4.302653 * math.sqrt(5 / 6 * 0.5625), rel=1e-6)


def test_folds_of_unlike_size_count_by_their_rows() -> None:
    # Shares 1/4 and 3/4 of the folds 4 and 8: mean 7. Parts 7 + 2 (1/4) (4 - 7) = 5.5 and 7 + 2 (3/4) (8 - 7) = 8.5.
    found = score_interval(trial("logloss", {"ridge": (7.0, [4.0, 8.0])}, fold_weights=[10.0, 30.0]), "ridge")
    assert found is not None
    assert found.high - found.value == pytest.approx(12.7062 * math.sqrt((1 / 2 + 1) * 4.5), rel=1e-5)


def test_repeated_folds_are_corrected_by_one_division() -> None:
    # Six folds of two divisions into three: 1/6 + 1/2 in place of 1/6 + 1/5.
    folds = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]
    found = score_interval(trial("logloss", {"ridge": (2.0, folds)}, **folds_of(3, 2)), "ridge")
    assert found is not None
    assert found.high - found.value == pytest.approx(2.570582 * math.sqrt((1 / 6 + 1 / 2) * 0.8), rel=1e-6)


def test_a_difference_is_of_the_scores_that_are_shown_even_where_folds_are_unlike() -> None:
    # The root of a mean of squares is not the mean of roots: one bad fold turns the sign of the latter.
    both = trial("rmse", {"ridge": (3.0, [1.0, 1.0, 5.0]), "blended": (2.5, [1.5, 1.5, 3.8])})
    lift = score_difference(both, "blended", both, "ridge")
    assert lift is not None
    assert lift.value == -0.5
    assert (lift.low + lift.high) / 2 == pytest.approx(-0.5)


def test_what_is_not_a_mean_over_rows_is_centred_on_the_score_over_all_rows() -> None:
    found = score_interval(trial("auc", {"ridge": (0.8, [0.9, 0.85, 0.95])}), "ridge", "auc")
    assert found is not None
    assert (found.low + found.high) / 2 == pytest.approx(0.8)
    # The folds alike, and the score over all rows another: what the folds do not tell is in the interval.
    both = trial("auc", {"ridge": (0.776, [0.7, 0.8, 0.9]), "blended": (0.775, [0.7, 0.8, 0.9])})
    lift = score_difference(both, "blended", both, "ridge", "auc")
    assert lift is not None
    assert (lift.value, lift.low, lift.high) == (pytest.approx(-0.001), pytest.approx(-0.002), pytest.approx(0.0))


def test_divisions_of_the_rows_that_differ_widen_the_interval() -> None:
    # Parts 1, 2, 3 and 2, 3, 4 around 2 and 3: six numbers of variance 1.1, not of 0.8.
    folds = [1.0, 2.0, 3.0, 2.0, 3.0, 4.0]
    found = score_interval(trial("logloss", {"ridge": (2.5, folds)}, **folds_of(3, 2)), "ridge")
    assert found is not None
    assert found.high - found.value == pytest.approx(2.570582 * math.sqrt((1 / 6 + 1 / 2) * 1.1), rel=1e-6)


def test_other_folds_have_no_difference() -> None:
    one = trial("rmse", {"ridge": (2.0, [1.0, 2.0, 3.0])})
    other = trial("rmse", {"ridge": (2.0, [1.0, 2.0])})
    assert score_difference(one, "ridge", other, "ridge") is None
    gap = dataclasses.replace(other, metrics={name: v for name, v in one.metrics.items() if not name.endswith("_1")})
    assert score_difference(one, "ridge", gap, "ridge") is None


@pytest.mark.slow  # 400 data sets: how often the interval covers the true difference, in which 0.95 is promised
def test_intervals_of_a_pooled_rmse_cover_the_true_difference() -> None:
    random = np.random.RandomState(0)
    rows, k, covered, tried = 200, 5, 0, 400
    truth = math.sqrt(1.1**2 + 1) - math.sqrt(2)  # two predictions of noise 1 with errors of their own
    for _ in range(tried):
        noise = random.normal(size=rows)
        fold = np.arange(rows) % k
        members = {}
        for name, scale in (("ridge", 1.0), ("blended", 1.1)):
            error = noise + scale * random.normal(size=rows)
            whole = pooled_scores(name, noise * 0, error[None])[f"cv_rmse_{name}"]
            members[name] = (whole, [float(np.sqrt(np.mean(error[fold == n] ** 2))) for n in range(k)])
        both = trial("rmse", members)
        lift = score_difference(both, "blended", both, "ridge")
        assert lift is not None
        covered += lift.low <= truth <= lift.high
    assert covered / tried > 0.93
