"""Trainings that are told how long their folds may take, and what they pass on to the winner's training."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ensemble.final_budget
import ensemble.training
from ensemble.bundle import load_bundle
from ensemble.channel import write_channel
from ensemble.cli import main
from ensemble.errors import InputError
from ensemble.final_budget import FinalBudget
from ensemble.fold_budget import FoldBudget
from ensemble.known_fits import Known
from ensemble.members.growth import Growth
from ensemble.members.scikit import CHUNK
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Table
from ensemble.training import Training, fit_ensemble
from ensemble.wire import (
    decode_fitted,
    decode_rounds,
    decode_seconds,
    encode_fitted,
    encode_recipe,
    encode_rounds,
    without_members,
)
from tests.entry.conftest import OWN_MEMBER, QUICK, make_table

pytestmark = pytest.mark.usefixtures("one_thread")

K = 3
AMPLE = 1000.0
# A member that takes its time, and one that says so and must not be tried.
SLOW = (
    OWN_MEMBER
    + """
from ensemble.parameters import integer

class Clock:
    now = 0.0

class Slow(Constant):
    kind = "slow"

    def fit(self, features, target, weights=None):
        Clock.now += 0.4
        super().fit(features, target)

class Growing(Constant):
    kind = "growing"
    rounds = "rounds"
    parameters = {"rounds": integer(1, optional=True), "shift": real(-10, 10)}
    defaults = {"rounds": None, "shift": 0.0}

    def grow(self, features, target, weights, growth):
        for number in range(min(growth.most, 40)):  # it does not ask for the time
            Clock.now += 0.02
            growth.after(np.full(len(growth.features), target.mean() * number / 40))
        self.fit(features, target)

    def truncated(self, rounds):
        return self

class Late(Constant):
    kind = "late"

    @classmethod
    def seconds(cls, rows, columns, params):
        return 0.04

class Declared(Constant):
    kind = "declared"

    @classmethod
    def seconds(cls, rows, columns, params):
        return 1e6

    def fit(self, features, target, weights=None):
        raise AssertionError("fitted")
