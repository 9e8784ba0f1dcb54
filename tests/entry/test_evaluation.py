"""Folds and scores (``evaluation``)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from ensemble.errors import InputError
from ensemble.evaluation import make_folds, scores
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
