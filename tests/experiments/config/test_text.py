"""Text is kept as it is typed, for every key of the schema that takes text."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ensemble.arguments import as_argument
from experiments.config.compose import compose
from experiments.config.groups import CHOSEN_BY_GROUP, CONFIG_FOLDER
from experiments.config.schema import mode_of
from experiments.config.text import read_list, read_mapping, read_text, text_keys
from experiments.errors import ConfigError

KEYS = {key: kind for key, kind in text_keys().items() if key not in CHOSEN_BY_GROUP}
# The columns of a file that somebody had, and what else a parser takes for something other than text.
TYPED = [
    *("2020_01", "1e3", "007", "NA", "true", "a=b", "x,y", "sale price", "it's", "Größe (m²)", "${x}", "x: y", "-1"),
    *("1_000", "[m2]", "{a}", "NaN", "inf", "choice(a,b)", "range(1,3)", r"C:\rows", r"\${x}", "a'b\"c", "~", "0x1F"),
    *("2024-01-01", "1:30", "yes", "off", ".5", "+1", "#1", "%", "", " a ", "${oc.env:HOME}", "[", "}", "\\"),
]


def value_of(config: Any, key: str) -> Any:
    return reduce(lambda node, part: node[part], key.split("."), asdict(config))


def composed(key: str, *arguments: str) -> Any:
    mode = mode_of(key) if key.startswith("mode.") else "local"
    return value_of(compose([f"mode={mode}", *arguments]).config, key)


def test_the_keys_are_those_of_the_schema() -> None:
    kinds = ("dataset.target", "dataset.drop", "mode.tags", "study", "compare.studies", "mode.image.uri")
    assert [KEYS[key] for key in kinds] == ["text", "list", "mapping", "text", "list", "text"]
    assert not {"search.seed", "mode.cpus", "ensemble.members", "search.space", "dataset.split.seed"} & set(KEYS)


@pytest.mark.parametrize("text", TYPED)
def test_a_target_is_the_column_that_was_typed(text: str) -> None:
    assert composed("dataset.target", f"dataset.target={text}") == text


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_text_keeps_what_looks_like_something_else(key: str) -> None:
    if KEYS[key] == "text":
        assert composed(key, f"{key}=1e3") == "1e3"
    elif KEYS[key] == "list":
        assert composed(key, f"{key}=[1e3,007,true,null,x y]") == ["1e3", "007", "true", "null", "x y"]
    else:
        typed = composed(key, f"{key}={{a: 007, 1e3: true}}", f"{key}.b.c=1_0", f'{key}."d=e"=x=y')
        assert typed == {"a": "007", "1e3": "true", "b.c": "1_0", "d=e": "x=y"}


def test_labels_of_classes_are_kept_as_they_are_typed_and_their_weights_are_numbers() -> None:
    def weights(*arguments: str) -> Any:
        return composed("ensemble.class_weight", *arguments)

    typed = '{\'<=50K\': 1, Größe: 2.5, a&b: 1e1, "a\\"b": 3, null: 1, true: 2, 007: 1, ${x}: 1}'
    assert weights(f"ensemble.class_weight={typed}") == {
        "<=50K": 1,
        "Größe": 2.5,
        "a&b": 10.0,
        'a"b': 3,
        "null": 1,
        "true": 2,
        "007": 1,
        "${x}": 1,
    }
    assert weights('ensemble.class_weight."<=50K"=3', "ensemble.class_weight.1.5=1") == {"<=50K": 3, "1.5": 1}
    assert weights("ensemble.class_weight={a: 1, b: 1}", "ensemble.class_weight.b=2") == {"a": 1, "b": 2}
    assert weights("ensemble.class_weight=balanced", "ensemble.class_weight.b=2") == {"b": 2}
    assert weights("ensemble.class_weight=balanced") == "balanced"
    assert weights("ensemble.class_weight=none") == "none"
    assert weights("ensemble.class_weight=null") is None
    with pytest.raises(ConfigError, match=r"ensemble.class_weight=\{a: 1 is not a mapping"):
        weights("ensemble.class_weight={a: 1")


@pytest.mark.parametrize("labels", [["1", "1.5"], ["1.5", "1"], ["true", "a: b"]])
def test_the_printed_configuration_has_labels_as_they_are(labels: list[str]) -> None:
    expected = dict.fromkeys(labels, 2)
    found = compose([f'ensemble.class_weight."{label}"=2' for label in labels])
    for text in (found.yaml(), found.with_sources()):
        assert yaml.safe_load(text)["ensemble"]["class_weight"] == expected


def test_null_is_no_value_unless_it_is_quoted() -> None:
    assert composed("dataset.target", "dataset.target=null") is None
    assert composed("dataset.target", 'dataset.target="null"') == "null"
    assert composed("compare.studies", "compare.studies=null") is None


@given(st.text())
def test_quotes_around_all_of_a_text_are_removed(text: str) -> None:
    (argument,) = shlex.split(as_argument("key", text))
    assert read_text(argument.removeprefix("key=")) == text


@given(st.lists(st.text(min_size=1)))
def test_a_list_that_is_proposed_is_read_back(items: list[str]) -> None:
    (argument,) = shlex.split(as_argument("key", items))
    assert read_list("key", argument.removeprefix("key=")) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[]", []),
        ("[size[m2],f(a,b)]", ["size[m2]", "f(a,b)"]),
        (r'["a, b",it' + r"'s,'c,d',\"]", ["a, b", "it's", "c,d", r"\""]),
        ("[ a , b ]", ["a", "b"]),
    ],
)
def test_a_list_is_split_at_commas_outside_quotes_and_brackets(text: str, items: list[str]) -> None:
    assert read_list("key", text) == items


def test_a_value_of_another_form_is_named_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"dataset.drop=a is not a list. Use 'dataset.drop=\[a\]'"):
        composed("dataset.drop", "dataset.drop=a")
    with pytest.raises(ConfigError, match=r"mode.tags=a is not a mapping. Use 'mode.tags=\{name: value\}'"):
        read_mapping("mode.tags", "a")


def test_a_key_of_another_mode_is_named() -> None:
    with pytest.raises(ConfigError, match=r"mode.bucket is a key of mode=remote. Add mode=remote"):
        compose(["mode=local", "mode.bucket=007"])


@pytest.mark.parametrize(
    ("line", "shown"),
    [("target: 1e3", "1000.0"), ("target: true", "True"), ("drop: [a, 007]", "7")],
)
def test_a_file_must_quote_text_that_yaml_reads_otherwise(
    line: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CONFIG_FOLDER, tmp_path / "configs", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "configs" / "local").mkdir()
    own = tmp_path / "configs" / "local" / "default.yaml"
    own.write_text(f"dataset: {{{line}}}\n")
    monkeypatch.setattr("experiments.config.groups.CONFIG_FOLDER", tmp_path / "configs")
    with pytest.raises(ConfigError, match=rf"configs/local/default.yaml: dataset.* is text, and YAML reads {shown}"):
        compose([])
    own.write_text("dataset: {target: '1e3', drop: [a, '007']}\n")
    assert compose([]).config.dataset.target == "1e3"
