"""The verdict in words: whether the ensemble pays, against which member, and how sure that is."""

from __future__ import annotations

import dataclasses
import re

import pytest

from experiments.reporting.verdict import below_or_above, gap_text, interval_text, next_step_text, verdict_text
from experiments.study.fold_intervals import Interval
from experiments.study.more_trials import Outlook
from experiments.study.spec import TrialResult
from tests.experiments.reporting.builder import MEMBERS, class_trial, trial

OBJECTIVE = "cv_rmse_blended"


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        (
            trial(0, 11.0, 12.0, 10.0),
            "The ensemble pays: the blend's CV RMSE is 1 below that of the best",
        ),
        (
            trial(0, 11.0, 12.0, 11.5),
            "The ensemble costs: the blend's CV RMSE is 0.5 above that of the best",
        ),
        (trial(0, 21234.5, 31234.5, 20000.0), "the blend's CV RMSE is 1230 below that of the best"),
    ],
)
def test_verdict_names_the_best_member_and_the_lift(best: TrialResult, verdict: str) -> None:
    text = verdict_text(best, [best], MEMBERS, OBJECTIVE).plain
    assert verdict in text
    assert f"(xgboost in trial 0, {best.metrics['cv_rmse_xgboost']:.6g})" in text


def test_verdict_compares_with_the_best_member_of_any_trial() -> None:
    results = [trial(0, 11.0, 12.0, 10.0), trial(1, 9.5, 20.0, 14.0)]
    text = verdict_text(results[0], results, MEMBERS, OBJECTIVE).plain
    assert "The ensemble costs: the blend's CV RMSE is 0.5 above" in text
    assert "(xgboost in trial 1, 9.5)" in text


def test_verdict_is_undecided_if_the_interval_includes_zero() -> None:
    best = trial(0, 11.0, 12.0, 10.9)
    metrics = {**best.metrics, "cv_rmse_blended_fold_0": 20.0, "cv_rmse_blended_fold_1": 1.0}
    final = dataclasses.replace(best, metrics=metrics)
    text = verdict_text(final, [final], MEMBERS, OBJECTIVE).plain
    assert "Undecided" in text
    assert re.search(r"95% interval [\d.]+ below to [\d.]+ above, which includes zero\.", text)
    assert "includes zero" in text


def test_verdict_says_that_the_blend_equals_a_member() -> None:
    best = trial(0, 11.0, 12.0, 11.0)
    assert verdict_text(best, [best], MEMBERS, OBJECTIVE).plain == (
        "Undecided: the blend is as good as the best single member (xgboost in trial 0, 11); their CV RMSE is the same "
        "on every fold."
    )


def test_an_ensemble_of_one_member_has_no_verdict() -> None:
    only = trial(0, 11.0, 12.0, 11.0)
    text = verdict_text(only, [only], ["xgboost"], OBJECTIVE).plain
    assert text == "The ensemble has one member, so there is no blend to compare."


@pytest.mark.parametrize(
    ("lift", "text"), [(0.0, "0 below"), (-0.12345, "0.123 below"), (1234.5, "1230 above"), (1e-7, "0.0000001 above")]
)
def test_a_lift_is_shown_with_three_digits_and_without_an_exponent(lift: float, text: str) -> None:
    assert below_or_above(lift) == text


def test_an_interval_is_shown_in_the_order_of_its_ends() -> None:
    assert interval_text(Interval(-0.5, -2.0, 1.0)) == "95% interval 2 below to 1 above, which includes zero"
    assert interval_text(Interval(-1.5, -2.0, -1.0)) == "95% interval 2 below to 1 below"


def undecided(spread: float, **info: object) -> TrialResult:
    """Return a winner whose blend is 0.1 better than its best member, and whose folds disagree by this much."""
    one = trial(0, 11.0, 12.0, 10.9)
    folds = {f"cv_rmse_blended_fold_{n}": 10.9 + (n - 2) + spread * (-1) ** n for n in range(5)}
    return dataclasses.replace(one, metrics={**one.metrics, **folds}, info={**one.info, **info})


