"""The interval of a mean over folds, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from experiments.study.fold_intervals import fold_scores, mean_over_folds, paired_lift
from experiments.study.spec import TrialResult


def test_fold_scores_are_in_the_order_of_the_folds() -> None:
    metrics = {f"cv_rmse_ridge_fold_{fold}": float(fold) for fold in (10, 2, 0)} | {"cv_rmse_ridge": 9.0}
    result = TrialResult(0, "complete", {}, 0.0, 1.0, metrics)
    assert fold_scores(result, "ridge") == [0.0, 2.0, 10.0]
    assert fold_scores(result, "xgboost") == []


def test_equal_scores_have_an_interval_without_width() -> None:
    interval = mean_over_folds([2.0, 2.0, 2.0])
    assert (interval.mean, interval.low, interval.high) == (2.0, 2.0, 2.0)


def test_lift_is_the_corrected_interval_worked_out_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, variance 1. t(0.975, 2) = 4.302653; 1/3 + 1/2 = 0.833333, its root 0.912871.
    lift = paired_lift([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert lift.mean == pytest.approx(2)
    assert lift.low == pytest.approx(2 - 3.927767, abs=1e-6)
    assert lift.high == pytest.approx(2 + 3.927767, abs=1e-6)


def test_lift_of_five_folds_is_the_one_worked_out_by_hand() -> None:
    # Differences 0.5, 0.1, 0.3, 0.2, 0.4: mean 0.3, variance 0.025. t(0.975, 4) = 2.776445; 1/5 + 1/4 = 0.45.
    lift = paired_lift([10.5, 9.1, 11.3, 8.2, 7.4], [10.0, 9.0, 11.0, 8.0, 7.0])
    assert lift.mean == pytest.approx(0.3)
    assert lift.high - lift.mean == pytest.approx(2.776445 * math.sqrt(0.45 * 0.025), rel=1e-6)
    assert lift.mean - lift.low == pytest.approx(lift.high - lift.mean)


def test_a_blend_that_is_worse_has_negative_lift() -> None:
    lift = paired_lift([1.0, 2.0], [1.5, 2.5])
    assert (lift.mean, lift.low, lift.high) == (-0.5, -0.5, -0.5)


def test_lift_over_repeated_folds_corrects_by_one_division() -> None:
    # Six differences of two divisions into three folds: 1/6 + 1/2 in place of 1/6 + 1/5.
    baseline = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    lift = paired_lift(baseline, [0.0] * 6, k=3)
    assert lift.high - lift.mean == pytest.approx(2.570582 * math.sqrt((1 / 6 + 1 / 2) * 3.5), rel=1e-6)
