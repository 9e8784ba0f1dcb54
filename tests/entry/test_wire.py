"""The wire format: hyperparameters and metric lines, there and back (``wire``, ``recipe``, ``errors``)."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ensemble.blending import REGISTRY as BLENDERS
from ensemble.errors import InputError
from ensemble.evaluation import SCORES
from ensemble.members import REGISTRY
from ensemble.reading import Roles
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.wire import (
    RESERVED_NAMES,
    check_member_name,
    decode_recipe,
    decode_roles,
    encode_recipe,
    encode_roles,
    metric_line,
    metric_regex,
)
from tests.entry.conftest import OWN_MEMBER, values

EDGES = [52.37, 3.2e-05, 1e6, 0.0, -0.0, -7.25, 1e-320, 5e-324, 1e300, -1e-300, sys.float_info.max, 1e16, 123456789.0]
NAMES = st.from_regex(r"[a-z](_?[a-z0-9]){0,8}", fullmatch=True).filter(
    lambda name: name not in ("blended", *RESERVED_NAMES) and "_fold" not in name
)


def read(name: str, text: str) -> float | None:
    found = re.search(metric_regex(name), text)
    return None if found is None else float(found.group(1))


def check_line(value: float) -> None:
    found = read("cv_rmse_a", f"2026-01-01 12:00:00 algo-1 | {metric_line('cv_rmse_a', value)}\n")
    assert repr(found) == repr(value)


@pytest.mark.parametrize("value", EDGES)
def test_a_regex_reads_back_an_edge_exactly(value: float) -> None:
    check_line(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_regex_reads_back_every_finite_number_exactly(value: float) -> None:
    check_line(value)


@pytest.mark.parametrize("other", ["cv_rmse_ab", "val_cv_rmse_a", "cv_rmse_a_fold_0", "cv_rmse"])
def test_a_regex_does_not_match_other_metrics(other: str) -> None:
    assert read("cv_rmse_a", metric_line(other, 1.5)) is None


def test_a_regex_finds_its_line_among_all() -> None:
    names = ["cv_rmse_a", "cv_rmse_ab", "cv_rmse_a_fold_0", "validation_rmse_a"]
    log = "\n".join(metric_line(name, number + 0.5) for number, name in enumerate(names))
    assert [read(name, log) for name in names] == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_never_printed(value: float) -> None:
    with pytest.raises(ValueError, match="cv_rmse_a is"):
        metric_line("cv_rmse_a", value)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    members = []
    for name in names:
        kind = draw(st.sampled_from(sorted(REGISTRY)))
        params = REGISTRY[kind].parameters
        chosen = draw(st.lists(st.sampled_from(sorted(params)), max_size=3, unique=True))
        members.append(MemberSpec(name, kind, {param: draw(values(params[param])) for param in chosen}))
    blend = draw(st.sampled_from(sorted(BLENDERS)))
    weights = {name: draw(st.floats(0.1, 10)) for name in names} if blend == "fixed" else None
    splits, scores = st.sampled_from(["cv", "validation"]), st.sampled_from(sorted(SCORES))
    labels = st.dictionaries(st.text(min_size=1), st.floats(0, 1e6, exclude_min=True), min_size=1, max_size=3)
    costs = st.tuples(st.tuples(st.just(0.0), st.floats(0.1, 9)), st.tuples(st.floats(0.1, 9), st.just(0.0)))
    return Recipe(
        members=tuple(members),
        blend=blend,
        weights=weights,
        final=draw(st.sampled_from(["bag", "refit"])),
        folds=FoldSpec(k=draw(st.integers(2, 1000))),
        seed=draw(st.integers(0, 2**31 - 1)),
        objective=f"{draw(splits)}_{draw(scores)}_{draw(st.sampled_from([*names, 'blended']))}",
        class_weight=draw(st.none() | st.just("balanced") | labels),
        calibrate=draw(st.booleans()),
        threshold=draw(st.floats(0.01, 0.99) | st.sampled_from(["accuracy", "f1"]) | costs),
    )


@given(recipes())
@example(Recipe((MemberSpec("deep", "xgboost", {"eta": 0.1}), MemberSpec("xgboost", "xgboost"))))
def test_a_recipe_is_read_back_as_it_was_written(recipe: Recipe) -> None:
    text = encode_recipe(recipe)
    assert all(isinstance(value, str) for value in text.values())
    found = decode_recipe(text)
    assert found == recipe
    assert found.fingerprint() == recipe.fingerprint()


@given(recipes())
def test_a_recipe_with_one_hyperparameter_a_member_is_read_back_too(recipe: Recipe) -> None:
    members = tuple(replace(member, name=f"{member.name}_{place}") for place, member in enumerate(recipe.members))
    recipe = replace(recipe, members=members, blend="mean", weights=None, objective="cv_rmse_blended")
    text = encode_recipe(recipe, packed=True)
    assert all(isinstance(value, str) for value in text.values())
    assert decode_recipe(text).fingerprint() == recipe.fingerprint()
    assert len(text) == len(encode_recipe(replace(recipe, members=()))) + len(members)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("seed", "of a hyperparameter"),
        ("target", "of a hyperparameter"),
        ("task", "of a hyperparameter"),
        ("rival", "of a hyperparameter"),
        ("sagemaker_job", "of a hyperparameter"),
        ("ridge_fold_0", "of a metric of folds"),
        ("ridge_fold", "of a metric of folds"),
    ],
)
def test_a_name_that_has_another_meaning_cannot_name_a_member(name: str, what: str) -> None:
    """With one hyperparameter a member, a member ``seed`` would be read as the seed."""
    for check in (lambda: check_member_name(name, "here"), lambda: decode_recipe({"members": f"{name}:ridge"})):
        with pytest.raises(InputError, match=f"cannot name a member, because it is the name {what}: choose another"):
            check()
    assert check_member_name("targets", "here") == "targets"


@pytest.mark.parametrize(
    "roles",
    [
        Roles("price"),
        Roles("the price, in €", "w", "who", "group", ("id", 'a "b"', "c,d")),
        Roles("price", fold_key="when", fold_kind="time"),
        Roles("risk", task="multiclass"),
        Roles("risk", task="binary", positive='über 5 %, "bad"'),
    ],
)
def test_what_columns_are_for_is_read_back(roles: Roles) -> None:
    kind = {"folds_kind": roles.fold_kind}
    assert decode_roles({**encode_roles(roles), **kind, "seed": "1"}) == roles


def test_the_roles_of_a_quantity_do_not_mention_classes() -> None:
    assert encode_roles(Roles("price")) == {"target": "price"}


def test_a_task_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match=r"hyperparameter 'task': 'classes' is not one of auto, binary, multiclass"):
        decode_roles({"target": "price", "task": "classes"})


@pytest.mark.parametrize("text", ["id", '"id"', "[1]", "{}", ""])
def test_columns_to_drop_that_are_not_a_list_are_named(text: str) -> None:
    with pytest.raises(InputError, match="hyperparameter 'drop' must be a JSON list"):
        decode_roles({"target": "price", "drop": text})


def test_a_shared_name_sets_each_parameter_that_it_lists() -> None:
    recipe = Recipe((MemberSpec("deep", "xgboost"), MemberSpec("catboost", "catboost", {"depth": 4})))
    text = encode_recipe(recipe, {"eta": ["deep__eta", "catboost__learning_rate"]}) | {"eta": "0.25"}
    assert [member.params for member in decode_recipe(text).members] == [
        {"eta": 0.25},
        {"depth": 4, "learning_rate": 0.25},
    ]


def test_a_shared_name_is_read_by_each_declaration() -> None:
    shared = {"rounds": ["xgboost__num_round", "catboost__l2_leaf_reg"]}
    found = decode_recipe({"shared": json.dumps(shared), "rounds": "7"})
    assert repr([dict(member.params) for member in found.members]) == "[{'num_round': 7}, {'l2_leaf_reg': 7.0}]"


def test_a_shared_recipe_equals_the_same_one_spelled_out() -> None:
    shared = decode_recipe({"shared": '{"eta": ["xgboost__eta"]}', "eta": "0.5", "seed": "3"})
    assert shared.fingerprint() == decode_recipe({"xgboost__eta": "0.5", "seed": "3"}).fingerprint()


def test_integer_weights_make_the_recipe_of_equal_numbers() -> None:
    whole, real = (
        {"blend": "fixed", "weights": text} for text in ('{"xgboost":1,"catboost":3}', '{"xgboost":1.0,"catboost":3.0}')
    )
    assert decode_recipe(whole).fingerprint() == decode_recipe(real).fingerprint()


def test_weights_of_classes_in_another_order_are_the_same_hyperparameters() -> None:
    one, other = (
        encode_recipe(Recipe((MemberSpec("xgboost", "xgboost"),), class_weight=weights))
        for weights in ({"yes": 5.0, "no": 1.0}, {"no": 1.0, "yes": 5.0})
    )
    assert one == other
    assert one["class_weight"] == '{"no":1.0,"yes":5.0}'


def test_names_that_sagemaker_adds_are_ignored() -> None:
    added = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://b", "_tuning_objective_metric": "x"}
    assert decode_recipe({"seed": "4", **added}) == decode_recipe({"seed": "4"})


def test_defaults_are_the_pair_with_equal_weights() -> None:
    recipe = decode_recipe({})
    assert recipe == Recipe((MemberSpec("xgboost", "xgboost"), MemberSpec("catboost", "catboost")))


def test_the_users_own_class_keeps_its_name_on_the_wire(own_module: Callable[[str], str]) -> None:
    kind = own_module(OWN_MEMBER) + ":Constant"
    recipe = Recipe((MemberSpec("base", kind, {"shift": 1.0}), MemberSpec("ridge", "ridge")))
    text = encode_recipe(recipe)
    assert text["members"] == f"base:{kind},ridge"
    assert decode_recipe(text) == recipe


def test_a_subclass_is_not_taken_for_its_base(own_module: Callable[[str], str]) -> None:
    source = "from ensemble.members.boosting import XGBoost\nclass Mine(XGBoost):\n    pass\n"
    kind = own_module(source) + ":Mine"
    assert decode_recipe({"members": f"mine:{kind}"}).members[0].kind == kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"xgboost__max_depth": "4"}, "4"),
        ({"xgboost__eta": "1"}, "1.0"),
        ({"xgboost__eta": "1e-3"}, "0.001"),
        ({"xgboost__objective": "reg:squarederror"}, "'reg:squarederror'"),
        ({"catboost__loss_function": "Huber:delta=1.10"}, "'Huber:delta=1.10'"),
        ({"members": "random_forest", "random_forest__max_depth": "none"}, "None"),
        ({"members": "ridge", "ridge__fit_intercept": "False"}, "False"),
    ],
)
def test_a_value_is_cast_by_its_declaration(text: dict[str, str], expected: str) -> None:
    (value,) = (value for member in decode_recipe(text).members for value in member.params.values())
    assert repr(value) == expected


FIXED = {"blend": "fixed"}
SHARED = {"shared": '{"eta": ["xgboost__eta"]}'}

WRONG = {
    "member": ({"members": "xgbost"}, ["'members'", "'xgbost'", "Did you mean 'xgboost'?"]),
    "no member": ({"members": ""}, ["'members'", "''"]),
    "member twice": ({"members": "ridge,ridge"}, ["'members'", "'ridge'", "twice", "name:kind"]),
    "member with two underscores": ({"members": "a__b:ridge"}, ["'members'", "'a__b'", "single underscores"]),
    "member with a capital": ({"members": "Deep:ridge"}, ["'members'", "'Deep'", "lower-case"]),
    "member called blended": ({"members": "blended:ridge"}, ["'members'", "'blended'"]),
    "own module": ({"members": "own:nowhere:Own"}, ["'members'", "'nowhere:Own'", "entry.dependencies"]),
    "own class": ({"members": "own:json:Own"}, ["'members'", "'json:Own'", "cannot be imported"]),
    "parameter": ({"xgboost__max_dept": "3"}, ["xgboost__max_dept", "Did you mean 'max_depth'?"]),
    "parameter without a name": ({"xgboost__": "3"}, ["xgboost__", "max_depth"]),
    "parameter of nobody here": ({"ridge__alpha": "1"}, ["'ridge__alpha'", "xgboost__...", "catboost__..."]),
    "name": ({"sed": "1"}, ["'sed'", "Did you mean 'seed'?"]),
    "name near a shared one": ({**SHARED, "etaa": "1"}, ["'etaa'", "Did you mean 'eta'?"]),
    "type": ({"xgboost__max_depth": "3.5"}, ["'xgboost__max_depth'", "'3.5'", "an integer of at least 0"]),
    "domain": ({"xgboost__eta": "1.5"}, ["'xgboost__eta'", "'1.5'", "from 0 to 1"]),
    "not finite": ({"xgboost__eta": "nan"}, ["'xgboost__eta'", "'nan'"]),
    "huge": ({"xgboost__max_depth": "9" * 400}, ["'xgboost__max_depth'"]),
    "choice": ({"xgboost__grow_policy": "depth"}, ["'xgboost__grow_policy'", "'depth'", "depthwise, lossguide"]),
    "shared value": ({**SHARED, "eta": "2"}, ["'eta'", "'2'", "from 0 to 1"]),
    "blend": ({"blend": "weigthed"}, ["blend", "'weigthed'", "Did you mean 'weighted'?"]),
    "fixed without weights": (FIXED, ["blend=fixed", "catboost, xgboost", "none"]),
    "weights for some": ({**FIXED, "weights": '{"xgboost": 1}'}, ["one weight for each", "catboost, xgboost"]),
    "weights without fixed": ({"weights": '{"xgboost": 1}'}, ["'mean'", "blend=fixed"]),
    "weights in no JSON": ({**FIXED, "weights": "xgboost=1"}, ["'weights'", "not JSON", "'xgboost=1'"]),
    "weights in a list": ({**FIXED, "weights": "[1, 2]"}, ["'weights'", "not a JSON object", "'[1, 2]'"]),
    "weight that is text": ({**FIXED, "weights": '{"xgboost": "a", "catboost": 1}'}, ["'weights'", "'a'", "'xgboost'"]),
    "weight that is null": ({**FIXED, "weights": '{"xgboost": null, "catboost": 1}'}, ["'weights'", "'xgboost'"]),
    "negative weight": ({**FIXED, "weights": '{"xgboost": -1, "catboost": 2}'}, ["blend=fixed", "-1.0"]),
    "weights of zero": ({**FIXED, "weights": '{"xgboost": 0, "catboost": 0}'}, ["blend=fixed", "not all zero"]),
    "weight that is NaN": ({**FIXED, "weights": '{"xgboost": NaN, "catboost": 1}'}, ["blend=fixed", "nan"]),
    "final": ({"final": "refitt"}, ["'final'", "'refitt'", "Did you mean 'refit'?"]),
    "fold scheme": ({"folds_kind": "kfolds"}, ["'folds_kind'", "'kfolds'", "Did you mean 'kfold'?"]),
    "one fold": ({"folds_k": "1"}, ["'folds_k'", "'1'", "from 2"]),
    "folds in text": ({"folds_k": "five"}, ["'folds_k'", "'five'"]),
    "negative seed": ({"seed": "-1"}, ["'seed'", "'-1'", "from 0"]),
    "long seed": ({"seed": str(2**31)}, ["'seed'", str(2**31)]),
    "objective": ({"objective": "cv_rmse_xgbost"}, ["objective", "'cv_rmse_xgbost'", "'cv_rmse_xgboost'"]),
    "objective of a fold": ({"objective": "cv_rmse_xgboost_fold_0"}, ["objective", "'cv_rmse_xgboost_fold_0'"]),
    "shared in no JSON": ({"shared": "eta"}, ["'shared'", "not JSON"]),
    "shared with a string": ({"shared": '{"eta": "xgboost__eta"}'}, ["'shared'", "'eta'", "list"]),
    "shared with nobody": ({"shared": '{"eta": ["deep__eta"]}'}, ["'deep__eta'", "xgboost__..."]),
    "shared under a taken name": ({"shared": '{"seed": ["xgboost__eta"]}'}, ["'shared'", "'seed'"]),
    "shared under a name of the data's": ({"shared": '{"drop": ["xgboost__eta"]}'}, ["'shared'", "'drop'"]),
    "packed in no JSON": ({"xgboost": "eta=0.1"}, ["'xgboost'", "not JSON"]),
    "packed with a number": ({"xgboost": '{"eta": 0.1}'}, ["'xgboost'", "'eta'", "text", "0.1"]),
    "packed with an unknown name": ({"xgboost": '{"etta": "0.1"}'}, ["'etta'", "Did you mean 'eta'?"]),
    "packed outside the domain": ({"xgboost": '{"eta": "2"}'}, ["'xgboost'", "'2'", "from 0 to 1"]),
    "packed and set": ({"xgboost": '{"eta": "0.1"}', "xgboost__eta": "0.1"}, ["'xgboost__eta'", "twice"]),
    "set twice": ({**SHARED, "eta": "0.1", "xgboost__eta": "0.1"}, ["'xgboost__eta'", "twice"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_hyperparameter_is_named_with_the_fix(case: str) -> None:
    hyperparameters, words = WRONG[case]
    with pytest.raises(InputError) as error:
        decode_recipe(hyperparameters)
    assert [word for word in words if word not in str(error.value)] == []


def test_weights_too_large_to_add_are_refused() -> None:
    with pytest.raises(InputError, match="needs weights"):
        decode_recipe({**FIXED, "weights": '{"xgboost": 1e308, "catboost": 1e308}'})
