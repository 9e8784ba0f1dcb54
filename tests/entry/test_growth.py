"""Numbers of boosting rounds that a training finds (``members/growth``, ``training``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ensemble.arrays import Floats
from ensemble.evaluation import make_folds
from ensemble.members import REGISTRY, Member
from ensemble.members.growth import FIRST_PATIENCE, MOST, PATIENCE, Growth, common_rounds
from ensemble.members.scikit import CHUNK
from ensemble.parameters import ParamValue
from ensemble.racing import Rival
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Column, Table
from ensemble.training import Training, fit_again, fit_ensemble, served_rounds
from tests.entry.conftest import make_table

pytestmark = pytest.mark.usefixtures("one_thread")

# Quick to grow, and best after few rounds.
GROWN: dict[str, dict[str, ParamValue]] = {
    "xgboost": {"eta": 0.4, "max_depth": 3, "subsample": 0.8, "colsample_bytree": 0.7},
    "catboost": {"learning_rate": 0.4, "depth": 3},
    "lightgbm": {"learning_rate": 0.4, "num_leaves": 6, "feature_fraction": 0.7},
    "hist_gradient_boosting": {
        "learning_rate": 0.4,
        "max_leaf_nodes": 6,
        "max_features": 0.7,
        "min_samples_leaf": 5,
    },
}
every_grown = pytest.mark.parametrize("kind", GROWN)


def table(rows: int = 150, *, categories: bool = False, weights: bool = False, seed: int = 0) -> Table:
    found = make_table(rows, seed=seed, missing=0.1)
    random = np.random.RandomState(seed)
    if categories:
        codes = random.randint(0, 4, rows)
        column = Column("colour", "category", tuple("abcd"))
        found = replace(
            found,
            columns=(*found.columns, column),
            features=np.column_stack([found.features, codes]),
            target=found.target + 3 * codes,
        )
    return replace(found, weights=random.uniform(0.1, 2, rows)) if weights else found


def recipe(*kinds: str, k: int = 3, **more: Any) -> Recipe:
    members = tuple(MemberSpec(kind, kind, GROWN.get(kind, {})) for kind in kinds)
    return Recipe(members, folds=more.pop("folds", FoldSpec(k=k)), **more)


def errors(rows: Table, predicted: Floats, index: Any, *, absolute: bool = False) -> float:
    deviations = np.abs(rows.target[index] - predicted)
    weights = np.ones(len(deviations)) if rows.weights is None else rows.weights[index]
    return float(((deviations if absolute else deviations**2) * weights).sum())


def test_every_member_that_is_grown_is_tested_here() -> None:
    assert set(GROWN) == {kind for kind, member in REGISTRY.items() if member.rounds is not None}


def grown(kind: str, rows: Table, held_out: Table, threads: int = 1) -> tuple[Member, Growth]:
    growth = Growth(held_out.features, held_out.target, held_out.weights)
    member = REGISTRY[kind](GROWN[kind], seed=3, threads=threads, categories=rows.categories)
    member.grow(rows.features, rows.target, rows.weights, growth)
    return member, growth


@every_grown
@pytest.mark.parametrize("categories", [False, True], ids=["numbers", "categories"])
def test_a_truncated_model_is_the_model_of_so_many_rounds(kind: str, categories: bool, tmp_path: Path) -> None:
    rows = table(categories=categories, weights=True)
    held_out = table(40, categories=categories, weights=True, seed=1)
    member, growth = grown(kind, rows, held_out)
    whole, curve = member.predict(held_out.features), growth.curve()
    for number in (1, 7, common_rounds([curve])):
        shorter = member.truncated(number)
        fixed = REGISTRY[kind](GROWN[kind], seed=3, threads=2, categories=rows.categories)
        fixed.fit_rounds(rows.features, rows.target, rows.weights, number)
        predicted = shorter.predict(held_out.features)
        assert np.array_equal(predicted, fixed.predict(held_out.features))
        assert curve[number - 1] == pytest.approx(errors(held_out, predicted, slice(None)), rel=1e-9)
        assert shorter.predict(held_out.features[:1]) == predicted[:1]
        path = tmp_path / f"model{shorter.suffix}"
        shorter.save(path)
        loaded = REGISTRY[kind].load(path, threads=1, categories=rows.categories)
        assert np.array_equal(loaded.predict(held_out.features), predicted)
    assert np.array_equal(member.predict(held_out.features), whole)


@every_grown
def test_a_model_with_fewer_rounds_than_asked_for_stays_whole(kind: str) -> None:
    rows, held_out = table(), table(40, seed=1)
    member, _ = grown(kind, rows, held_out)
    assert np.array_equal(member.truncated(10 * MOST).predict(held_out.features), member.predict(held_out.features))


@every_grown
def test_growth_ends_soon_after_the_lowest_error(kind: str) -> None:
    _, growth = grown(kind, table(), table(40, seed=1))
    curve = growth.curve()
    assert len(curve) - (int(np.argmin(curve)) + 1) <= FIRST_PATIENCE + CHUNK
    assert len(curve) < MOST


@every_grown
def test_a_constant_target_is_grown_to_any_number_of_rounds(kind: str) -> None:
    rows, held_out = replace(table(), target=np.full(150, 7.25)), table(40, seed=1)
    member, growth = grown(kind, rows, held_out)
    assert np.ptp(growth.curve()) == pytest.approx(0, abs=1e-6)
    assert len(growth.curve()) == MOST
    assert member.truncated(common_rounds([growth.curve()])).predict(held_out.features) == pytest.approx(7.25)


@every_grown
@pytest.mark.parametrize("objective", ["cv_rmse_blended", "cv_mae_blended", "validation_r2_blended"])
def test_the_number_is_the_best_for_all_folds_together(kind: str, objective: str) -> None:
    rows = table(weights=True)
    training = fit_ensemble(recipe(kind, seed=2, objective=objective), rows, table(30, seed=5), 1)
    folds = make_folds(FoldSpec(k=3), rows.rows, 2)
    best = training.rounds[kind]
    totals = dict.fromkeys((1, best // 2, best - 2, best - 1, best, best + 1, best + 5), 0.0)
    for number in filter(None, totals):
        for fold in folds:
            fixed = REGISTRY[kind](GROWN[kind], seed=2, threads=1)
            fit = rows.take(fold.fit)
            fixed.fit_rounds(fit.features, fit.target, fit.weights, number)
            predicted = fixed.predict(rows.features[fold.score])
            totals[number] += errors(rows, predicted, fold.score, absolute="mae" in objective)
            if number == best:
                assert np.array_equal(training.out_of_fold[fold.score, 0], predicted)
    totals.pop(0, None)
    assert all(totals[best] < total for number, total in totals.items() if number != best)


@pytest.mark.parametrize(
    "folds",
    [FoldSpec("kfold", 2), FoldSpec("repeated", 2, 2), FoldSpec("group", 3), FoldSpec("time", 3)],
    ids=lambda folds: folds.kind,
)
def test_folds_of_every_kind_have_one_number(folds: FoldSpec) -> None:
    rows = replace(table(90, categories=True), fold_keys=np.repeat(np.arange(30.0), 3))
    training = fit_ensemble(recipe(*GROWN, "ridge", folds=folds), rows, None, 1)
    assert set(training.rounds) == set(GROWN)
    for name, models in training.ensemble.models.items():
        if name in GROWN:
            numbers = {_rounds_of(model) for model in models}
            assert numbers == {training.rounds[name]}
    scored = training.fold_of_row[:, 0] >= 0
    assert np.isfinite(training.out_of_fold[scored]).all()


def _rounds_of(model: Any) -> int:
    if model.kind == "xgboost":
        return int(model._booster.num_boosted_rounds())
    if model.kind == "lightgbm":
        return int(model._booster.num_trees())
    return int(model._model.tree_count_ if model.kind == "catboost" else model._regressor().n_iter_)


@pytest.mark.parametrize(
    "kind",
    # Threads of scikit-learn wait for each other, for a quarter of a minute on a busy machine.
    ["xgboost", "catboost", pytest.param("hist_gradient_boosting", marks=pytest.mark.slow)],
)
def test_threads_change_nothing(kind: str) -> None:
    def found(threads: int) -> Training:
        with threadpool_limits(threads, user_api="openmp"):
            return fit_ensemble(recipe(kind, k=2), table(200, categories=True, weights=True), None, threads)

    one, two = found(1), found(2)
    assert one.rounds == two.rounds
    assert np.array_equal(one.out_of_fold, two.out_of_fold)


def test_thirty_rows_are_enough() -> None:
    training = fit_ensemble(recipe(*GROWN, k=5), table(30), None, 1)
    assert all(number >= 1 for number in training.rounds.values())
    assert np.isfinite(training.out_of_fold).all()


def test_a_fold_with_a_constant_target_limits_no_other() -> None:
    rows = table(90)
    keys = np.repeat(np.arange(9.0), 10)
    target = np.where(keys < 3, 50.0, rows.target)  # the first of three folds in time is fitted on constants
    training = fit_ensemble(
        recipe(*GROWN, folds=FoldSpec("time", 2)), replace(rows, target=target, fold_keys=keys), None, 1
    )
    assert max(training.rounds.values()) > 1
    assert np.isfinite(training.out_of_fold[training.fold_of_row[:, 0] >= 0]).all()


def test_a_number_that_is_set_is_kept() -> None:
    fixed = Recipe((MemberSpec("xgboost", "xgboost", {"num_round": 5}),), folds=FoldSpec(k=2))
    training = fit_ensemble(fixed, table(60), None, 1)
    assert training.rounds == {}
    assert [_rounds_of(model) for model in training.ensemble.models["xgboost"]] == [5, 5]


@pytest.mark.parametrize("final", ["bag", "refit"])
def test_the_served_models_have_more_rounds_by_their_rows(final: Any) -> None:
    rows = table(120)
    train, asked = rows.take(np.arange(90)), recipe(*GROWN, final=final)
    training = fit_ensemble(asked, train, None, 1)
    more = served_rounds(asked, training, train, rows)
    served = fit_again(asked, rows, training.ensemble, 1, more)
    for models, rounds in ((training.ensemble.models, training.rounds), (served.models, more)):
        for name, number in rounds.items():
            assert {_rounds_of(model) for model in models[name]} == {number}
    # The folds' models were fitted on 60 rows.
    assert more == {name: round(number * 2**0.5) for name, number in training.rounds.items()}
    assert served_rounds(asked, training, train, train.take(np.arange(50))) == training.rounds
    by_hand = REGISTRY["catboost"](GROWN["catboost"], seed=0, threads=1)
    by_hand.fit_rounds(rows.features, rows.target, None, more["catboost"])
    assert np.array_equal(by_hand.predict(rows.features), served.models["catboost"][0].predict(rows.features))


def test_a_race_changes_no_number() -> None:
    alone = fit_ensemble(recipe(*GROWN), table(), None, 1)
    raced = fit_ensemble(recipe(*GROWN), table(), None, 1, Rival())
    assert raced.rounds == alone.rounds
    assert raced.metrics == alone.metrics
    assert [len(standing) for standing in raced.standings] == [0, 2]


def growth_of(curve: list[float], before: list[list[float]] | None = None) -> tuple[Floats, list[bool]]:
    growth = Growth(np.zeros((1, 1)), np.zeros(1), before=[np.array(part) for part in before or []])
    answers = []
    for error in curve:
        answers.append(growth.after(np.array([np.sqrt(error)])))
        if not answers[-1]:
            break
    return growth.curve(), answers


def test_growth_waits_for_the_error_to_fall_again() -> None:
    falling = list(np.linspace(9, 1, PATIENCE - 1))
    first = FIRST_PATIENCE
    _, answers = growth_of([*falling, *np.linspace(2, 3, 300)])
    assert len(answers) == len(falling) + first
    _, answers = growth_of([*falling, *np.linspace(2, 3, first - 1), 0.5, *np.linspace(2, 3, 300)])
    assert len(answers) == len(falling) + 2 * first
    _, answers = growth_of([*falling, *np.linspace(2, 3, 300)], [[1.0] * 500])
    assert len(answers) == len(falling) + PATIENCE


def test_a_fold_is_judged_together_with_the_folds_before_it() -> None:
    rising = list(np.linspace(1, 3, 300))
    alone, _ = growth_of(rising)
    assert len(alone) == FIRST_PATIENCE + 1
    falling = list(np.linspace(9, 1, 200))
    together, answers = growth_of(rising, [falling])
    assert len(together) == len(answers) == 200
    assert common_rounds([np.array(falling), together]) == 200


def test_the_smallest_number_of_equal_errors_is_taken() -> None:
    assert common_rounds([np.array([3.0, 2.0, 1.0 + 1e-9, 1.0, 2.0])]) == 3
    assert common_rounds([np.array([3.0, 0.0, 0.0])]) == 2


def test_squares_that_overflow_do_not_stop_a_training() -> None:
    growth = Growth(np.zeros((1, 1)), np.array([1e200]))
    growth.after(np.array([0.0]))
    growth.after(np.array([1e200]))
    assert common_rounds([growth.curve()]) == 2
