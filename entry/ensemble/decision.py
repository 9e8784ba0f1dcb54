"""Decisions: which label follows from probabilities, and how much the rows of a class weigh."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.classes import place_of
from ensemble.errors import InputError, did_you_mean

# What a wrong label costs: by the true class, then by the label, in the order of the classes.
Costs = tuple[tuple[float, float], tuple[float, float]]
# The probability from which a row gets the positive label, or what a training chooses it for.
Threshold = float | Literal["accuracy", "f1"] | Costs
HALF = 0.5
BALANCED = "balanced"
# The weight of the rows of a class: the same for each class in total, or by label; None for equal weights of rows.
ClassWeight = Literal["balanced"] | Mapping[str, float] | None


@dataclass(frozen=True)
class Decision:
    """How a label follows from the probabilities of classes.

    Attributes:
        positive: Position of the positive class of two; None for more classes, of which the most probable one counts.
        threshold: A row gets the positive label if its probability is at least this. At 0.5 it gets the more probable
            one, and the first of two that are equally probable.
    """

    positive: int | None = None
    threshold: float = HALF

    def labels(self, probabilities: Floats, thresholds: Floats | None = None) -> npt.NDArray[np.intp]:
        """Return the position of each row's label among the classes, shape (rows,).

        Args:
            probabilities: Shape (rows, classes).
            thresholds: A threshold for each row, shape (rows,); None for that of all rows.
        """
        found: npt.NDArray[np.intp] = np.argmax(probabilities, axis=1)
        if self.positive is None:
            return found
        limits = np.full(len(found), self.threshold) if thresholds is None else thresholds
        decided = np.where(probabilities[:, self.positive] >= limits, self.positive, 1 - self.positive)
        return np.where(limits == HALF, found, decided)


def read_threshold(value: object, place: str) -> Threshold:
    """Return the threshold that a configuration or a hyperparameter gives.

    Args:
        value: A number, a name, or rows of costs; or one of them as text.
        place: The key or parameter that holds it, for messages.

    Raises:
        InputError: It is not one of them.
    """
    found = _from_text(value)
    if found in ("accuracy", "f1"):
        return found  # type: ignore[no-any-return]
    if _is_number(found) and 0 < found < 1:
        return float(found)
    rows = found if isinstance(found, list | tuple) else []
    if len(rows) == 2 and all(isinstance(row, list | tuple) and len(row) == 2 for row in rows):
        costs = [cost for row in rows for cost in row]
        if all(_is_number(cost) and cost >= 0 for cost in costs) and (costs[1] > costs[0] and costs[2] > costs[3]):
            return (float(costs[0]), float(costs[1])), (float(costs[2]), float(costs[3]))
        raise InputError(
            f"{place}={_shown(value)}: costs are numbers of at least 0, and a wrong label costs more than the right "
            "one. Write [[0, cost of a wrong second label], [cost of a wrong first label, 0]], with the classes in "
            "sorted order."
        )
    near = did_you_mean(found, ("accuracy", "f1")) if isinstance(found, str) else ""
    raise InputError(
        f"{place}={_shown(value)} is not a threshold.{near} Give a number between 0 and 1, accuracy, f1, or costs by "
        "true class and label, such as [[0, 1], [5, 0]]."
    )


def read_class_weight(value: object, place: str) -> ClassWeight:
    """Return the weights of classes that a configuration or a hyperparameter gives.

    Args:
        value: None, ``balanced``, or a weight for each label; or the last two as text.
        place: The key or parameter that holds it, for messages.

    Raises:
        InputError: It is not one of them.
    """
    found = _from_text(value)
    if found is None or found == BALANCED:
        return found  # type: ignore[no-any-return]
    if isinstance(found, Mapping) and all(_is_number(weight) and weight > 0 for weight in found.values()):
        return {_label(label): float(weight) for label, weight in found.items()}
    near = did_you_mean(found, (BALANCED,)) if isinstance(found, str) else ""
    raise InputError(
        f"{place}={_shown(value)} is not a weight of classes.{near} Give {BALANCED}, or a number above 0 for each "
        'label, such as {"no": 1, "yes": 5}.'
    )


def class_weights(rule: ClassWeight, classes: Sequence[str], target: Floats, place: str = "class_weight") -> Floats:
    """Return the weight of the rows of each class, shape (classes,).

    Balanced weights are rows / (classes * rows of the class), so that their mean over the rows is 1 and each class that
    has rows weighs the same.

    Args:
        rule: What is asked for.
        classes: The labels.
        target: The class positions of the rows, shape (rows,).
        place: The key or parameter that holds ``rule``, for messages.

    Raises:
        InputError: A label is unknown or has no weight.
    """
    found: Floats = np.ones(len(classes))
    if rule is None:
        return found
    if isinstance(rule, str):
        counts = np.bincount(np.asarray(target).astype(np.intp), minlength=len(classes))
        found[counts > 0] = len(target) / (np.count_nonzero(counts) * counts[counts > 0])
        return found
    places = {label: place_of(label, classes) for label in rule}
    wrong = [label for label, place in places.items() if place is None]
    if wrong:
        # How YAML's booleans are written, which no, yes, on and off are too.
        quotes = " Put the label in quotes in YAML." if wrong[0] in ("False", "True") else ""
        raise InputError(
            f"{place}: {wrong[0]!r} is not a class.{did_you_mean(wrong[0], classes)} Classes: {', '.join(classes)}."
            f"{quotes}"
        )
    missing = [label for at, label in enumerate(classes) if at not in places.values()]
    if missing:
        raise InputError(f"{place}: class {missing[0]!r} has no weight: give one for each of {', '.join(classes)}.")
    if len(rule) > len(classes):
        raise InputError(f"{place} has {len(rule)} weights for {len(classes)} classes: give one for each.")
    for label, at in places.items():
        found[at] = rule[label]
    return found


def fit_threshold(
    rule: Threshold, positive: int, probabilities: Floats, target: Floats, weights: Floats | None = None
) -> float:
    """Return the threshold for which a rule asks, from rows that the probabilities have not seen.

    Of equally good thresholds it is the one nearest to 0.5. It lies midway between two probabilities of these rows.

    Args:
        rule: What it is chosen for, or the threshold itself.
        positive: Position of the positive class.
        probabilities: Shape (rows, 2).
        target: Class positions, shape (rows,).
        weights: Row weights, shape (rows,); None if all rows count equally.
    """
    if isinstance(rule, float):
        return rule
    values, place = np.unique(probabilities[:, positive], return_inverse=True)
    own = np.asarray(target) == positive
    share = np.ones(len(own)) if weights is None else weights
    # Entry i: the weight of the rows below the i-th value, which get the negative label if the threshold is there.
    missed, rejected = (np.concatenate([[0.0], np.cumsum(np.bincount(place, share * rows))]) for rows in (own, ~own))
    outcomes = _Outcomes(missed[-1] - missed, missed, rejected[-1] - rejected, rejected)
    quality = _quality(rule, positive, outcomes)
    below, above = np.concatenate([[0.0], values]), np.concatenate([values, [1.0]])
    middle = (below + above) / 2
    limits = np.where((below < HALF) & (above > HALF), HALF, np.where(middle > below, middle, above))
    usable = (limits > 0) & (limits < 1)
    if not usable.any():
        return HALF
    best = usable & (quality >= quality[usable].max() - 1e-12 * (1 + abs(float(quality[usable].max()))))
    return float(min(limits[best], key=lambda limit: abs(limit - HALF)))


class _Outcomes(NamedTuple):
    """The weights of rows by truth and label, each for every threshold.

    Rows of the positive class that get its label are ``found``, the others ``missed``. Rows of the other class that get
    the positive label are ``accepted``, the others ``rejected``.
    """

    found: Floats
    missed: Floats
    accepted: Floats
    rejected: Floats


def _quality(rule: Literal["accuracy", "f1"] | Costs, positive: int, rows: _Outcomes) -> Floats:
    """Return what ``rule`` maximises, for every threshold."""
    if rule == "accuracy":
        return rows.found + rows.rejected
    if rule == "f1":
        return _f1(rows.found, rows.missed, rows.accepted) + _f1(rows.rejected, rows.accepted, rows.missed)
    own, rest = np.array(rule[positive]), np.array(rule[1 - positive])
    cost = own[positive] * rows.found + own[1 - positive] * rows.missed
    return np.asarray(-(cost + rest[positive] * rows.accepted + rest[1 - positive] * rows.rejected))


def _f1(right: Floats, missed: Floats, wrong: Floats) -> Floats:
    total = 2 * right + missed + wrong
    return np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)


def _label(key: object) -> str:
    """Return a key of YAML or Python as the label that it stands for; numbers are in their shortest form."""
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _from_text(value: object) -> Any:
    if not isinstance(value, str):
        return value
    for read in (json.loads, float):
        try:
            return read(value)
        except (ValueError, RecursionError):
            continue
    return value


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
