"""Keywords of a call as arguments: the same configuration as a command with the same words."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest

from experiments.config.compose import compose
from experiments.config.keywords import arguments_of
from experiments.config.sources import COMMAND_LINE
from experiments.errors import ConfigError


def values(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return what keywords set, as the configuration has it."""
    composed = compose(arguments_of(keywords))
    return {key: value for key, value in composed.values.items() if composed.sources[key] == COMMAND_LINE}


def test_nested_dictionaries_are_dotted_keys() -> None:
    found = arguments_of({"ensemble": "wide", "search": {"n_trials": 40, "prune": True}, "search.timeout": None})
    assert found == ["ensemble=wide", "search.n_trials=40", "search.prune=true", "search.timeout=null"]


@pytest.mark.parametrize(
    ("keywords", "typed"),
    [
        ({"search": {"n_trials": np.int64(3), "max_failure_rate": np.float32(0.5)}}, ["search.n_trials=3", "search.max_failure_rate=0.5"]),
        ({"ensemble": {"params": {"xgboost": {"eta": 1e-05}}}}, ["ensemble.params.xgboost.eta=1e-05"]),
        ({"ensemble": {"members": ["ridge", {"deep": {"kind": "xgboost"}}]}}, ["ensemble.members=[ridge,{deep:{kind:xgboost}}]"]),
        ({"ensemble": {"members": {"deep": {"kind": "pack:Class"}}}}, ["ensemble.members={deep:{kind:pack:Class}}"]),
        (
            {"search": {"space": {"xgboost": {"max_depth": {"low": 2, "high": 9, "log": True}, "booster": {"choices": ["gbtree", "dart"]}}}}},
            ["search.space.xgboost.max_depth={low:2,high:9,log:true}", "search.space.xgboost.booster={choices:[gbtree,dart]}"],
        ),
        ({"search": {"shared": {"rate": ["xgboost.eta", "catboost.learning_rate"]}}}, ["search.shared.rate=[xgboost.eta,catboost.learning_rate]"]),
        ({"search": {"learn_from": [Path("studies/a"), "b"]}}, ["search.learn_from=[studies/a,b]"]),
        ({"dataset": {"path": Path("a b,c.csv"), "drop": ["a,b", "null"]}}, ["dataset.path=a b,c.csv", 'dataset.drop=["a,b",null]']),
        ({"dataset": {"columns": {"a.b": "category", "c d": "number"}}}, ['dataset.columns."a.b"=category', 'dataset.columns."c d"=number']),
        ({"dataset": {"missing": []}, "study": "null"}, ["dataset.missing=[]", 'study="null"']),
        ({"ensemble": {"class_weight": {"no": 1, "a b": 2.5}}}, ["ensemble.class_weight={no:1,a b:2.5}"]),
        ({"mode": "remote", "mode.tags": {"team": "risk", "n": 1}}, ["mode=remote", "mode.tags={team: risk, n: 1}"]),
        ({"ensemble.params.mlp.activation": "true"}, ["ensemble.params.mlp.activation='true'"]),
        ({"ensemble.params.mlp.activation": 'say "hi" \\ '}, ["ensemble.params.mlp.activation='say \"hi\" \\ '"]),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_keywords_mean_what_a_command_means(keywords: dict[str, Any], typed: list[str]) -> None:
    composed = compose(typed)
    assert compose(arguments_of(keywords)).config == composed.config


@pytest.mark.parametrize(
    "text", ["1", "1e5", "null", "true", "nan", "[a]", "{a: b}", "${x}", "a\\b", "o'k", ' "x" ', ""]
)
@pytest.mark.parametrize("key", ["ensemble.params.mlp.activation", "dataset.target"])
def test_text_stays_text(key: str, text: str) -> None:
    if (key, text) == ("ensemble.params.mlp.activation", "${x}"):
        pytest.skip("a variable of the configuration, as in a command")
    assert values({key: text}) == {key: text}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"search": {"n_trials": 1}, "search.n_trials": 2}, "search.n_trials is given twice"),
        ({"serch": {"n_trials": 1}}, "there is no key 'serch.n_trials'"),
        ({"search": {"n_trails": 1}}, "Did you mean 'search.n_trials'?"),
        ({"search": {1: 2}}, "has the key 1, which is not a name"),
        ({"search": {"seed": object()}}, "a object cannot be a value. Give a number, text"),
        ({"dataset": {"path": 1.5j}}, "dataset.path=1.5j: a complex cannot be a value"),
        ({"dataset": {"drop": [True]}}, "dataset.drop=True: a bool cannot be a value. Give text"),
        ({"search": {"n_trials": "many"}}, "search.n_trials: Value 'many' of type 'str' could not be converted"),
    ],
)  # fmt: skip
def test_a_mistake_names_key_and_value(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(arguments_of(keywords))
    assert message in str(raised.value)


def test_a_label_of_a_class_may_be_any_text() -> None:
    labels = ["<=50K", "Größe", "a&b", 'a"b', "it's", "null", "true", "1.5", "1", "x, y: {z}", "${x}", "a\\", "\n", ""]
    weights = {label: place + 0.5 for place, label in enumerate(labels)}
    assert compose(arguments_of({"ensemble": {"class_weight": weights}})).config.ensemble.class_weight == weights
    numbers = arguments_of({"ensemble.class_weight": {0: 1, 1.0: np.float64(3), np.int64(2): np.int64(4)}})
    assert compose(numbers).config.ensemble.class_weight == {"0": 1, "1": 3.0, "2": 4}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"search": {"n-trials": 3}}, "there is no key 'search.n-trials' in the configuration. Did you mean 'search.n_trials'?"),
        ({"n-trials": 3}, "there is no key 'n-trials'"),
        ({"größe": 3}, "there is no key 'größe'"),
        ({"ensemble": {"weights": {"my member": 0.5}}}, "ensemble.weights: 'my member' is not a name."),
        ({"ensemble": {"params": {"my-member": {"a": [1]}}}}, "ensemble.params: '\"my-member\".a' is not a name."),
    ],
)  # fmt: skip
def test_a_key_that_is_not_a_word_is_named(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(arguments_of(keywords))
    assert message in str(raised.value)


def test_threads_compose_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def seed_of(seed: int) -> int:
        return compose([f"search.seed={seed}"]).config.search.seed

    def slow(*arguments: Any, **keywords: Any) -> Any:
        time.sleep(0.1)  # in which another thread would set up Hydra too
        return composed(*arguments, **keywords)

    composed = hydra.compose
    monkeypatch.setattr("hydra.compose", slow)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(seed_of, range(3))) == [0, 1, 2]


def test_hydra_is_left_as_the_users_program_set_it_up(tmp_path: Path) -> None:
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    ConfigStore.instance().store(name="schema", node={"own": 1})
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        assert compose(["search.n_trials=3"]).config.search.n_trials == 3
        assert GlobalHydra.instance().hydra is before
    assert ConfigStore.instance().load("schema.yaml").node == {"own": 1}
    del ConfigStore.instance().repo["schema.yaml"]
