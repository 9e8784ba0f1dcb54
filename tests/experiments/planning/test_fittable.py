"""What a library would refuse in a fold is found before the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ensemble.errors import InputError
from experiments.config.compose import compose
from experiments.planning.study import StudyPlan, plan_study


def planned(folder: Path, columns: dict[str, Sequence[object]], *arguments: str) -> StudyPlan:
    rows = zip(*columns.values(), strict=True)
    text = "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)])
    (folder / "table.csv").write_text(text + "\n")
    given = ["dataset=file", "action=train", "dataset.path=table.csv", "dataset.target=price", *arguments]
    return plan_study(compose(given))


def refusal(folder: Path, columns: dict[str, Sequence[object]], *arguments: str) -> str:
    with pytest.raises(InputError) as refused:
        planned(folder, columns, *arguments)
    return str(refused.value)


def numbers(rows: int = 60, low: float = 1.0) -> list[float]:
    return np.round(np.random.RandomState(0).uniform(low, low + 9, rows), 3).tolist()


IN_TIME = ["dataset.folds.kind=time", "dataset.folds.column=month", "dataset.folds.k=3"]
MONTHS = [f"20{year}-{month:02}-01" for year in (20, 21, 22, 23, 24) for month in range(1, 13)]


def test_a_fold_with_a_constant_target_is_noted_and_can_be_fitted(folder: Path) -> None:
    price = [0.0] * 20 + numbers(40)
    plan = planned(folder, {"month": MONTHS, "a": numbers(), "price": price}, *IN_TIME)
    assert plan.notes[0] == "the target is 0 in every row that fold 0 is fitted on: its models learn nothing else."


def test_a_fold_with_constant_features_is_named_for_the_member_that_refuses_it(folder: Path) -> None:
    columns = {"month": MONTHS, "a": [1.0] * 20 + numbers(40), "price": numbers()}
    assert refusal(folder, columns, *IN_TIME) == (
        "member catboost cannot be fitted on fold 0: every feature is constant there. Choose other folds "
        "(dataset.folds.k, dataset.folds.kind) or other parameters, or leave it out of ensemble.members."
    )
    assert planned(folder, columns, *IN_TIME, "ensemble.members=[xgboost,ridge]").notes == ()


def test_one_category_in_a_fold_is_named(folder: Path) -> None:
    columns = {"month": MONTHS, "a": ["x"] * 20 + ["y"] * 40, "price": numbers()}
    assert "catboost cannot be fitted on fold 0: every feature is constant" in refusal(folder, columns, *IN_TIME)


def test_a_category_that_a_fold_misses_throughout_is_named(folder: Path) -> None:
    columns = {"month": MONTHS, "a": [""] * 20 + ["y", "x"] * 20, "price": numbers()}
    assert "catboost cannot be fitted on fold 0: every feature is constant" in refusal(folder, columns, *IN_TIME)
    columns["a"] = [""] * 20 + [str(value) for value in numbers(40)]
    assert planned(folder, columns, *IN_TIME).study.n_trials == 1


def test_parameters_that_contradict_each_other_are_named_together(folder: Path) -> None:
    columns = {"a": numbers(), "price": numbers()}
    leaves = ["ensemble.members=[catboost]", "ensemble.params.catboost.max_leaves=9"]
    assert refusal(folder, columns, *leaves, "ensemble.params.catboost.grow_policy=Depthwise") == (
        "member catboost cannot be fitted with catboost.grow_policy=Depthwise, catboost.max_leaves=9: max_leaves needs "
        "grow_policy=Lossguide. Give it other parameters, or leave it out of ensemble.members."
    )
    planned(folder, columns, *leaves, "ensemble.params.catboost.grow_policy=Lossguide")
    search = [
        "action=tune",
        leaves[0],
        "search.space.catboost.grow_policy={choices: [Lossguide, Depthwise]}",
        leaves[1],
    ]
    assert "max_leaves needs grow_policy=Lossguide" in refusal(folder, columns, *search)


@pytest.mark.parametrize(
    ("member", "setting", "low", "reason"),
    [
        ("xgboost", "objective=reg:gamma", 0.0, "above 0, and its smallest value is 0"),
        ("xgboost", "objective=count:poisson", -1.0, "0 or more, and its smallest value is -1"),
        ("catboost", "loss_function=Poisson", -1.0, "0 or more, and its smallest value is -1"),
        ("hist_gradient_boosting", "loss=gamma", 0.0, "above 0, and its smallest value is 0"),
    ],
)
def test_a_loss_that_the_target_does_not_allow_is_refused_before_the_first_trial(
    member: str, setting: str, low: float, reason: str, folder: Path
) -> None:
    columns = {"a": numbers(), "price": [low] * 50 + numbers(10)}
    arguments = (f"ensemble.members=[{member}]", f"ensemble.params.{member}.{setting}")
    name, _, value = setting.partition("=")
    message = refusal(folder, columns, *arguments)
    assert message.startswith(f"member {member} cannot be fitted with {member}.{name}={value}: the target must be ")
    assert reason in message
    assert planned(folder, {"a": numbers(), "price": numbers()}, *arguments).study.n_trials == 1


def test_a_loss_that_the_search_may_choose_is_refused_too(folder: Path) -> None:
    columns = {"a": numbers(), "price": [0.0] * 50 + numbers(10)}
    search = ["action=tune", "search.space.xgboost.objective={choices: [reg:squarederror, reg:gamma]}"]
    assert "xgboost.objective=reg:gamma: the target must be above 0" in refusal(folder, columns, *search)
    # A training has the fixed values only.
    assert planned(folder, columns, search[1]).study.n_trials == 1


def test_neighbours_that_a_fold_does_not_have_are_refused(folder: Path) -> None:
    columns = {"a": numbers(20), "price": numbers(20)}
    members = "ensemble.members=[{near: {kind: KNeighborsRegressor}}]"
    fixed = "ensemble.params.near.n_neighbors=10"
    assert "there are 9 rows, fewer than n_neighbors=10" in refusal(folder, columns, members, fixed)
    search = ["action=tune", members, "search.space.near.n_neighbors={low: 2, high: 30}"]
    assert "fewer than n_neighbors=30" in refusal(folder, columns, *search)
    planned(folder, columns, "ensemble=wide", "action=tune")  # byoe's own member takes the rows that there are


def test_weights_that_are_zero_in_float32_are_refused(folder: Path) -> None:
    columns = {"a": numbers(), "price": numbers(), "w": [1e-300] * 60}
    message = refusal(folder, columns, "dataset.weights=w")
    assert message.startswith("dataset.weights=w is 0 in every row of fold 0, fitted or scored")
    columns["w"] = [1e300] * 60
    assert "the largest weight is 1e+300, and sums of such weights overflow" in refusal(
        folder, columns, "dataset.weights=w"
    )


def test_a_target_whose_squared_errors_are_zero_is_refused(folder: Path) -> None:
    price = [value * 1e-160 for value in numbers()]
    assert "so that every squared error is 0 in float64. Multiply the column" in refusal(
        folder, {"a": numbers(), "price": price}
    )


def test_a_row_that_only_the_served_model_learns_from_is_checked_too(folder: Path) -> None:
    columns = {"month": MONTHS, "a": numbers(), "price": [*numbers(59), -1.0]}
    loss = ["ensemble.members=[catboost]", "ensemble.params.catboost.loss_function=Poisson"]
    message = refusal(folder, columns, *loss, *IN_TIME)
    assert message.startswith(
        "member catboost cannot be fitted on the rows for the served model with catboost.loss_function"
    )
    assert "ensemble.final_rows=train" in message
    planned(folder, columns, *loss, *IN_TIME, "ensemble.final_rows=train")


@pytest.mark.parametrize(
    ("mode", "rows"), [("local", "all"), ("sagemaker", "train_and_validation"), ("remote", "train")]
)
def test_each_mode_has_its_rows_for_the_served_model(mode: str, rows: str, folder: Path) -> None:
    plan = planned(folder, {"a": numbers(), "price": numbers()}, f"mode={mode}")
    assert plan.study.final_rows == rows


def test_the_served_model_has_the_rows_that_there_are(folder: Path) -> None:
    columns = {"a": numbers(), "price": numbers()}
    no_validation, no_test = "dataset.split.validation=0", "dataset.split.test=0"
    assert planned(folder, columns, no_validation).study.final_rows == "all"
    assert planned(folder, columns, no_test).study.final_rows == "train_and_validation"
    assert planned(folder, columns, no_test, no_validation).study.final_rows == "train"
    message = refusal(folder, columns, no_validation, "search.objective=validation_mae_xgboost")
    assert "dataset.split.validation=0 sets none aside. Use search.objective=cv_mae_xgboost" in message


def test_a_limit_of_milliseconds_is_refused_where_no_member_can_be_left_out(folder: Path) -> None:
    columns = {"a": numbers(), "price": numbers()}
    assert planned(folder, columns, "ensemble.max_ms=2").study.max_ms == 2.0
    assert "ensemble.max_ms=0 is not a number of milliseconds above 0" in refusal(folder, columns, "ensemble.max_ms=0")
    for argument, reason in (
        ("mode=remote", "mode=remote serves the model of its best job"),
        ("search.objective=cv_rmse_xgboost", "search.objective=cv_rmse_xgboost is not a cross-validated score"),
    ):
        assert reason in refusal(folder, columns, "ensemble.max_ms=2", argument)


def test_rows_that_a_mode_does_not_have_are_refused(folder: Path) -> None:
    columns = {"a": numbers(), "price": numbers()}
    message = refusal(folder, columns, "mode=remote", "ensemble.final_rows=all")
    assert message.startswith("ensemble.final_rows=all: with mode=remote the served model can be fitted on train only.")
    assert "'some' is not valid" in refusal(folder, columns, "ensemble.final_rows=some")
