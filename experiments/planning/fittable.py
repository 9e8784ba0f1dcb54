"""Whether every member can be fitted on every fold, with each value that the search may choose for its loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from ensemble.evaluation import Fold, make_folds
from ensemble.members import Member, member_class
from ensemble.parameters import ParamValue
from ensemble.recipe import MemberSpec, Recipe
from ensemble.table import Table
from ensemble.wire import wire_name
from experiments.errors import ConfigError
from experiments.planning.class_rows import check_class_sizes, check_classes_in_fits
from experiments.planning.search import SearchPlan
from experiments.study.search_space import Choices, Range

# Sums of larger weights overflow in float32, in which libraries read them.
_LARGEST_WEIGHT = 1e30
_LEAST_SPREAD = 1e-150
SERVED = "the rows for the served model"


def check_fittable(
    recipe: Recipe, search: SearchPlan, train: Table, served: Table | None, weights: str | None
) -> list[str]:
    """Check what a library would refuse in a fold, and return a note on each fold with a constant target.

    Args:
        recipe: What is trained.
        search: What is searched, or the points that are run.
        train: The training rows.
        served: The rows that the served models are fitted on, if there are more; their features are not used.
        weights: The column of the rows' weights, for messages.

    Raises:
        InputError: The rows cannot be divided into these folds, a fold is not fitted on every class, a member cannot be
            fitted on the rows of a fold, or the weights are too large or too small.
    """
    if 0 < np.ptp(train.target) < _LEAST_SPREAD:
        raise ConfigError(
            f"dataset.target={train.target_name}: its values differ by {np.ptp(train.target):g} at most, so that every "
            "squared error is 0 in float64. Multiply the column by a constant."
        )
    check_class_sizes(train)
    folds = make_folds(recipe.folds, train.rows, recipe.seed, train.fold_keys, train.class_of_row)
    rows = {f"fold {number}": fold.fit for number, fold in enumerate(folds)}
    if recipe.final == "refit":
        rows["the training rows"] = np.arange(train.rows)
    _check_weights(folds, train, weights)
    check_classes_in_fits(train, rows)
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


def _check_weights(folds: list[Fold], train: Table, weights: str | None) -> None:
    """Raise ConfigError if a fold has no weight in float32, which is how libraries read weights."""
    if train.weights is None:
        return
    if float(train.weights.max()) > _LARGEST_WEIGHT:
        raise ConfigError(
            f"dataset.weights={weights}: the largest weight is {train.weights.max():g}, and sums of such "
            "weights overflow. Only their ratios count: divide the column by a constant."
        )
    read = train.weights.astype(np.float32)
    for number, fold in enumerate(folds):
        if not (read[fold.fit].any() and read[fold.score].any()):
            raise ConfigError(
                f"dataset.weights={weights} is 0 in every row of fold {number}, fitted or scored: give more rows a "
                "weight, or lower dataset.folds.k."
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
