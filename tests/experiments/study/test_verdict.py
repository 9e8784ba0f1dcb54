"""The verdict compares the blend with the best single member of all trials, fold by fold."""

from __future__ import annotations

import dataclasses
import math

import pytest

from experiments.study.fold_intervals import Interval, score_difference
from experiments.study.spec import TrialResult
from experiments.study.verdict import (
    best_single_member,
    decisive_score,
    gap_on_test_rows,
    lift_over_baseline,
    lift_over_best_member,
    repeats_to_decide,
    score_rows,
    study_metrics,
    verdict,
)
from tests.experiments.reporting.builder import MEMBERS, failed, pruned, trial

OBJECTIVE = "cv_rmse_blended"
TWO = [trial(0, 11.0, 12.0, 10.0), trial(1, 9.5, 20.0, 14.0)]


def test_the_best_single_member_comes_from_any_complete_trial() -> None:
    best = best_single_member([failed(2), *TWO, pruned(3)], MEMBERS, "rmse")
    assert (best.name, best.trial.index, best.score) == ("xgboost", 1, 9.5)


def test_of_equal_members_the_first_trial_and_member_counts() -> None:
    best = best_single_member([trial(0, 9.0, 9.0, 8.0), trial(1, 9.0, 9.0, 8.0)], MEMBERS, "rmse")
    assert (best.name, best.trial.index) == ("xgboost", 0)


def test_the_lift_is_the_difference_of_the_scores_of_two_trials() -> None:
    lift = lift_over_best_member(TWO[0], best_single_member(TWO, MEMBERS, "rmse"), MEMBERS)
    assert lift == score_difference(TWO[0], "blended", TWO[1], "xgboost", "rmse")
    assert lift is not None
    assert (lift.value, (lift.low + lift.high) / 2) == pytest.approx((0.5, 0.5))


def test_the_blend_is_compared_with_plain_catboost_fold_by_fold() -> None:
    metrics = {"cv_rmse_catboost": 12.0, "cv_rmse_mean": 20.0}
    metrics |= {f"cv_rmse_catboost_fold_{fold}": 12.0 + 2 * fold for fold in range(5)}
    baseline = TrialResult(0, "complete", {}, 0.0, 1.0, metrics)
    lift = lift_over_baseline(TWO[0], baseline, "rmse")
    assert lift == score_difference(TWO[0], "blended", baseline, "catboost")
    numbers = study_metrics(TWO[0], TWO, MEMBERS, OBJECTIVE, baseline)
    assert (numbers["cv_rmse_catboost_default"], numbers["cv_rmse_target_mean"]) == (12.0, 20.0)
    assert lift is not None
    assert numbers["lift_over_catboost_low"] == lift.low
    failed_one = dataclasses.replace(baseline, state="failed", metrics={"cv_rmse_mean": 20.0})
    assert lift_over_baseline(TWO[0], failed_one, "rmse") is None
    assert "cv_rmse_catboost_default" not in study_metrics(TWO[0], TWO, MEMBERS, OBJECTIVE, failed_one)


def test_one_member_has_no_lift() -> None:
    assert lift_over_best_member(TWO[0], best_single_member(TWO, ["xgboost"], "rmse"), ["xgboost"]) is None
    assert "lift_mean" not in study_metrics(TWO[0], TWO, ["xgboost"], OBJECTIVE)


@pytest.mark.parametrize(
    ("score", "low", "high", "expected"),
    [
        ("rmse", -0.2, -0.1, "pays"),
        ("rmse", 0.1, 0.2, "costs"),
        ("rmse", -0.1, 0.1, "undecided"),
        ("rmse", 0.0, 0.2, "undecided"),
        ("auc", 0.1, 0.2, "pays"),
        ("auc", -0.2, -0.1, "costs"),
    ],
)
def test_an_interval_with_zero_is_undecided(score: str, low: float, high: float, expected: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high), score) == expected


def test_a_single_member_has_no_row_of_the_blend_unless_the_blend_changes_it() -> None:
    assert score_rows(TWO[0].metrics, MEMBERS) == [*MEMBERS, "blended"]
    metrics = {name: value for name, value in TWO[0].metrics.items() if "_catboost" not in name}
    metrics |= {name.replace("xgboost", "blended"): value for name, value in metrics.items() if "xgboost" in name}
    single = dataclasses.replace(TWO[0], metrics=metrics, info={"weights": {"xgboost": 1.0}})
    assert score_rows(single.metrics, ["xgboost"]) == ["xgboost"]
    calibrated = dataclasses.replace(single, metrics={**metrics, "cv_rmse_blended": 10.9})
    assert score_rows(calibrated.metrics, ["xgboost"]) == ["xgboost", "blended"]


