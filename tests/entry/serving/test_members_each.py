"""Members predict the same bits regardless of how many models and rows are predicted at a time."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from ensemble.arrays import Floats
from ensemble.members import REGISTRY, Member
from ensemble.members import boosting as boosting_module
from ensemble.members.boosting import CatBoost
from tests.entry.conftest import QUICK

pytestmark = pytest.mark.usefixtures("one_thread")

# tests/entry/test_class_members.py has the same for classes.
every_member = pytest.mark.parametrize(
    "kind", [kind for kind, member in REGISTRY.items() if "regression" in member.tasks]
)
with_and_without_categories = pytest.mark.parametrize("mixed", [True, False], ids=["categories", "numbers"])

CATEGORIES = {1: 6, 3: 30}


def rows_of(count: int, *, mixed: bool, seed: int = 0) -> tuple[Floats, Floats]:
    """Return features and a target: two of four columns are categories if ``mixed``; each has missing values."""
    random = np.random.RandomState(seed)
    features = random.normal(size=(count, 4)) * [1, 10, 1e-3, 1e6]
    if mixed:
        for place, levels in CATEGORIES.items():
            # The last level is never seen in fit.
            features[:, place] = random.randint(0, levels - (seed == 0), count)
    target = 50 + 8 * features[:, 0] + features[:, 1] % 3 + random.normal(size=count)
    features[random.uniform(size=features.shape) < 0.15] = np.nan
    return features, target


@functools.cache
def fold_models(kind: str, *, mixed: bool) -> list[Member]:
    """Return three models fitted on different rows, as in a bundle."""
    features, target = rows_of(120, mixed=mixed)
    models = []
    for fold in range(3):
        model = REGISTRY[kind](QUICK[kind], seed=fold, threads=1, categories=CATEGORIES if mixed else None)
        model.fit(np.delete(features, slice(fold, None, 3), axis=0), np.delete(target, slice(fold, None, 3)))
        models.append(model)
    return models


def loaded_models(kind: str, folder: Path, *, mixed: bool) -> list[Member]:
    """Return the same, saved and read back."""
    found = []
    for number, model in enumerate(fold_models(kind, mixed=mixed)):
        path = folder / f"{number}{model.suffix}"
        model.save(path)
        found.append(REGISTRY[kind].load(path, threads=1, categories=CATEGORIES if mixed else None))
    return found


def assert_same(found: list[Floats], expected: list[Floats]) -> None:
    """Compare lists of predictions by their bits."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype == np.float64
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


@every_member
@with_and_without_categories
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_each_of_several_models_predicts_what_it_predicts_by_itself(
    kind: str, mixed: bool, rows: int, tmp_path: Path
) -> None:
    models = fold_models(kind, mixed=mixed)
    features, _ = rows_of(rows, mixed=mixed, seed=1)
    expected = [model.predict(features) for model in models]
    assert len({predicted.tobytes() for predicted in expected}) == len(models)
    assert_same(REGISTRY[kind].predict_each(models, features), expected)
    assert_same(REGISTRY[kind].predict_each(models[1:2], features), expected[1:2])
    loaded = loaded_models(kind, tmp_path, mixed=mixed)
    assert_same(REGISTRY[kind].predict_each(loaded, features), expected)


@every_member
@with_and_without_categories
def test_a_row_alone_is_predicted_by_each_as_it_is_among_others(kind: str, mixed: bool, tmp_path: Path) -> None:
    models = loaded_models(kind, tmp_path, mixed=mixed)
    features, _ = rows_of(40, mixed=mixed, seed=1)
    features[0] = np.nan
    together = REGISTRY[kind].predict_each(models, features)
    for size in (1, 2, 7):
        for start in (0, 1, 17, 33):
            part = REGISTRY[kind].predict_each(models, features[start : start + size])
            assert_same(part, [predicted[start : start + size] for predicted in together])


@every_member
@with_and_without_categories
def test_the_memory_layout_of_rows_changes_no_bit(kind: str, mixed: bool) -> None:
    models = fold_models(kind, mixed=mixed)
    features, _ = rows_of(30, mixed=mixed, seed=1)
    expected = REGISTRY[kind].predict_each(models, features)
    wide = np.full((60, 8), 7.0)
    wide[::2, ::2] = features
    frozen = features.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(features), wide[::2, ::2], features[::-1][::-1], frozen):
        assert_same(REGISTRY[kind].predict_each(models, same), expected)
        assert_same([model.predict(same) for model in models], expected)
    assert np.array_equal(wide[::2, ::2], features, equal_nan=True)


@with_and_without_categories
def test_catboost_takes_many_rows_another_way_and_predicts_the_same(
    mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = fold_models("catboost", mixed=mixed)
    features, _ = rows_of(50, mixed=mixed, seed=1)
    few = CatBoost.predict_each(models, features)
    monkeypatch.setattr(boosting_module, "_FEW_ROWS", 49)
    assert_same(CatBoost.predict_each(models, features), few)


@every_member
def test_a_prediction_is_left_alone_by_later_ones(kind: str) -> None:
    models = fold_models(kind, mixed=True)
    features, _ = rows_of(20, mixed=True, seed=1)
    first = REGISTRY[kind].predict_each(models, features)
    kept = [predicted.copy() for predicted in first]
    REGISTRY[kind].predict_each(models, features[::-1])
    assert_same(first, kept)
