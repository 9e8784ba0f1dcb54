"""The training of an ensemble: folds, blends, scores and failures (``training``, ``threads``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xgboost
from catboost import CatBoostRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from ensemble.arrays import Floats
from ensemble.blending import Rows, make_blender
from ensemble.errors import EnsembleError, InputError, MemberError
from ensemble.racing import RaceLost, Rival
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Table
from ensemble.training import Training, fit_ensemble
from tests.entry.conftest import OWN_MEMBER, QUICK, make_table, quick_recipe

SEED = 5
K = 3
KINDS = ("xgboost", "catboost", "random_forest", "ridge")
TABLE = make_table(60, missing=0.1)
VALIDATION = make_table(25, seed=1, missing=0.1)

Predict = Callable[[Floats], Floats]


def fit(recipe: Recipe, table: Table = TABLE, validation: Table | None = None, threads: int = 1) -> Training:
    return fit_ensemble(recipe, table, validation, threads)


def by_hand_xgboost(features: Floats, target: Floats) -> Predict:
    settings = {"max_depth": 3, "subsample": 0.8, "colsample_bytree": 0.7, "tree_method": "hist", "seed": SEED}
    booster = xgboost.train(settings | {"nthread": 1}, xgboost.DMatrix(features, target), num_boost_round=4)
    return lambda rows: booster.predict(xgboost.DMatrix(rows))


def by_hand_catboost(features: Floats, target: Floats) -> Predict:
    model = CatBoostRegressor(
        iterations=4, depth=3, random_seed=SEED, thread_count=1, allow_writing_files=False, verbose=False
    )
    return model.fit(features, target).predict


def by_hand_ridge(features: Floats, target: Floats) -> Predict:
    middle = np.nanmedian(features, axis=0)

    def filled(rows: Floats) -> Floats:
        return np.where(np.isnan(rows), middle, rows)

    mean, spread = filled(features).mean(axis=0), filled(features).std(axis=0)
    model = Ridge(alpha=2.5).fit((filled(features) - mean) / spread, target)
    return lambda rows: model.predict((filled(rows) - mean) / spread)


BY_HAND = {"xgboost": by_hand_xgboost, "catboost": by_hand_catboost, "ridge": by_hand_ridge}


def folds() -> list[tuple[np.ndarray, np.ndarray]]:
    return list(KFold(K, shuffle=True, random_state=SEED).split(TABLE.features))


def rmse(target: Floats, predicted: Floats) -> float:
    return float(np.sqrt(((target - predicted) ** 2).mean()))


@pytest.mark.parametrize("kind", BY_HAND)
def test_out_of_fold_predictions_are_those_of_a_loop_by_hand(kind: str) -> None:
    training = fit(quick_recipe(kind, k=K, seed=SEED))
    expected = np.empty(TABLE.rows)
    for number, (rows, held_out) in enumerate(folds()):
        expected[held_out] = BY_HAND[kind](TABLE.features[rows], TABLE.target[rows])(TABLE.features[held_out])
        assert training.fold_of_row[held_out].tolist() == [[number]] * len(held_out)
        assert training.metrics[f"cv_rmse_{kind}_fold_{number}"] == pytest.approx(
            rmse(TABLE.target[held_out], expected[held_out]), rel=1e-12
        )
    assert training.out_of_fold[:, 0] == pytest.approx(expected, rel=1e-12)
    assert training.metrics[f"cv_rmse_{kind}"] == pytest.approx(rmse(TABLE.target, expected), rel=1e-12)


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_bag_predicts_the_average_of_the_fold_models(kind: str) -> None:
    training = fit(quick_recipe(kind, k=K, seed=SEED, final="bag"), validation=VALIDATION)
    parts = [
        BY_HAND[kind](TABLE.features[rows], TABLE.target[rows])(VALIDATION.features).astype(float)
        for rows, _ in folds()
    ]
    predicted = training.ensemble.predict(VALIDATION.features)
    assert predicted == pytest.approx(np.mean(parts, axis=0), rel=1e-12)
    assert predicted != pytest.approx(parts[-1], rel=1e-3)
    assert training.metrics[f"validation_rmse_{kind}"] == pytest.approx(rmse(VALIDATION.target, predicted), rel=1e-12)


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_refit_predicts_what_one_model_of_all_rows_does(kind: str) -> None:
    training = fit(quick_recipe(kind, k=K, seed=SEED, final="refit"), validation=VALIDATION)
    expected = BY_HAND[kind](TABLE.features, TABLE.target)(VALIDATION.features).astype(float)
    assert training.ensemble.predict(VALIDATION.features) == pytest.approx(expected, rel=1e-12)
    assert training.metrics[f"validation_rmse_{kind}"] == pytest.approx(rmse(VALIDATION.target, expected), rel=1e-12)


def test_out_of_fold_scores_do_not_depend_on_what_is_served() -> None:
    bag, refit = (fit(quick_recipe("xgboost", "ridge", final=final)) for final in ("bag", "refit"))
    assert bag.metrics == refit.metrics


def test_a_fitted_blend_is_scored_by_weights_of_the_other_folds() -> None:
    training = fit(quick_recipe(*KINDS, k=K, seed=SEED, blend="weighted"))
    blender = make_blender("weighted", KINDS, None, "blend")
    expected = np.empty(TABLE.rows)
    for rows, held_out in folds():
        weights = blender.fit(Rows(training.out_of_fold[rows], TABLE.target[rows], TABLE.features[rows])).weights
        expected[held_out] = training.out_of_fold[held_out] @ weights
    assert training.out_of_fold_blended == pytest.approx(expected, rel=1e-12)
    assert training.metrics["cv_rmse_blended"] == pytest.approx(rmse(TABLE.target, expected), rel=1e-12)

    weights = blender.fit(Rows(training.out_of_fold, TABLE.target, TABLE.features)).weights
    assert list(training.ensemble.weights.values()) == pytest.approx(weights, rel=1e-12)
    in_sample = rmse(TABLE.target, training.out_of_fold @ weights)
    assert training.metrics["cv_rmse_blended"] > in_sample * (1 + 1e-6)


@pytest.mark.parametrize(
    ("blend", "weights", "expected"),
    [("mean", None, [0.5, 0.5]), ("fixed", {"xgboost": 1.0, "ridge": 3.0}, [0.25, 0.75])],
)
def test_fixed_weights_blend_out_of_fold_and_validation_rows(
    blend: str, weights: dict[str, float] | None, expected: list[float]
) -> None:
    training = fit(quick_recipe("xgboost", "ridge", blend=blend, weights=weights), validation=VALIDATION)
    assert list(training.ensemble.weights.items()) == list(zip(("xgboost", "ridge"), expected, strict=True))
    assert training.out_of_fold_blended == pytest.approx(training.out_of_fold @ expected, rel=1e-12)
    members = training.ensemble.predict_members(VALIDATION.features)
    assert training.ensemble.predict(VALIDATION.features) == pytest.approx(members @ expected, rel=1e-12)
    assert training.metrics["validation_rmse_blended"] == pytest.approx(rmse(VALIDATION.target, members @ expected))


@pytest.mark.parametrize("with_validation", [False, True])
def test_metrics_have_exactly_their_names(with_validation: bool) -> None:
    recipe = Recipe((MemberSpec("a", "ridge"), MemberSpec("b_2", "ridge", {"alpha": 9.0})), folds=FoldSpec(k=2))
    names = ("a", "b_2", "blended")
    expected = {f"cv_rmse_{name}_fold_{fold}" for name in names for fold in range(2)}
    for split in ("cv", "validation") if with_validation else ("cv",):
        expected |= {f"{split}_{score}_{name}" for score in ("rmse", "mae", "r2") for name in names}
    assert set(fit(recipe, validation=VALIDATION if with_validation else None).metrics) == expected


@pytest.mark.parametrize("final", ["bag", "refit"])
def test_a_row_alone_is_predicted_as_in_a_batch(final: str) -> None:
    weights = dict(zip(KINDS, (0.1, 0.2, 0.3, 0.4), strict=True))
    ensemble = fit(quick_recipe(*KINDS, final=final, blend="fixed", weights=weights)).ensemble
    features = VALIDATION.features
    alone = np.concatenate([ensemble.predict_members(features[row : row + 1]) for row in range(len(features))])
    assert np.array_equal(alone, ensemble.predict_members(features))
    blended = np.concatenate([ensemble.predict(features[row : row + 1]) for row in range(len(features))])
    assert np.array_equal(blended, ensemble.predict(features))


def test_two_threads_train_what_one_does() -> None:
    one, two = (fit(quick_recipe(*KINDS, blend="weighted"), validation=VALIDATION, threads=n) for n in (1, 2))
    assert one.metrics == two.metrics
    assert one.ensemble.weights == two.ensemble.weights
    assert np.array_equal(one.out_of_fold, two.out_of_fold)


def test_a_member_is_not_moved_by_its_neighbours() -> None:
    alone, together = fit(quick_recipe("xgboost")), fit(quick_recipe("catboost", "xgboost"))
    assert np.array_equal(alone.out_of_fold[:, 0], together.out_of_fold[:, 1])


def test_time_is_counted_for_each_member() -> None:
    training = fit(quick_recipe("catboost", "ridge"))
    assert list(training.fit_seconds) == ["catboost", "ridge"]
    assert all(seconds > 0 for seconds in training.fit_seconds.values())
    assert training.predict_seconds > 0


def test_fewer_rows_than_folds_is_refused() -> None:
    with pytest.raises(InputError, match=r"2 training rows cannot be divided into 3 folds"):
        fit(quick_recipe("ridge"), TABLE.take(slice(2)))


def test_a_library_that_refuses_its_parameters_fails_the_member() -> None:
    params = QUICK["catboost"] | {"bootstrap_type": "Bayesian", "subsample": 0.5}
    recipe = Recipe((MemberSpec("ridge", "ridge"), MemberSpec("deep", "catboost", params)), folds=FoldSpec(k=2))
    with pytest.raises(MemberError, match=r"^member 'deep' failed \(fit, fold 0\): CatBoostError: ") as error:
        fit(recipe)
    assert (error.value.member, error.value.step) == ("deep", "fit, fold 0")
    assert not isinstance(error.value, InputError)


FAILURES = {
    "constructor": (
        "__init__",
        "(self, params, *, seed, threads, categories): raise ZeroDivisionError('oh')",
        "fit, fold 0",
    ),
    "fit": ("fit", "(self, features, target, weights): raise ZeroDivisionError('oh')", "fit, fold 0"),
    "second fit": (
        "fit",
        "(self, features, target, weights, fits=[]): fits.append(1); self.value = 1.0 / (2 - len(fits))",
        "fit, fold 1",
    ),
    "predict": ("predict", "(self, features): raise ZeroDivisionError('oh')", "predict, fold 0"),
    "a missing prediction": ("predict", "(self, features): return features[:, 0] * np.nan", "predict, fold 0"),
    "an infinite prediction": ("predict", "(self, features): return np.full(len(features), np.inf)", "predict, fold 0"),
    "a column": ("predict", "(self, features): return np.zeros((len(features), 1))", "predict, fold 0"),
    "too few predictions": ("predict", "(self, features): return np.zeros(1)", "predict, fold 0"),
    "a list": ("predict", "(self, features): return [0.0] * len(features)", "predict, fold 0"),
    "nothing": ("predict", "(self, features): pass", "predict, fold 0"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_member_that_fails_is_named_with_what_it_did(case: str, own_module: Callable[[str], str]) -> None:
    method, body, step = FAILURES[case]
    kind = own_module(f"{OWN_MEMBER}\nclass Failing(Constant):\n    def {method}{body}\n") + ":Failing"
    recipe = Recipe((MemberSpec("base", "ridge"), MemberSpec("own", kind)), folds=FoldSpec(k=2))
    with pytest.raises(MemberError) as error:
        fit(recipe)
    assert (error.value.member, error.value.step) == ("own", step)
    assert str(error.value).startswith(f"member 'own' failed ({step}): ")


def test_a_member_that_fails_on_validation_rows_is_named(own_module: Callable[[str], str]) -> None:
    body = "    def predict(self, features): return np.zeros(len(features)) / (len(features) != 25)\n"
    kind = own_module(f"{OWN_MEMBER}\nclass Failing(Constant):\n{body}") + ":Failing"
    recipe = Recipe((MemberSpec("own", kind),), folds=FoldSpec(k=2))
    with pytest.raises(MemberError, match=r"'own' failed \(predict, validation\)"):
        fit(recipe, validation=VALIDATION)


def test_a_member_that_fails_when_refitted_is_named(own_module: Callable[[str], str]) -> None:
    body = "    def fit(self, features, target, weights=None): self.value = 1.0 / (len(target) != 60)\n"
    kind = own_module(f"{OWN_MEMBER}\nclass Failing(Constant):\n{body}") + ":Failing"
    with pytest.raises(EnsembleError, match=r"'own' failed \(fit, all rows\): ZeroDivisionError"):
        fit(Recipe((MemberSpec("own", kind),), folds=FoldSpec(k=2), final="refit"))


def test_a_warning_in_fit_fails_nobody(own_module: Callable[[str], str]) -> None:
    body = "    def fit(self, features, target, weights=None): import warnings; warnings.warn('hm'); super().fit(features, target)\n"
    kind = own_module(f"{OWN_MEMBER}\nclass Warning(Constant):\n{body}") + ":Warning"
    with pytest.warns(UserWarning, match="hm"):
        training = fit(Recipe((MemberSpec("own", kind),), folds=FoldSpec(k=2)))
    assert training.metrics["cv_rmse_own"] > 0


def in_groups(rows: int = 60, groups: int = 9) -> Table:
    table = make_table(rows, missing=0.1)
    keys = np.random.RandomState(3).randint(0, groups, rows).astype(float)
    return Table(table.columns, "y", table.features, table.target, None, keys)


def test_repeated_folds_are_scored_in_each_division_and_not_on_averaged_predictions() -> None:
    recipe = quick_recipe("ridge", "xgboost", seed=SEED, blend="weighted")
    repeated = fit(Recipe(recipe.members, "weighted", folds=FoldSpec("repeated", K, 2), seed=SEED))
    parts = [fit(Recipe(recipe.members, "weighted", folds=FoldSpec(k=K), seed=SEED + repeat)) for repeat in range(2)]
    assert repeated.fold_of_row.shape == (60, 2)
    assert len(repeated.ensemble.models["ridge"]) == 2 * K
    first = parts[0].out_of_fold[:, 0]
    assert repeated.out_of_fold[:, 0] == pytest.approx((first + parts[1].out_of_fold[:, 0]) / 2)
    assert np.array_equal(repeated.by_repeat[:, :, 0], np.stack([part.out_of_fold[:, 0] for part in parts]))
    each = [rmse(TABLE.target, part) for part in repeated.by_repeat[:, :, 0]]
    assert repeated.metrics["cv_rmse_ridge"] == pytest.approx(np.mean(each))
    assert repeated.metrics["cv_rmse_ridge"] == pytest.approx(np.mean([p.metrics["cv_rmse_ridge"] for p in parts]))
    blends = [rmse(TABLE.target, part) for part in repeated.blended_by_repeat]
    assert repeated.metrics["cv_rmse_blended"] == pytest.approx(np.mean(blends))
    assert repeated.out_of_fold_blended == pytest.approx(repeated.blended_by_repeat.mean(axis=0))
    assert repeated.metrics["cv_rmse_xgboost"] > rmse(TABLE.target, repeated.out_of_fold[:, 1])  # which flatters it
    assert repeated.fold_weights == (60 / K,) * 2 * K
    folds = [name for name in repeated.metrics if name.startswith("cv_rmse_blended_fold_")]
    assert len(folds) == 2 * K


def test_the_time_of_a_fit_does_not_include_that_of_importing_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_member_of_it.py").write_text(
        "from ensemble.members.scikit import Ridge\n"
        "class Slow(Ridge):\n"
        "    def build(self):\n"
        "        import slow_to_import\n"
        "        return super().build()\n"
    )
    training = fit(Recipe((MemberSpec("slow", "own_member_of_it:Slow"),), folds=FoldSpec(k=2)))
    assert training.fit_seconds["slow"] < 0.3


def test_groups_stay_together() -> None:
    table = in_groups()
    training = fit(Recipe((MemberSpec("ridge", "ridge"),), folds=FoldSpec("group", K)), table)
    for key in np.unique(table.fold_keys):
        assert len(set(training.fold_of_row[table.fold_keys == key, 0].tolist())) == 1


def test_rows_that_no_fold_in_time_scores_count_in_no_score() -> None:
    table = in_groups(groups=20)
    recipe = quick_recipe("ridge", "xgboost", blend="weighted")
    training = fit(Recipe(recipe.members, "weighted", folds=FoldSpec("time", K)), table)
    scored = training.fold_of_row[:, 0] >= 0
    assert 0 < scored.sum() < table.rows
    assert table.fold_keys[scored].min() > table.fold_keys[~scored].max()
    assert np.isnan(training.out_of_fold[~scored]).all()
    assert np.isnan(training.out_of_fold_blended[~scored]).all()
    expected = rmse(table.target[scored], training.out_of_fold[scored, 1])
    assert training.metrics["cv_rmse_xgboost"] == pytest.approx(expected)
    first = training.fold_of_row[:, 0] == 0
    alike = training.out_of_fold[first].mean(axis=1)
    assert training.out_of_fold_blended[first] == pytest.approx(alike)


@pytest.mark.parametrize("blend", ["weighted", "greedy", "stacking", "stacking_passthrough"])
def test_every_fitted_blend_is_scored_by_blends_of_the_other_folds(blend: str) -> None:
    training = fit(quick_recipe(*KINDS, k=K, seed=SEED, blend=blend))
    blender = make_blender(blend, KINDS, None, "blend")
    places = range(TABLE.features.shape[1])
    expected = np.empty(TABLE.rows)
    for rows, held_out in folds():
        others = Rows(training.out_of_fold[rows], TABLE.target[rows], TABLE.features[rows], None, places)
        found = blender.fit(others).predict(training.out_of_fold[held_out], TABLE.features[held_out])
        expected[held_out] = found
    assert training.out_of_fold_blended == pytest.approx(expected, rel=1e-9)


def test_weights_count_in_fit_and_scores() -> None:
    weights = np.where(np.arange(60) % 2, 1.0, 0.0)
    weighed = Table(TABLE.columns, "y", TABLE.features, TABLE.target, weights)
    training = fit(quick_recipe("ridge", "xgboost", blend="weighted"), weighed)
    errors = (TABLE.target - training.out_of_fold[:, 0]) ** 2
    assert training.metrics["cv_rmse_ridge"] == pytest.approx(np.sqrt(np.average(errors, weights=weights)))
    assert training.metrics != fit(quick_recipe("ridge", "xgboost", blend="weighted")).metrics


def test_member_that_does_not_support_weights_is_refused_with_weights() -> None:
    weighed = Table(TABLE.columns, "y", TABLE.features, TABLE.target, np.ones(60))
    with pytest.raises(InputError, match=r"'nearest_neighbors' does not support row weights.*dataset\.weights"):
        fit(quick_recipe("nearest_neighbors"), weighed)


@pytest.mark.parametrize("blend", ["mean", "stacking"])
def test_a_training_that_loses_its_race_is_given_up_between_folds(blend: str) -> None:
    recipe = quick_recipe("ridge", "xgboost", k=5, blend=blend)
    table = make_table(120)
    whole = fit_ensemble(recipe, table, None, 1, Rival())
    value = whole.metrics["cv_rmse_blended"]
    better = Rival(value / 3, tuple(tuple(score / 3 for score in standing) for standing in whole.standings))
    with pytest.raises(RaceLost) as lost:
        fit_ensemble(recipe, table, None, 1, better)
    done = len(lost.value.folds)
    assert 2 <= done < 5
    names = {f"cv_rmse_{name}_fold_{fold}" for name in ("ridge", "xgboost") for fold in range(done)}
    assert lost.value.metrics == {name: whole.metrics[name] for name in names}
    assert lost.value.folds == whole.standings[done - 1]
    difference = np.mean(np.array(lost.value.folds) * 2 / 3)
    assert lost.value.expected == pytest.approx(value / 3 + difference)


@pytest.mark.parametrize("blend", ["mean", "weighted", "greedy", "stacking", "stacking_passthrough"])
@pytest.mark.parametrize("rows", [40, 120])
def test_a_training_never_loses_against_itself(blend: str, rows: int) -> None:
    recipe = quick_recipe("ridge", "xgboost", "random_forest", k=5, blend=blend)
    table = make_table(rows)
    whole = fit_ensemble(recipe, table, None, 1, Rival())
    itself = Rival(whole.metrics["cv_rmse_blended"], tuple(map(tuple, whole.standings)))
    assert fit_ensemble(recipe, table, None, 1, itself).metrics == whole.metrics


def test_a_training_that_wins_its_race_gives_the_numbers_of_one_without() -> None:
    recipe = quick_recipe("ridge", "xgboost", k=4, blend="weighted", objective="cv_r2_blended")
    table = make_table(120)
    alone = fit_ensemble(recipe, table, None, 1)
    assert alone.standings == []
    noted = fit_ensemble(recipe, table, None, 1, Rival())
    assert [len(standing) for standing in noted.standings] == [0, 2, 3]
    value = alone.metrics["cv_r2_blended"]
    worse = Rival(value - 0.1, tuple(tuple(score - 0.1 for score in standing) for standing in noted.standings))
    raced = fit_ensemble(recipe, table, None, 1, worse)
    assert raced.metrics == noted.metrics == alone.metrics
    assert raced.standings == noted.standings
