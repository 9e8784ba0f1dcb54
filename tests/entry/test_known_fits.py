"""A fit is found by what decides it, and read as it was kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble.known_fits import KnownFit, KnownFits
from ensemble.recipe import FoldSpec, MemberSpec, Recipe

RECIPE = Recipe(
    (MemberSpec("ridge", "ridge", {"alpha": 2.0}), MemberSpec("deep", "xgboost")), folds=FoldSpec("repeated", 3, 2)
)
ROWS, VALIDATION_ROWS = 7, 4
REST = {"train_hash": "a", "versions": {"numpy": "2"}}


def fits() -> dict[str, KnownFit]:
    random = np.random.RandomState(0)
    out_of_fold, validation = random.normal(size=(2, ROWS)), random.normal(size=VALIDATION_ROWS)
    out_of_fold[:, 0] = np.nan
    return {"ridge": KnownFit(out_of_fold, validation), "deep": KnownFit(-out_of_fold, validation, 17)}


def found(folder: Path, recipe: Recipe = RECIPE, **rest: object) -> dict[str, KnownFit]:
    return KnownFits(folder, recipe, {**REST, **rest}).find(ROWS, VALIDATION_ROWS)


def test_a_fit_is_read_as_it_was_kept(tmp_path: Path) -> None:
    kept = fits()
    KnownFits(tmp_path, RECIPE, REST).keep(kept)
    for name, fit in found(tmp_path).items():
        assert np.array_equal(fit.out_of_fold, kept[name].out_of_fold, equal_nan=True)
        assert fit.validation is not None
        assert np.array_equal(fit.validation, kept[name].validation)
        assert fit.rounds == kept[name].rounds
    assert set(found(tmp_path)) == {"ridge", "deep"}
    assert not list(tmp_path.glob("*.partial"))


def test_a_fit_with_another_cause_is_not_found(tmp_path: Path) -> None:
    KnownFits(tmp_path, RECIPE, REST).keep(fits())
    other = (MemberSpec("ridge", "ridge", {"alpha": 2.5}), RECIPE.members[1])
    assert set(found(tmp_path, replace(RECIPE, members=other))) == {"deep"}
    renamed = (replace(RECIPE.members[0], name="line"), RECIPE.members[1])
    assert set(found(tmp_path, replace(RECIPE, members=renamed, blend="stacking"))) == {"line", "deep"}
    for changed in (
        replace(RECIPE, seed=1),
        replace(RECIPE, folds=FoldSpec("repeated", 4, 2)),
        replace(RECIPE, final="refit"),
        replace(RECIPE, objective="cv_mae_blended"),
    ):
        assert found(tmp_path, changed) == {}
    assert found(tmp_path, train_hash="b") == {}
    assert found(tmp_path, versions={"numpy": "3"}) == {}


def test_a_fit_of_classes_has_their_number_and_weights_as_causes(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    fit = KnownFit(random.uniform(size=(2, ROWS, 3)), random.uniform(size=(VALIDATION_ROWS, 3)))
    kept = KnownFits(tmp_path, RECIPE, REST)
    kept.keep({"ridge": fit, "deep": fit})
    read = kept.find(ROWS, VALIDATION_ROWS, 3)
    assert set(read) == {"ridge", "deep"}
    assert np.array_equal(read["ridge"].out_of_fold, fit.out_of_fold)
    assert kept.find(ROWS, VALIDATION_ROWS, 4) == kept.find(ROWS, VALIDATION_ROWS) == {}
    for rule in ("balanced", {"a": 1.0, "b": 2.0, "c": 3.0}):
        assert KnownFits(tmp_path, replace(RECIPE, class_weight=rule), REST).find(ROWS, VALIDATION_ROWS, 3) == {}
    threshold = KnownFits(tmp_path, replace(RECIPE, threshold=0.3, calibrate=False, blend="vote"), REST)
    assert set(threshold.find(ROWS, VALIDATION_ROWS, 3)) == {"ridge", "deep"}


def test_a_damaged_fit_or_one_of_other_rows_is_not_found(tmp_path: Path) -> None:
    kept = KnownFits(tmp_path, RECIPE, REST)
    kept.keep(fits())
    assert kept.find(ROWS + 1, VALIDATION_ROWS) == kept.find(ROWS, None) == {}
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-40])
    assert found(tmp_path) == {}
