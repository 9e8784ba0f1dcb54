"""Whether every member can be fitted on every fold, with each value that the search may choose for its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from ensemble.evaluation import SCORES, Fold, MetricName, main_score, make_folds
from ensemble.members import Member, member_class
from ensemble.parameters import ParamValue
from ensemble.recipe import MemberSpec, Recipe
from ensemble.table import Table
from ensemble.training import weighted_training_rows
from ensemble.wire import wire_name
from experiments.data.datasets import Splits
from experiments.errors import ConfigError
from experiments.planning.class_rows import check_class_sizes, check_classes_in_fits
from experiments.planning.search import SearchPlan
from experiments.study.search_space import Choices, Range

# Sums of larger weights overflow in float32, in which libraries read them.
_LARGEST_WEIGHT = 1e30
_LEAST_SPREAD = 1e-150
SERVED = "the rows for the served model"


def check_fittable(
    recipe: Recipe, search: SearchPlan, splits: Splits, served: Table | None, weights: str | None
) -> list[str]:
    """Check what a library would refuse in a fold, and return a note on each fold with a constant target.

    Args:
        recipe: What is trained.
        search: What is searched, or the points that are run.
        splits: The rows.
        served: The rows that the served models are fitted on, if there are more; their features are not used.
        weights: The column of the rows' weights, for messages.

    Raises:
        InputError: The rows cannot be divided into these folds, a fold is not fitted on every class, a member cannot be
            fitted on the rows of a fold, the weights are too large or too small, or the objective has no value.
    """
    train = splits.train
    if 0 < np.ptp(train.target) < _LEAST_SPREAD:
        raise ConfigError(
            f"dataset.target={train.target_name}: its values differ by {np.ptp(train.target):g} at most, so that every "
            "squared error is 0 in float64. Multiply the column by a constant."
        )
    weighed, keys = weighted_training_rows(recipe, train), _keys_of_weights(recipe, weights)
    _check_largest_weight(weighed, keys)
    check_class_sizes(weighed)
    folds = make_folds(recipe.folds, train.rows, recipe.seed, train.fold_keys, train.class_of_row)
    rows = {f"fold {number}": fold.fit for number, fold in enumerate(folds)}
    if recipe.final == "refit":
        rows["the training rows"] = np.arange(train.rows)
    _check_weights(folds, weighed, keys)
    check_classes_in_fits(weighed, rows)
    _check_objective(recipe.objective, train.take(np.concatenate([fold.score for fold in folds])), splits.validation)
    parts = {where: (train.target[index], _varies(train, index)) for where, index in rows.items()}
    if served is not None:
        parts[SERVED] = served.target, True
    # Members of the user's own that predict quantities need not know of classes.
    classes = {"classes": len(train.classes)} if train.classes else {}
    for spec in recipe.members:
        member = member_class(spec.kind, "ensemble.members")
        for params in _possible(spec, member, search):
            refusals = {
                where: refusal
                for where, (target, varies) in parts.items()
                if (refusal := member.refusal(params, target, varies=varies, **classes)) is not None
            }
            if refusals:
                raise _refused(spec, params, member, refusals, len(parts))
    return [
        f"the target is {target[0]:g} in every row that {where} is fitted on: its models learn nothing else."
        for where, (target, _) in parts.items()
        if np.ptp(target) == 0
    ]


def _keys_of_weights(recipe: Recipe, weights: str | None) -> str:
    """Return the keys that give rows their weights, for messages."""
    keys = [] if weights is None else [f"dataset.weights={weights}"]
    return " times ".join([*keys, "ensemble.class_weight"] if recipe.class_weight is not None else keys)


def _check_largest_weight(train: Table, keys: str) -> None:
    if train.weights is not None and not float(train.weights.max()) <= _LARGEST_WEIGHT:
        raise ConfigError(
            f"{keys}: the largest weight is {train.weights.max():g}, and sums of such weights overflow. Only their "
            "ratios count: divide all of them by a constant."
        )


def _check_weights(folds: list[Fold], train: Table, keys: str) -> None:
    """Raise ConfigError if a fold has no weight in float32, which is how libraries read weights."""
    if train.weights is None:
        return
    read = train.weights.astype(np.float32)
    for number, fold in enumerate(folds):
        if not (read[fold.fit].any() and read[fold.score].any()):
            raise ConfigError(
                f"{keys} is 0 in every row of fold {number}, fitted or scored: give more rows a "
                "weight, or lower dataset.folds.k."
            )


def _check_objective(objective: str, scored: Table, validation: Table | None) -> None:
    """Raise ConfigError if the objective has no value on the rows that folds score, or on those for validation."""
    metric = MetricName.parse(objective)
    is_cv = metric.split == "cv"
    rows = scored if is_cv or validation is None else validation
    predicted = np.zeros((rows.rows, len(rows.classes)) if rows.classes else rows.rows)
    if math.isfinite(SCORES[metric.score](rows.target, predicted, rows.weights)):
        return
    same = f"class {rows.classes[int(rows.target[0])]!r}" if rows.classes else f"target {rows.target[0]:g}"
    which, keys = (
        ("rows that folds score", "dataset.folds.kind")
        if is_cv
        else ("validation rows", "dataset.split.validation, dataset.split.seed")
    )
    raise ConfigError(
        f"search.objective={objective} has no value: all {rows.rows} {which} have the {same}. Use another score, such "
        f"as {metric.split}_{main_score(rows.task)}_{metric.who}, or other rows ({keys})."
    )


def _varies(train: Table, index: np.ndarray[tuple[int], np.dtype[np.intp]]) -> bool:
    """Return whether any feature has two values in these rows, as float32.

    A missing value is one of them. Numbers that are all missing count as different, as CatBoost takes them.
    """
    for place, column in enumerate(train.features.T):
        values = column[index].astype(np.float32)
        if place in train.categories:
            values = np.nan_to_num(values, nan=-1.0)
        if np.isnan(values).any() or values.min() != values.max():
            return True
    return False


def _possible(spec: MemberSpec, member: type[Member], search: SearchPlan) -> Iterator[dict[str, ParamValue]]:
    """Yield the fixed parameters with every combination of values of those that decide what can be fitted."""
    shared = {name: owner for owner, names in search.targets.items() for name in names}
    keys = {name: shared.get(wired := wire_name(spec.name, name), wired) for name in member.deciding}
    for point in search.points or ():
        yield {**spec.params, **{name: point[key] for name, key in keys.items() if key in point}}
    if search.points is None:
        ranges = {name: search.space.ranges[key] for name, key in keys.items() if key in search.space.ranges}
        for values in product(*map(_ends, ranges.values())):
            yield {**spec.params, **dict(zip(ranges, values, strict=True))}


def _ends(range_: Range) -> tuple[ParamValue, ...]:
    return range_.values if isinstance(range_, Choices) else (range_.low, range_.high)


def _refused(
    spec: MemberSpec, params: Mapping[str, ParamValue], member: type[Member], refusals: Mapping[str, str], parts: int
) -> ConfigError:
    where, refusal = next(iter(refusals.items()))
    given = [f"{spec.name}.{name}={params[name]}" for name in member.deciding if params.get(name) is not None]
    settings = f" with {', '.join(given)}" if given else ""
    if set(refusals) == {SERVED}:
        return ConfigError(
            f"member {spec.name} cannot be fitted on {where}{settings}: {refusal} there. Use "
            "ensemble.final_rows=train or other parameters, or leave it out of ensemble.members."
        )
    if len(refusals) == parts:
        return ConfigError(
            f"member {spec.name} cannot be fitted{settings}: {refusal}. Give it other parameters, or leave it out of "
            "ensemble.members."
        )
    return ConfigError(
        f"member {spec.name} cannot be fitted on {where}{settings}: {refusal} there. Choose other folds "
        "(dataset.folds.k, dataset.folds.kind) or other parameters, or leave it out of ensemble.members."
    )
