"""What identifies a study, what a sampler learns of a trial, and which trial is the best."""

from __future__ import annotations

import dataclasses

import pytest

from experiments.study.spec import StudySpec, TrialResult, best_of
from tests.support.studies import study as planned


@pytest.fixture(scope="module")
def study() -> StudySpec:
    return planned("search.n_trials=3")


def result(index: int, state: str = "complete", **metrics: float) -> TrialResult:
    return TrialResult(index, state, {}, 0.0, 1.0, metrics)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["parallel", "threads", "max_failure_rate", "timeout", "n_trials", "name"])
def test_what_changes_no_number_is_not_part_of_the_identity(study: StudySpec, change: str) -> None:
    if change == "n_trials":
        other = dataclasses.replace(study, search=dataclasses.replace(study.search, n_trials=99))
    else:
        other = dataclasses.replace(study, **{change: "other" if change == "name" else 7})
    assert other.identity() == study.identity()
    assert other.identity_hash() == study.identity_hash()


def test_what_decides_numbers_is_part_of_the_identity(study: StudySpec) -> None:
    others = [
        dataclasses.replace(study, mode="sagemaker"),
        dataclasses.replace(study, cold=True),
        dataclasses.replace(study, objective="cv_r2_blended"),
        dataclasses.replace(study, static={**study.static, "seed": "9"}),
        dataclasses.replace(study, code={"mine": "1" * 64}),
        dataclasses.replace(study, points=({"xgboost__eta": 0.1},)),
        dataclasses.replace(study, search=dataclasses.replace(study.search, seed=9)),
        dataclasses.replace(study, channels=dataclasses.replace(study.channels, data_hash="0" * 64)),
    ]
    assert len({spec.identity_hash() for spec in (study, *others)}) == len(others) + 1


def test_given_points_are_counted_and_replace_the_search(study: StudySpec) -> None:
    given = dataclasses.replace(study, points=({"xgboost__eta": 0.1}, {"xgboost__eta": 0.2}))
    assert (study.n_trials, given.n_trials) == (3, 2)
    assert not [key for key in given.identity() if key.startswith(("search.", "space."))]


def test_searched_values_replace_fixed_ones_on_the_wire(study: StudySpec) -> None:
    found = study.hyperparameters({"seed": 7, "xgboost__eta": 0.25})
    assert found == {**study.static, "seed": "7", "xgboost__eta": "0.25"}


@pytest.mark.parametrize(("objective", "best"), [("cv_rmse_blended", 1), ("cv_mae_blended", 1), ("cv_r2_blended", 2)])
def test_the_best_trial_is_the_earliest_of_equals_in_the_objectives_direction(objective: str, best: int) -> None:
    values = [3.0, 1.0, 3.0, 1.0] if best == 1 else [1.0, 2.0, 3.0, 3.0]
    results = [result(index, **{objective: value}) for index, value in enumerate(values)]
    failed = result(4, "failed")
    found = best_of([failed, *reversed(results)], objective)
    assert found is not None
    assert found.index == best


def test_without_a_complete_trial_there_is_no_best() -> None:
    assert best_of([result(0, "failed"), result(1, "pruned", cv_rmse_blended=1.0)], "cv_rmse_blended") is None


def test_a_sampler_gets_the_expected_score_of_a_pruned_trial() -> None:
    pruned = result(0, "pruned", cv_rmse_blended_fold_0=1.0)
    assert dataclasses.replace(pruned, info={"pruned": {"folds": 1, "expected": 2}}).value("cv_rmse_blended") == 2.0
    assert dataclasses.replace(pruned, info={"pruned": {}}).value("cv_rmse_blended") is None
    assert result(0, cv_rmse_blended=3.0).value("cv_rmse_blended") == 3.0
    assert result(0, "failed").value("cv_rmse_blended") is None


def test_a_trial_that_fails_loses_its_metrics_and_has_a_reason() -> None:
    found = result(0, cv_rmse_blended=3.0).failing("no luck")
    assert (found.state, found.metrics, found.failure) == ("failed", {}, "no luck")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (None, "it gave no reason"),
        ("", "it gave no reason"),
        ("\nno luck\nTraceback", "no luck"),
        ("AlgorithmError:\nno luck\nmore", "AlgorithmError: no luck"),
        ("x" * 400, "x" * 300),
    ],
)
def test_a_reason_is_one_line(failure: str | None, reason: str) -> None:
    assert dataclasses.replace(result(0, "failed"), failure=failure).reason == reason