def test_an_undecided_verdict_ends_with_a_next_step() -> None:
    three = [*MEMBERS, "ridge"]
    little, much = undecided(0.08), undecided(3.0)
    text = next_step_text(little, [little], MEMBERS, OBJECTIVE, {}, None)
    assert text is not None
    assert re.fullmatch(
        r"Next step: repeat the folds, dataset\.folds\.kind=repeated dataset\.folds\.repeats=\d+, which decides it if "
        r"the difference stays\.",
        text,
    )
    spare = next_step_text(much, [much], three, OBJECTIVE, {"xgboost": 0.5, "catboost": 0.001, "ridge": 0.1}, None)
    assert spare == (
        "Next step: drop catboost, without which the blend is hardly worse, ensemble.members=[xgboost,ridge]."
    )
    assert next_step_text(much, [much], MEMBERS, OBJECTIVE, {"xgboost": 0.5, "catboost": 0.4}, None) == (
        "More folds would hardly decide it. Next step: take the simpler model, ensemble.members=[xgboost]."
    )
    worth = Outlook(20, 0.5, gain=1.0, low=0.0, high=2.0, best=10.0, seconds=1.0, usd=None)
    more = next_step_text(much, [much], MEMBERS, OBJECTIVE, {}, worth)
    assert more == "Next step: run more trials, search.n_trials=21."
    by_time = undecided(0.08, recipe={"folds": {"kind": "time", "k": 5, "repeats": 1}})
    assert (
        next_step_text(by_time, [by_time], MEMBERS, OBJECTIVE, {}, None)
        == "Next step: use more folds, dataset.folds.k=10."
    )
    hurried = undecided(3.0, left_out={"svr": "slow"})
    assert next_step_text(hurried, [hurried], MEMBERS, OBJECTIVE, {}, None) == (
        "Next step: allow the members that were left out their time, with a longer search.timeout."
    )
    idle = undecided(3.0, weights={"xgboost": 0.9996, "catboost": 0.0004, "ridge": 0.0})
    assert next_step_text(idle, [idle], three, OBJECTIVE, {"xgboost": 0.0, "catboost": 0.1, "ridge": 0.1}, None) == (
        "Next step: drop catboost, ridge, without weight, ensemble.members=[xgboost]."
    )
    best = trial(0, 10.5, 12.0, 10.9)
    behind = dataclasses.replace(best, metrics={**undecided(3.0).metrics, "cv_rmse_xgboost": 10.5})
    assert next_step_text(behind, [behind], three, OBJECTIVE, {"xgboost": 0.5, "catboost": 0.0}, worth) == (
        "Next step: run more trials, search.n_trials=21; or take the simpler model, ensemble.members=[xgboost]."
    )
    costs = trial(0, 11.0, 12.0, 11.5)
    assert next_step_text(costs, [costs], MEMBERS, OBJECTIVE, {}, worth) == (
        "Next step: take the simpler model, ensemble.members=[xgboost]."
    )
    decided = trial(0, 11.0, 12.0, 10.0)
    assert next_step_text(decided, [decided], MEMBERS, OBJECTIVE, {}, None) is None


def test_a_test_score_far_from_cross_validation_gets_a_remark() -> None:
    near = trial(0, 11.0, 12.0, 10.0)
    assert gap_text(near) is None
    worse, better = (
        gap_text(dataclasses.replace(near, metrics={**near.metrics, "test_rmse_blended": score}))
        for score in (14.0, 6.0)
    )
    assert worse is not None
    assert worse.startswith("The test RMSE is 40% above that in cross-validation, 2.1 times the standard error")
    assert "dataset.folds.kind=time" in worse
    assert better is not None
    assert "is 40% below that in cross-validation" in better


def test_a_verdict_on_a_score_that_is_maximised_says_above_for_better() -> None:
    best = class_trial(0, 0.5, 0.4, 0.6)
    values = {"xgboost": 0.8, "catboost": 0.7, "blended": 0.9}
    metrics = {f"cv_auc_{name}": value for name, value in values.items()}
    metrics |= {f"cv_auc_{name}_fold_{fold}": value for name, value in values.items() for fold in range(5)}
    best = dataclasses.replace(best, metrics={**best.metrics, **metrics})
    text = verdict_text(best, [best], MEMBERS, "cv_auc_blended").plain
    assert text == (
        "The ensemble pays: the blend's CV AUC is 0.1 above that of the best single member "
        "(xgboost in trial 0, 0.8); 95% interval 0.1 above to 0.1 above."
    )
