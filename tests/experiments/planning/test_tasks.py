"""A study is planned for its target: members, objective, blend and thresholds of the other task are left out or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ensemble.wire import decode_recipe
from tests.experiments.planning.test_fittable import IN_TIME, MONTHS, numbers, planned, refusal

QUANTITY = {"a": numbers(), "price": numbers()}
CLASSES = {"a": numbers(), "price": ["no", "yes", "no"] * 20}


def members(folder: Path, columns: dict[str, Any], *arguments: str) -> list[str]:
    return [spec.name for spec in planned(folder, columns, *arguments).study.recipe({}).members]


def test_a_preset_loses_the_members_of_the_other_task(folder: Path) -> None:
    quantity = members(folder, QUANTITY, "ensemble=quartet")
    classes = members(folder, CLASSES, "ensemble=quartet")
    assert quantity == ["xgboost", "catboost", "random_forest", "ridge"]
    assert classes == ["xgboost", "catboost", "random_forest", "linear"]
    assert members(folder, CLASSES)[2:] == ["linear"]
    wide = planned(folder, CLASSES, "ensemble=wide").study
    assert {spec.name for spec in wide.recipe({}).members} >= {"linear", "svc", "network", "gaussian_process"}
    assert {"linear__C", "svc__C", "svc__gamma"} <= set(wide.space.ranges)
    assert len(wide.space.ranges) <= 20


def test_a_typed_member_of_the_other_task_is_refused(folder: Path) -> None:
    assert refusal(folder, CLASSES, "ensemble.members=[xgboost,ridge,svr]") == (
        "ensemble.members: ridge, svr predict quantities only, and the target price has 2 classes, no, yes "
        "(dataset.task). Leave them out, or use linear, svc."
    )


def test_members_may_be_typed_as_a_mapping(folder: Path) -> None:
    mapping = "ensemble.members={deep: {kind: xgboost}, own: {kind: ridge}}"
    assert members(folder, QUANTITY, "ensemble=pair", mapping) == ["deep", "own"]  # type: ignore[arg-type]
    assert "own predicts quantities only" in refusal(folder, CLASSES, "ensemble=pair", mapping)


def test_the_objective_is_the_main_score_of_the_task_unless_given(folder: Path) -> None:
    quantity, classes = planned(folder, QUANTITY).study, planned(folder, CLASSES).study
    assert (quantity.objective, quantity.task, quantity.classes) == ("cv_rmse_blended", "regression", ())
    assert (classes.objective, classes.task) == ("cv_logloss_blended", "binary")
    assert (classes.classes, classes.positive) == (("no", "yes"), "yes")
    given = planned(folder, CLASSES, "search.objective=validation_auc_xgboost").study
    assert (given.objective, given.maximise) == ("validation_auc_xgboost", True)


def test_an_objective_of_the_other_task_is_refused(folder: Path) -> None:
    assert refusal(folder, CLASSES, "search.objective=cv_mae_blended") == (
        "search.objective=cv_mae_blended is a score of quantities, and the target price has 2 classes, no, yes "
        "(dataset.task). Leave it out, or use another, such as cv_logloss_blended."
    )
    assert refusal(folder, QUANTITY, "search.objective=cv_balanced_accuracy_blended") == (
        "search.objective=cv_balanced_accuracy_blended is a score of classes, and the target price is a quantity "
        "(dataset.task). Leave it out, or use another, such as cv_rmse_blended."
    )
    assert "search.objective: 'cv_logloss_blend'" in refusal(folder, CLASSES, "search.objective=cv_logloss_blend")


def test_weights_of_classes_and_thresholds_are_hyperparameters(folder: Path) -> None:
    arguments = ["ensemble.class_weight.no=1", "ensemble.class_weight.yes=5", "ensemble.threshold=f1"]
    static = planned(folder, CLASSES, *arguments, "ensemble.calibrate=false").study.static
    recipe = decode_recipe(static)
    assert (recipe.class_weight, recipe.threshold, recipe.calibrate) == ({"no": 1.0, "yes": 5.0}, "f1", False)
    assert (
        decode_recipe(planned(folder, CLASSES, "ensemble.class_weight=balanced").study.static).class_weight
        == "balanced"
    )
    costs = decode_recipe(planned(folder, CLASSES, "ensemble.threshold=[[0,1],[5,0]]").study.static).threshold
    assert costs == ((0.0, 1.0), (5.0, 0.0))
    for argument in ("class_weight", "threshold", "calibrate"):
        assert argument not in planned(folder, QUANTITY).study.static


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("ensemble.class_weight=balanced", "ensemble.class_weight is for classes, and the target price is a quantity"),
        ("ensemble.threshold=f1", "ensemble.threshold is for two classes, and the target price is a quantity"),
        ("ensemble.calibrate=false", "ensemble.calibrate is for classes, and the target price is a quantity"),
        ("ensemble.blend=vote", "ensemble.blend=vote does not blend a quantity"),
    ],
)
def test_what_is_for_classes_is_refused_for_a_quantity(argument: str, part: str, folder: Path) -> None:
    assert part in refusal(folder, QUANTITY, argument)


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("ensemble.class_weight={no: 1}", "ensemble.class_weight: class 'yes' has no weight"),
        ("ensemble.class_weight=balance", "ensemble.class_weight=balance is not a weight of classes."),
        ("ensemble.threshold=2", "ensemble.threshold=2 is not a threshold."),
        ("ensemble.blend=stacking_passthrough", "ensemble.blend=stacking_passthrough does not blend classes"),
    ],
)
def test_what_does_not_go_with_classes_is_refused(argument: str, part: str, folder: Path) -> None:
    assert part in refusal(folder, CLASSES, argument)


def test_a_vote_that_is_scored_by_log_loss_is_noted(folder: Path) -> None:
    def noted(*given: str) -> bool:
        notes = planned(folder, CLASSES, *given).notes
        return any("Labels are scored by search.objective=cv_accuracy_blended." in note for note in notes)

    assert noted("ensemble.blend=vote")
    assert not noted("ensemble.blend=vote", "search.objective=cv_accuracy_blended")
    assert not noted("ensemble.blend=weighted")


def test_members_that_ignore_weights_do_not_go_with_weights_of_classes(folder: Path) -> None:
    given = ["ensemble.members=[xgboost,nearest_neighbors]", "ensemble.class_weight=balanced"]
    assert "ensemble.class_weight: nearest_neighbors ignores weights." in refusal(folder, CLASSES, *given)
    plan = planned(folder, CLASSES, *given, "ensemble.drop_slow=true")
    assert [spec.name for spec in plan.study.recipe({}).members] == ["xgboost"]


def test_an_objective_that_has_no_value_is_refused(folder: Path) -> None:
    """Each trial would have failed. The AUC needs two classes, and R2 different values."""
    late = {"a": numbers(), "month": MONTHS, "price": ["no", "yes"] * 18 + ["no"] * 24}
    in_time = [*IN_TIME, "dataset.split.validation=0.1", "dataset.split.test=0.1", "ensemble.members=[linear]"]
    assert refusal(folder, late, *in_time, "search.objective=validation_auc_linear") == (
        "search.objective=validation_auc_linear has no value: all 6 validation rows have the class 'no'. Use another "
        "score, such as validation_logloss_linear, or other rows (dataset.split.validation, dataset.split.seed)."
    )
    assert planned(folder, late, *in_time, "search.objective=cv_auc_blended").study.objective == "cv_auc_blended"
    late["price"] = ["no", "yes"] * 6 + ["no"] * 48
    assert "all 36 rows that folds score have the class 'no'" in refusal(
        folder, late, *in_time, "search.objective=cv_auc_linear"
    )
    same = {"a": numbers(), "month": MONTHS, "price": [*numbers(36), *[2.0] * 24]}
    in_time[-1] = "ensemble.members=[ridge]"
    message = refusal(folder, same, *in_time, "search.objective=validation_r2_ridge")
    assert "all 6 validation rows have the target 2. Use another score, such as validation_rmse_ridge" in message


def test_weights_of_classes_that_libraries_cannot_read_are_refused(folder: Path) -> None:
    for weights, reason in (
        ("{no: 1, yes: 1e300}", "ensemble.class_weight: the largest weight is 1e+300, and sums of such weights"),
        (
            "{no: 1, yes: 1e-60}",
            "training rows with a weight above 0, 'yes' (0), but each fold is fitted on every class",
        ),
    ):
        assert reason in refusal(folder, CLASSES, f"ensemble.class_weight={weights}")
    weighed = {**CLASSES, "w": [1e20] * 60}
    message = refusal(folder, weighed, "dataset.weights=w", "ensemble.class_weight={no: 1, yes: 1e20}")
    assert message.startswith("dataset.weights=w times ensemble.class_weight: the largest weight is 1e+40")