"""
)


def recipe(*members: MemberSpec, **more: Any) -> Recipe:
    return Recipe((*members, *(MemberSpec(kind, kind, QUICK[kind]) for kind in ("ridge", "xgboost"))), **more)


def fit(
    what: Recipe,
    seconds: float,
    rows: Table | None = None,
    clock: Callable[[], float] | None = None,
    *,
    may_leave: bool = True,
) -> Training:
    """Fit with this time, by a clock that moves only where a member of ``SLOW`` says so."""
    modules = {member.kind.partition(":")[0] for member in what.members if ":" in member.kind}
    found = [sys.modules.get(name) or importlib.import_module(name) for name in modules]
    now = clock or (lambda: sum(module.Clock.now for module in found))
    known = Known(seconds=seconds, may_leave=may_leave, clock=now)
    return fit_ensemble(replace(what, folds=FoldSpec(k=K)), rows or make_table(90), None, 1, None, known)


def test_with_time_enough_the_numbers_are_those_without_a_limit() -> None:
    members = tuple(MemberSpec(kind, kind, {"eta": 0.4} if kind == "xgboost" else {}) for kind in ("ridge", "xgboost"))
    one = Recipe(members, blend="stacking", folds=FoldSpec(k=K))
    limited, free = fit(one, AMPLE), fit_ensemble(one, make_table(90), None, 1)
    assert limited.left_out == {}
    assert limited.metrics == free.metrics
    assert limited.rounds == free.rounds
    assert np.array_equal(limited.out_of_fold, free.out_of_fold)


def test_a_member_that_took_too_long_is_left_out_after_the_first_fold(own_module: Callable[[str], str]) -> None:
    slow = MemberSpec("slow", f"{own_module(SLOW)}:Slow")
    training = fit(recipe(slow), K * 0.3)
    assert list(training.left_out) == ["slow"]
    assert "a fit takes about 0.4" in training.left_out["slow"]
    assert list(training.ensemble.models) == ["ridge", "xgboost"]
    assert list(training.fit_seconds) == ["ridge", "xgboost"]
    without = fit_ensemble(recipe(folds=FoldSpec(k=K)), make_table(90), None, 1)
    assert training.metrics == without.metrics
    assert np.array_equal(training.out_of_fold, without.out_of_fold)


def test_a_member_that_would_take_too_long_is_not_tried(own_module: Callable[[str], str]) -> None:
    training = fit(recipe(MemberSpec("declared", f"{own_module(SLOW)}:Declared")), 5.0)
    assert list(training.left_out) == ["declared"]


def test_a_lone_member_stays(own_module: Callable[[str], str]) -> None:
    training = fit(Recipe((MemberSpec("slow", f"{own_module(SLOW)}:Slow"),)), 0.01)
    assert training.left_out == {}
    assert list(training.ensemble.models) == ["slow"]


@pytest.mark.parametrize(
    "more", [{"blend": "fixed", "weights": {"slow": 1, "ridge": 1, "xgboost": 1}}, {"objective": "cv_rmse_slow"}]
)
def test_a_member_that_is_needed_stays(own_module: Callable[[str], str], more: dict[str, Any]) -> None:
    training = fit(recipe(MemberSpec("slow", f"{own_module(SLOW)}:Slow"), **more), 0.01)
    assert "slow" in training.ensemble.models


@pytest.mark.parametrize("kind", ["xgboost", "catboost", "hist_gradient_boosting"])
def test_a_booster_grows_as_far_as_its_time_allows(kind: str) -> None:
    one = Recipe(
        (MemberSpec("a", kind, {{"catboost": "learning_rate", "xgboost": "eta"}.get(kind, "learning_rate"): 0.01}),)
    )
    rows = make_table(300)
    readings = itertools.count()
    training = fit(one, K * 20.0, rows, lambda: float(next(readings)))  # a second passes each time it is read
    assert 1 <= training.rounds["a"] <= (20 if kind != "hist_gradient_boosting" else CHUNK)
    known = fit_ensemble(replace(one, folds=FoldSpec(k=K)), rows, None, 1, None, Known(rounds=training.rounds))
    assert known.metrics == training.metrics
    assert known.rounds == training.rounds


def test_a_booster_that_grew_for_too_long_is_kept_and_grows_less_in_the_other_folds(
    own_module: Callable[[str], str],
) -> None:
    training = fit(recipe(MemberSpec("a", f"{own_module(SLOW)}:Growing")), K * 0.2)
    assert list(training.ensemble.models) == ["a", "ridge", "xgboost"]
    assert 1 <= training.rounds["a"] < 30


def test_where_no_member_may_be_left_out_boosters_grow_less(own_module: Callable[[str], str]) -> None:
    module = own_module(SLOW)
    what = recipe(MemberSpec("slow", f"{module}:Slow"), MemberSpec("a", f"{module}:Growing"))
    training = fit(what, K * 0.2, may_leave=False)
    assert training.left_out == {}
    assert list(training.ensemble.models) == ["slow", "a", "ridge", "xgboost"]
    assert 1 <= training.rounds["a"] < 30


def test_growth_ends_by_its_clock() -> None:
    now = 0.0
    growth = Growth(np.zeros((1, 1)), np.zeros(1))
    growth.end_within(2.5, lambda: now)
    answers = []
    for error in (9.0, 8.0, 7.0):
        now += 1
        answers.append(growth.after(np.array([error])))
    assert answers == [True, True, False]


def test_members_are_taken_out_of_hyperparameters_with_what_only_they_use() -> None:
    given = {
        "members": "xgboost,deep:xgboost,svr",
        "shared": json.dumps({"rate": ["xgboost__eta", "deep__eta"], "c": ["svr__C"]}),
        "rate": "0.1",
        "c": "2.0",
        "deep__max_depth": "9",
        "seed": "1",
    }
    assert without_members(given, ("deep", "svr")) == {
        "members": "xgboost",
        "shared": '{"rate":["xgboost__eta"]}',
        "rate": "0.1",
        "seed": "1",
    }
    assert without_members(given, ()) == given


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="folds_seconds"):
        decode_seconds("folds_seconds", text)


@pytest.mark.parametrize("text", ['{"a":0}', '{"a":1.5}', "[]", '{"a":"many"}', "3"])
def test_rounds_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="found_rounds"):
        decode_rounds(text)


def test_rounds_are_read_as_they_are_written() -> None:
    assert decode_rounds(encode_rounds({"xgboost": 40, "deep": 7})) == {"xgboost": 40, "deep": 7}


@pytest.mark.parametrize("final", ["bag", "refit"])
def test_members_of_a_finished_training_are_not_fitted_again(
    tmp_path: Path, final: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Recipe(
        tuple(MemberSpec(kind, kind, {} if kind == "xgboost" else QUICK[kind]) for kind in ("xgboost", "ridge")),
        blend="stacking",
        final=final,
        folds=FoldSpec(k=K),
    )
    channels = {"SM_CHANNEL_TRAIN": make_table(60), "SM_CHANNEL_VALIDATION": make_table(20, seed=1)}

    def train(name: str, **more: str) -> Path:
        folder = tmp_path / name
        (folder / "input" / "config").mkdir(parents=True)
        (folder / "output" / "data").mkdir(parents=True)
        (folder / "input" / "config" / "hyperparameters.json").write_text(json.dumps(encode_recipe(one) | more))
        environ = {"SM_INPUT_CONFIG_DIR": str(folder / "input" / "config"), "SM_MODEL_DIR": str(folder / "model")}
        environ |= {"SM_OUTPUT_DATA_DIR": str(folder / "output" / "data"), "SM_OUTPUT_DIR": str(folder / "output")}
        for variable, table in channels.items():
            (tmp_path / variable).mkdir(exist_ok=True)
            write_channel(table, tmp_path / variable)
            environ[variable] = str(tmp_path / variable)
        assert main([], environ) == 0
        return folder

    whole = train("whole", final_rows="train_and_validation")
    scored = train("scored")
    fitted = encode_fitted({name: (scored, name) for name in ("xgboost", "ridge")})
    again = train("again", final_rows="train_and_validation", fitted_members=fitted)
    metrics = [json.loads((folder / "output" / "data" / "metrics.json").read_text()) for folder in (whole, again)]
    assert metrics[0]["metrics"] == metrics[1]["metrics"]
    assert (
        metrics[1]["fit_seconds"]
        == json.loads((scored / "output" / "data" / "metrics.json").read_text())["fit_seconds"]
    )
    assert metrics[0]["rows_served"] == metrics[1]["rows_served"] == 80
    rows = make_table(10, seed=3).features
    served = [load_bundle(folder / "model").ensemble.predict(rows) for folder in (whole, again)]
    assert np.array_equal(*served)
    kept = load_bundle(again / "output" / "data" / "scored").ensemble.predict(rows)
    assert np.array_equal(kept, load_bundle(scored / "model").ensemble.predict(rows))
    assert not np.array_equal(kept, served[0])
    with monkeypatch.context() as patch:
        fits = itertools.count(1)

        def fit_and_die(self: Any, *arguments: Any, **more: Any) -> Any:
            if next(fits) == 2:
                raise KeyboardInterrupt
            return known_way(self, *arguments, **more)

        known_way = ensemble.training._Fit._fit_member
        patch.setattr(ensemble.training._Fit, "_fit_member", fit_and_die)
        patch.setattr(ensemble.final_budget, "LONG_SECONDS", 0.0)
        patch.setattr(ensemble.final_budget, "LONG_SAVINGS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            train("killed", final_rows="train_and_validation", fitted_members=fitted, final_seconds="1e9")
    document = json.loads((tmp_path / "killed" / "output" / "data" / "metrics.json").read_text())
    assert (document["final_rows"], document["rows_served"]) == ("train_and_validation", 80)
    assert len(document["served_from_folds"]) == 1
    partly = load_bundle(tmp_path / "killed" / "model").ensemble.predict(rows)
    assert not any(np.array_equal(partly, other) for other in (kept, served[1]))
    late = train("late", final_rows="train_and_validation", fitted_members=fitted, final_seconds="1e-9")
    document = json.loads((late / "output" / "data" / "metrics.json").read_text())
    assert document["metrics"] == metrics[0]["metrics"]
    assert document["served_from_folds"] == ["xgboost", "ridge"]
    assert np.array_equal(load_bundle(late / "model").ensemble.predict(rows), kept)


@pytest.mark.parametrize("text", ['{"a":3}', '{"a":["one"]}', "[]", "a"])
def test_members_without_a_place_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="fitted_members"):
        decode_fitted(text)


def test_time_for_models_on_all_rows_goes_to_the_members_that_count() -> None:
    now = 0.0
    expected, weights = {"slow": 4.0, "quick": 0.5, "useless": 0.1}, {"slow": 0.6, "quick": 0.4, "useless": 0.0}
    budget = FinalBudget(5.0, expected, weights, clock=lambda: now)
    assert budget.order(expected) == ["quick", "slow", "useless"]
    assert budget.begin("quick")
    now += 1.0  # twice as long as expected
    assert not budget.is_long("slow")  # there is nothing yet to keep
    budget.end("quick")
    assert [name for name in expected if budget.is_long(name)] == ["slow"]
    assert not replace(budget, saving=1.0).is_long("slow")  # which takes 8 s
    assert not budget.begin("slow")
    assert budget.begin("useless")


def test_quick_members_have_the_time_that_no_booster_can_use() -> None:
    expected = {"ridge": 0.1, "svr": 0.9, "xgboost": 40.0, "catboost": 60.0}
    budget = FoldBudget(1.0, expected, ("xgboost", "catboost"), "blended", may_leave=True)
    for name in budget.fixed():
        assert budget.has_time_for(name, sum(budget.taken.values()))
        budget.taken[name] = expected[name] - 0.02
    assert budget.to_grow(0.98) == []
    assert list(budget.left_out) == ["catboost", "xgboost"]


def test_boosters_alone_share_the_shortest_time() -> None:
    budget = FoldBudget(0.1, {"xgboost": 40.0, "catboost": 60.0}, ("xgboost", "catboost"), "blended", may_leave=True)
    assert budget.to_grow(0.0) == ["xgboost"]
    budget.taken["xgboost"] = 0.2
    assert budget.grows_enough("xgboost", 1)


def test_a_booster_of_few_rounds_is_left_out_and_a_quick_member_takes_its_time() -> None:
    budget = FoldBudget(1.0, {"ridge": 0.1, "svr": 0.75, "catboost": 1.0}, ("catboost",), "blended", may_leave=True)
    assert budget.has_time_for("ridge", 0.0)
    budget.taken["ridge"] = 0.1
    assert not budget.has_time_for("svr", 0.1)
    assert budget.to_grow(0.1) == ["catboost"]
    budget.taken["catboost"] = 0.2
    assert not budget.grows_enough("catboost", 1)
    assert budget.left_out["catboost"].startswith("it grew one round in 0.2 s")
    assert budget.second_chance(0.3) == ["svr"]
    assert list(budget.left_out) == ["catboost"]


def test_the_time_of_a_booster_of_few_rounds_goes_to_quick_members(own_module: Callable[[str], str]) -> None:
    module = own_module(SLOW)
    members = MemberSpec("a", f"{module}:Growing"), MemberSpec("late", f"{module}:Late"), *recipe().members
    training = fit(Recipe(members), K * 0.05)
    assert list(training.left_out) == ["a"]
    assert list(training.ensemble.models) == ["late", "ridge", "xgboost"]
    free = fit_ensemble(Recipe(members[1:], folds=FoldSpec(k=K)), make_table(90), None, 1)
    assert training.metrics == free.metrics
