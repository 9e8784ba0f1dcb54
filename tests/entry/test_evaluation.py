"""Folds and scores (``evaluation``)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from ensemble.arrays import Floats
from ensemble.errors import InputError
from ensemble.evaluation import SCORES, MetricName, default_objective, make_folds, scores, scores_of
from ensemble.recipe import FoldSpec


@pytest.mark.parametrize(("rows", "k"), [(2, 2), (10, 3), (17, 5), (60, 60)])
def test_every_row_is_scored_once_and_never_in_its_own_fit(rows: int, k: int) -> None:
    folds = make_folds(FoldSpec(k=k), rows, seed=0)
    assert len(folds) == k
    assert sorted(np.concatenate([fold.score for fold in folds])) == list(range(rows))
    for fold in folds:
        assert sorted([*fold.fit, *fold.score]) == list(range(rows))


def test_folds_are_of_nearly_equal_size_and_shuffled() -> None:
    folds = make_folds(FoldSpec(k=5), 52, seed=0)
    assert sorted(len(fold.score) for fold in folds) == [10, 10, 10, 11, 11]
    assert any(np.diff(fold.score).max() > 1 for fold in folds)


def test_folds_depend_on_the_seed_alone() -> None:
    def scored(seed: int) -> list[list[int]]:
        return [fold.score.tolist() for fold in make_folds(FoldSpec(k=4), 40, seed)]

    assert scored(3) == scored(3)
    assert scored(3) != scored(4)


def test_fewer_rows_than_folds_is_an_error_that_says_what_to_lower() -> None:
    with pytest.raises(InputError, match=r"4 training rows .* 5 folds: lower dataset\.folds\.k"):
        make_folds(FoldSpec(k=5), 4, seed=0)


def test_scores_are_those_of_scikit_learn() -> None:
    random = np.random.RandomState(0)
    target, predicted = random.normal(size=(2, 50))
    assert scores("cv", "a", target, predicted) == {
        "cv_rmse_a": pytest.approx(root_mean_squared_error(target, predicted)),
        "cv_mae_a": pytest.approx(mean_absolute_error(target, predicted)),
        "cv_r2_a": pytest.approx(r2_score(target, predicted)),
    }


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1])
@pytest.mark.parametrize("rows", [2, 3, 10])
def test_the_r2_of_a_constant_target_is_undefined(value: float, rows: int) -> None:
    found = scores("cv", "a", np.full(rows, value), np.full(rows, 1.5))
    assert math.isnan(found["cv_r2_a"])
    assert found["cv_rmse_a"] == pytest.approx(abs(value - 1.5))


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(12, 60))
def test_no_group_is_divided(seed: int, k: int, rows: int) -> None:
    keys = np.random.RandomState(seed).randint(0, k + 3, rows).astype(float)
    keys[: k + 3] = np.arange(k + 3)
    folds = make_folds(FoldSpec("group", k), rows, seed, keys)
    assert sorted(np.concatenate([fold.score for fold in folds]).tolist()) == list(range(rows))
    for fold in folds:
        assert not set(keys[fold.fit]) & set(keys[fold.score])


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(20, 60))
def test_nothing_is_fitted_on_what_comes_later(seed: int, k: int, rows: int) -> None:
    keys = np.random.RandomState(seed).randint(0, 15, rows).astype(float)
    keys[:15] = np.arange(15)
    folds = make_folds(FoldSpec("time", k), rows, seed, keys)
    assert len(folds) == k
    for fold in folds:
        assert keys[fold.fit].max() < keys[fold.score].min()
    scored = np.concatenate([fold.score for fold in folds])
    assert len(scored) == len(set(scored.tolist()))


def test_repeated_folds_divide_differently() -> None:
    folds = make_folds(FoldSpec("repeated", 3, 4), 30, 1)
    assert [fold.repeat for fold in folds] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert np.bincount(np.concatenate([fold.score for fold in folds])).tolist() == [4] * 30
    assert len({fold.score.tobytes() for fold in folds}) == 12


@pytest.mark.parametrize(
    ("kind", "keys", "words"),
    [
        ("group", [1.0] * 10, ["1 group, which", "into 3 folds", "dataset.folds.column"]),
        ("group", [1.0, 2.0] * 5, ["2 groups, which"]),
        ("time", [1.0, 2.0, 3.0, 3.0, 3.0], ["3 different times", "3 folds in time need 4"]),
        ("time", None, ["dataset.folds.kind=time divides by a column", "dataset.folds.column"]),
    ],
)
def test_too_few_groups_or_moments_are_named(kind: str, keys: list[float] | None, words: list[str]) -> None:
    given_keys = None if keys is None else np.array(keys)
    with pytest.raises(InputError) as error:
        make_folds(FoldSpec(kind, 3), len(keys or range(10)), 0, given_keys)  # type: ignore[arg-type]
    assert [word for word in words if word not in str(error.value)] == []


def test_weighted_scores_are_those_of_scikit_learn() -> None:
    random = np.random.RandomState(0)
    target, predicted = random.normal(size=(2, 50))
    weights = random.uniform(size=50)
    assert scores("cv", "a", target, predicted, weights) == {
        "cv_rmse_a": pytest.approx(root_mean_squared_error(target, predicted, sample_weight=weights)),
        "cv_mae_a": pytest.approx(mean_absolute_error(target, predicted, sample_weight=weights)),
        "cv_r2_a": pytest.approx(r2_score(target, predicted, sample_weight=weights)),
    }


def drawn_classes(seed: int, classes: int, rows: int = 60) -> tuple[Floats, Floats, Floats]:
    """Return class positions, probabilities with ties, and row weights."""
    random = np.random.RandomState(seed)
    target = random.permutation(np.arange(rows) % classes).astype(float)
    raw = np.round(random.dirichlet(np.ones(classes), rows) + 0.3 * np.eye(classes)[target.astype(int)], 1) + 1e-3
    return target, raw / raw.sum(axis=1, keepdims=True), random.uniform(0.1, 3, rows)


def expected_of_classes(target: Floats, predicted: Floats, weights: Floats | None) -> dict[str, float]:
    labels, classes = predicted.argmax(axis=1), predicted.shape[1]
    seen = [place for place in range(classes) if 0 < (target == place).sum() < len(target)]
    areas = [roc_auc_score(target == place, predicted[:, place], sample_weight=weights) for place in seen]
    truth = target[:, None] == np.arange(classes)
    return {
        "cv_logloss_a": log_loss(target, predicted, sample_weight=weights, labels=range(classes)),
        "cv_auc_a": float(np.mean(areas)),
        "cv_accuracy_a": accuracy_score(target, labels, sample_weight=weights),
        "cv_balanced_accuracy_a": balanced_accuracy_score(target, labels, sample_weight=weights),
        "cv_f1_a": f1_score(target, labels, average="macro", sample_weight=weights, zero_division=0),
        "cv_brier_a": (
            brier_score_loss(target, predicted[:, 1], sample_weight=weights)
            if classes == 2
            else np.average(((predicted - truth) ** 2).sum(axis=1), weights=weights)
        ),
    }


@given(st.integers(0, 10**6), st.integers(2, 7), st.booleans())
def test_scores_of_classes_are_those_of_scikit_learn(seed: int, classes: int, weighed: bool) -> None:
    target, predicted, weights = drawn_classes(seed, classes)
    used = weights if weighed else None
    found = scores("cv", "a", target, predicted, used)
    assert found == pytest.approx(expected_of_classes(target, predicted, used))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_that_no_row_has_is_left_out_of_the_mean() -> None:
    target, predicted, _ = drawn_classes(0, 3)
    kept = target != 1
    found = scores("cv", "a", target[kept], predicted[kept])
    assert found == pytest.approx(expected_of_classes(target[kept], predicted[kept], None))
    only = target == 1
    assert math.isnan(scores("cv", "a", target[only], predicted[only])["cv_auc_a"])


def test_a_probability_of_zero_for_the_true_class_has_a_finite_log_loss() -> None:
    target, predicted = np.array([0.0, 1.0]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert scores("cv", "a", target, predicted)["cv_logloss_a"] == pytest.approx(log_loss(target, predicted))


def test_rows_without_weight_have_no_score() -> None:
    target, predicted, _ = drawn_classes(0, 3)
    assert all(math.isnan(value) for value in scores("cv", "a", target, predicted, np.zeros(60)).values())


def test_labels_that_a_threshold_decides_are_scored_as_given() -> None:
    target, predicted = np.array([0.0, 1.0, 1.0]), np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    assert scores("cv", "a", target, predicted)["cv_accuracy_a"] == pytest.approx(1 / 3)
    found = scores("cv", "a", target, predicted, labels=(predicted[:, 1] >= 0.3).astype(int))
    assert (found["cv_accuracy_a"], found["cv_f1_a"], found["cv_balanced_accuracy_a"]) == (1, 1, 1)


@pytest.mark.parametrize("score", [*scores_of("regression"), *scores_of("binary")])
@pytest.mark.parametrize("who", ["blended", "extra_trees", "accuracy_x"])
def test_a_metric_with_underscores_is_split_into_its_parts(score: str, who: str) -> None:
    metric = MetricName.parse(f"cv_{score}_{who}")
    assert metric == MetricName("cv", score, who)
    assert metric.of("a") == f"cv_{score}_a"
    assert metric.maximised is (score in {"r2", "auc", "accuracy", "balanced_accuracy", "f1"})


def test_each_task_has_an_objective() -> None:
    assert default_objective("regression") == "cv_rmse_blended"
    assert default_objective("binary") == default_objective("multiclass") == "cv_logloss_blended"


def test_the_auc_of_classes_that_are_told_apart_is_one_whatever_the_weights() -> None:
    target = np.arange(90) % 2.0
    for seed in range(50):
        weights = np.random.RandomState(seed).uniform(0.1, 3.0, 90)
        assert SCORES["auc"](target, np.column_stack([1 - target, target]), weights) <= 1.0
