"""Arguments: how they are parsed, checked and printed. ``tests/experiments/actions/test_bad_input.py`` has every mistake."""

from __future__ import annotations

import pytest

from experiments.config.arguments import checked, key_of, parsed, typed_command
from experiments.errors import ConfigError


def test_a_command_is_quoted_for_a_shell() -> None:
    command = typed_command(["search.space.x.eta={low: 1, high: 2}", "mlflow.uri=http://a:b@c"])
    assert command == "python run.py 'search.space.x.eta={low: 1, high: 2}' 'mlflow.uri=http://***@c'"


@pytest.mark.parametrize(
    ("argument", "key"), [("study=mine", "study"), ("+a.b=c=d", "a.b"), ("~search.space.x", "search.space.x")]
)
def test_the_key_precedes_the_first_equals_sign(argument: str, key: str) -> None:
    assert key_of(argument) == key


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("a=3", 3),
        ("a=[b,c]", ["b", "c"]),
        ("a=null", None),
        ("a=über/straße (1).csv", "über/straße (1).csv"),
        (r"a=C:\rows (1).csv", r"C:\rows (1).csv"),
        (r'a=x"y\"z(\\', r'x"y\"z(\\'),
    ],
)
def test_a_value_is_hydras_or_else_text(argument: str, value: object) -> None:
    assert parsed(argument).value() == value


def test_values_below_open_keys_replace_the_files_values() -> None:
    found = checked(
        ["search.space.xgboost.eta={low: 0.1, high: 0.2}", "search.seed=3", "study=mine", "~search.space.catboost"]
    )
    assert found.for_hydra == ["search.seed=3", "~search.space.catboost"]
    assert found.replaced == {"search.space.xgboost.eta": {"low": 0.1, "high": 0.2}}
    assert found.texts == {"study": "mine"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("studdy=mine", "there is no key 'studdy' in the configuration. Did you mean 'study'?"),
        ("--cgf", "'--cgf' is not key=value. Did you mean '--cfg'?"),
        ("serving.name=realtime", "serving.name=realtime: serving.name is set by the group. Use serving=realtime."),
    ],
)
def test_a_mistake_is_named_with_its_fix(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked([argument])
    assert str(refused.value) == message
