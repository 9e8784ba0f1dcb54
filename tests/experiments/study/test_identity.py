"""What makes another study, and how a difference is listed: by keys that can be typed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from experiments.config.schema import SearchConfig
from experiments.study.identity import differences, typed_key
from experiments.study.search_space import Interval, SearchSpace
from experiments.study.spec import UNSET, Channels, SearchSpec, StudySpec


@pytest.fixture
def study(tmp_path: Path) -> StudySpec:
    nowhere = tmp_path / "none"
    static = {"members": "ridge", "folds_k": "5", "seed": "0", "objective": "cv_rmse_blended"}
    return StudySpec(
        *("s", "local", "tune", nowhere, Channels(nowhere, nowhere, nowhere, "0"), static),
        *(SearchSpace({}), SearchSpec("tpe", 0, 3, 4, 10), "cv_rmse_blended", 1, 1, 1.0),
    )


def searching(study: StudySpec, **search: Any) -> StudySpec:
    space = SearchSpace({"ridge__alpha": Interval(0.1, 1.0, False, True)})
    return dataclasses.replace(study, space=space, search=dataclasses.replace(study.search, **search))


def test_what_changes_no_number_does_not_make_another_study(study: StudySpec) -> None:
    assert {key: getattr(SearchConfig(), key) for key in UNSET} == UNSET
    plain = searching(study)
    assert searching(study, prune=True).identity_hash() == plain.identity_hash()
    for sampler, same in (("random", True), ("grid", True), ("tpe", False)):
        other = searching(study, sampler=sampler, window=9, startup_trials=3)
        usual = searching(study, sampler=sampler, window=4, startup_trials=10)
        assert (other.identity() == usual.identity()) is same, sampler
    learning = [searching(study, sampler="random", vary="one_member", window=window).identity() for window in (4, 9)]
    assert learning[0] != learning[1]


def test_a_record_of_an_earlier_version_is_the_same_study(study: StudySpec) -> None:
    here = searching(study, sampler="random").identity()
    there = {**here, "search.prune": True, "search.window": 7, "search.startup_trials": 2}
    assert differences(there, here) == []


def test_differences_are_listed_by_keys_that_can_be_typed(study: StudySpec) -> None:
    here = searching(study).identity()
    changed = {
        "data": "other",
        "objective": "cv_mae_blended",
        "fixed.objective": "cv_mae_blended",
        "fixed.members": "ridge,svr",
        "fixed.calibrate": "false",
        "fixed.xgboost__eta": "0.3",
        "fixed.folds_k": "7",
        "code.mine": "123",
        "search.window": 9,
        "space.ridge__alpha": "float [0.1, 9]",
        "space.rate": "float [0.1, 0.3]",
    }
    lines = differences({**here, **changed}, here)
    keys = [line.strip().split(": ")[0] for line in lines]
    assert keys == [
        "dataset",
        "dataset.folds.k",
        "ensemble.calibrate",
        "ensemble.members",
        "ensemble.params.xgboost.eta",
        "entry.dependencies, the code in mine",
        "search.objective",
        "search.shared.rate",
        "search.space.ridge.alpha",
        "search.window",
    ]
    assert "  dataset: other rows, columns, target or split" in lines
    assert f"  ensemble.members: [ridge,svr] there, [{here['fixed.members']}] here" in lines


def test_the_mode_decides_where_points_are_given(study: StudySpec) -> None:
    changed = {"mode": "sagemaker", "cold": True}
    training, search = dataclasses.replace(study, points=({},)).identity(), searching(study).identity()
    assert differences({**training, **changed}, training) == [
        f"  mode: sagemaker there, {training['mode']} here",
        "  mode.warm_pool: false there, true here",
    ]
    assert differences({**search, **changed}, search) == []  # a search continues in another mode


def test_a_search_and_a_training_differ_in_their_action(study: StudySpec) -> None:
    search, training = searching(study), dataclasses.replace(study, points=({},))
    assert differences(search.identity(), training.identity()) == ["  action: tune there, train here"]


@pytest.mark.parametrize(
    ("name", "key"), [("fixed.class_weight", "ensemble.class_weight"), ("search.seed", "search.seed")]
)
def test_a_part_has_the_key_that_sets_it(name: str, key: str) -> None:
    assert typed_key(name) == key
