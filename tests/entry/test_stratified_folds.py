"""Folds of rows that belong to classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import InputError
from ensemble.evaluation import make_folds
from ensemble.recipe import FoldSpec

CLASSES = np.repeat([0.0, 1.0, 2.0], [60, 25, 7])


@given(st.integers(0, 10**6), st.sampled_from(["kfold", "repeated"]), st.integers(2, 7))
def test_each_fold_has_its_share_of_every_class(seed: int, kind: str, k: int) -> None:
    classes = np.random.RandomState(seed % 1000).permutation(CLASSES)
    folds = make_folds(FoldSpec(kind, k, 2 if kind == "repeated" else 1), len(classes), seed, None, classes)  # type: ignore[arg-type]
    counts = np.array([np.bincount(classes[fold.score].astype(int), minlength=3) for fold in folds])
    assert np.ptp(counts, axis=0).max() <= 1
    for repeat in {fold.repeat for fold in folds}:
        scored = np.concatenate([fold.score for fold in folds if fold.repeat == repeat])
        assert sorted(scored) == list(range(len(classes)))


@given(st.integers(0, 10**6))
def test_groups_stay_together_and_folds_have_nearly_equal_shares(seed: int) -> None:
    keys = np.repeat(np.arange(40.0), 5)
    classes = np.repeat(np.arange(40) % 4 == 0, 5).astype(float)
    folds = make_folds(FoldSpec("group", 5), 200, seed, keys, classes)
    for fold in folds:
        assert not set(keys[fold.fit]) & set(keys[fold.score])
        assert classes[fold.score].sum() == 10


@pytest.mark.parametrize("rows", [2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_few_rows_is_among_those_that_every_fold_is_fitted_on(rows: int, seed: int) -> None:
    classes = np.random.RandomState(seed).permutation(np.repeat([0.0, 1.0], [rows, 40]))
    for fold in make_folds(FoldSpec(k=5), len(classes), seed, None, classes):
        assert 0 in classes[fold.fit]


@pytest.mark.parametrize("kind", ["kfold", "group"])
def test_classes_that_are_all_smaller_than_the_number_of_folds_are_an_error(kind: str) -> None:
    keys = np.arange(12.0)
    with pytest.raises(InputError, match=r"each class has at most 3 training rows.*5 folds: lower dataset.folds.k"):
        make_folds(FoldSpec(kind, 5), 12, 0, keys, np.repeat(np.arange(4.0), 3))  # type: ignore[arg-type]


def test_folds_in_time_do_not_depend_on_classes() -> None:
    keys = np.arange(30.0)
    spec = FoldSpec("time", 3)
    with_classes = make_folds(spec, 30, 0, keys, (keys % 2).astype(float))
    for one, other in zip(make_folds(spec, 30, 0, keys), with_classes, strict=True):
        assert np.array_equal(one.fit, other.fit)
        assert np.array_equal(one.score, other.score)
