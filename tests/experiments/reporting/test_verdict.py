"""The verdict in words: whether the ensemble pays, against which member, and how sure that is."""

from __future__ import annotations

import dataclasses
import re

import pytest

from experiments.reporting.verdict import below_or_above, span, verdict_text
from experiments.study.fold_intervals import Interval
from experiments.study.spec import TrialResult
from tests.experiments.reporting.builder import MEMBERS, class_trial, trial

OBJECTIVE = "cv_rmse_blended"


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        (
            trial(0, 11.0, 12.0, 10.0),
            "The ensemble pays: on average over the folds, the blend's RMSE is 1 below that of the best",
        ),
        (
            trial(0, 11.0, 12.0, 11.5),
            "The ensemble costs: on average over the folds, the blend's RMSE is 0.5 above that of the best",
        ),
        (trial(0, 11.0, 12.0, 11.5), "95% interval 0.5 above to 0.5 above."),
        (trial(0, 21234.5, 31234.5, 20000.0), "the blend's RMSE is 1230 below that of the best"),
    ],
)
def test_verdict_names_the_best_member_and_the_lift(best: TrialResult, verdict: str) -> None:
    text = verdict_text(best, [best], MEMBERS, OBJECTIVE).plain
    assert verdict in text
    assert f"(xgboost in trial 0, {best.metrics['cv_rmse_xgboost']:.6g})" in text


def test_verdict_compares_with_the_best_member_of_any_trial() -> None:
    results = [trial(0, 11.0, 12.0, 10.0), trial(1, 9.5, 20.0, 14.0)]
    text = verdict_text(results[0], results, MEMBERS, OBJECTIVE).plain
    assert "The ensemble costs: on average over the folds, the blend's RMSE is 0.5 above" in text
    assert "(xgboost in trial 1, 9.5)" in text


def test_verdict_is_undecided_if_the_interval_includes_zero() -> None:
    best = trial(0, 11.0, 12.0, 10.9)
    metrics = {**best.metrics, "cv_rmse_blended_fold_0": 20.0, "cv_rmse_blended_fold_1": 1.0}
    final = dataclasses.replace(best, metrics=metrics)
    text = verdict_text(final, [final], MEMBERS, OBJECTIVE).plain
    assert "Undecided" in text
    assert re.search(r"95% interval [\d.]+ below to [\d.]+ above, which includes zero\.", text)
    assert "includes zero" in text


def test_an_ensemble_of_one_member_has_no_verdict() -> None:
    only = trial(0, 11.0, 12.0, 11.0)
    text = verdict_text(only, [only], ["xgboost"], OBJECTIVE).plain
    assert text == "The ensemble has one member, so there is no blend to compare."


@pytest.mark.parametrize(
    ("lift", "text"), [(0.0, "0 below"), (0.12345, "0.123 below"), (-1234.5, "1230 above"), (-1e-7, "0.0000001 above")]
)
def test_a_lift_is_shown_with_three_digits_and_without_an_exponent(lift: float, text: str) -> None:
    assert below_or_above(lift, "rmse") == text


def test_an_interval_is_shown_from_its_better_end() -> None:
    assert span(Interval(0.5, -1.0, 2.0), "logloss") == "2 below to 1 above"
    assert span(Interval(0.5, -1.0, 2.0), "auc") == "2 above to 1 below"


def test_a_verdict_on_a_score_that_is_maximised_says_above_for_better() -> None:
    best = class_trial(0, 0.5, 0.4, 0.6)
    values = {"xgboost": 0.8, "catboost": 0.7, "blended": 0.9}
    metrics = {f"cv_auc_{name}": value for name, value in values.items()}
    metrics |= {f"cv_auc_{name}_fold_{fold}": value for name, value in values.items() for fold in range(5)}
    best = dataclasses.replace(best, metrics={**best.metrics, **metrics})
    text = verdict_text(best, [best], MEMBERS, "cv_auc_blended").plain
    assert text == (
        "The ensemble pays: on average over the folds, the blend's AUC is 0.1 above that of the best single member "
        "(xgboost in trial 0, 0.8); 95% interval 0.1 above to 0.1 above."
    )