@pytest.mark.parametrize(
    ("half", "repeats"), [(0.11, 3), (0.17, 6), (0.5, None)], ids=["nearly decided", "wider", "hopeless"]
)
def test_repeats_are_proposed_that_would_decide_a_lift(half: float, repeats: int | None) -> None:
    found = repeats_to_decide(Interval(-0.1, -0.1 - half, -0.1 + half), 5, 1)
    assert found == repeats
    assert repeats_to_decide(Interval(0.1, 0.1 - half, 0.1 + half), 5, 10) is None


def test_a_large_gap_between_test_rows_and_cross_validation_is_found() -> None:
    near = trial(0, 11.0, 12.0, 10.0)
    assert gap_on_test_rows(near) is None
    for test, share in ((14.0, 0.4), (6.0, -0.4)):
        far = dataclasses.replace(near, metrics={**near.metrics, "test_rmse_blended": test})
        gap = gap_on_test_rows(far)
        assert gap is not None
        assert gap.share == pytest.approx(share)
        # Folds 8 to 12 have the variance 2.5; their parts, which are linear in squares, 2.5 and a little.
        assert gap.errors == pytest.approx(4 / math.sqrt(2.5 * (1 + 0.45)), rel=0.02)
    noisy = dataclasses.replace(trial(0, 11.0, 12.0, 10.0, spread=4.0))
    assert gap_on_test_rows(dataclasses.replace(noisy, metrics={**noisy.metrics, "test_rmse_blended": 14.0})) is None
    assert gap_on_test_rows(dataclasses.replace(near, metrics={**near.metrics, "test_rmse_blended": 10.9})) is None


def test_the_studys_run_in_mlflow_has_the_winners_scores_and_the_lift() -> None:
    numbers = study_metrics(TWO[0], TWO, MEMBERS, OBJECTIVE)
    names = [f"{split}_rmse_{name}" for split in ("cv", "validation", "test") for name in (*MEMBERS, "blended")]
    assert list(numbers) == [*names, "lift_mean", "lift_low", "lift_high", "cv_rmse_best_lone_member"]
    assert (numbers["lift_mean"], numbers["cv_rmse_best_lone_member"]) == (
        0.5,
        9.5,
    )  # 0.5 above, in the terminal's words
    assert numbers["lift_low"] < 0.5 < numbers["lift_high"]


def with_score(result: TrialResult, score: str, values: dict[str, float]) -> TrialResult:
    """Return a trial with one more score of members and blend, whose folds differ by 0.01."""
    metrics = {f"cv_{score}_{name}": value for name, value in values.items()}
    metrics |= {
        f"cv_{score}_{name}_fold_{fold}": v + 0.01 * (fold - 2) for name, v in values.items() for fold in range(5)
    }
    return dataclasses.replace(result, metrics={**result.metrics, **metrics})


@pytest.mark.parametrize("score", ["mae", "r2"])
def test_the_verdict_is_on_the_objective(score: str) -> None:
    """By RMSE the blend of the second trial loses to XGBoost by 4.5; a higher R2 is better, and a lower MAE."""
    sign = 1.0 if score == "r2" else -1.0
    first = with_score(TWO[0], score, {"xgboost": 0.5, "catboost": 0.5, "blended": 0.5})
    winner = with_score(TWO[1], score, {"xgboost": 0.5, "catboost": 0.5 + 0.1 * sign, "blended": 0.5 + 0.3 * sign})
    plain = with_score(TrialResult(0, "complete", {}, 0.0, 1.0), score, {"catboost": 0.5 + 0.25 * sign, "mean": 0.0})
    assert decisive_score(f"cv_{score}_blended", [first, winner]) == score
    numbers = study_metrics(winner, [first, winner], MEMBERS, f"cv_{score}_blended", plain)
    best = best_single_member([first, winner], MEMBERS, score)
    assert (best.name, best.trial.index, best.score) == ("catboost", 1, 0.5 + 0.1 * sign)
    assert numbers["lift_mean"] == pytest.approx(0.2 * sign)
    assert numbers["lift_over_catboost_mean"] == pytest.approx(0.05 * sign)
    assert numbers[f"cv_{score}_best_lone_member"] == 0.5 + 0.1 * sign
    assert numbers[f"cv_{score}_catboost_default"] == 0.5 + 0.25 * sign
    assert numbers["cv_rmse_blended"] == 14.0


def test_the_verdict_is_on_the_main_score_if_a_trial_lacks_the_objective_on_each_fold() -> None:
    one = with_score(TWO[0], "mae", {"xgboost": 0.5, "catboost": 0.5, "blended": 0.5})
    assert decisive_score("cv_mae_blended", [one, TWO[1], failed(2)]) == "rmse"


def test_a_study_without_test_rows_has_no_test_scores() -> None:
    metrics = {name: value for name, value in TWO[0].metrics.items() if not name.startswith("test_")}
    final: TrialResult = dataclasses.replace(TWO[0], metrics=metrics)
    assert not [name for name in study_metrics(final, TWO, MEMBERS, OBJECTIVE) if name.startswith("test_")]
