"""Blends that have not seen the rows they predict: one for each fold, fitted on the rows of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Floats
from ensemble.blending import Blender, Rows, fit_blend, make_blender
from ensemble.decision import HALF, Decision, Threshold, fit_threshold
from ensemble.evaluation import Fold, Index
from ensemble.recipe import Recipe
from ensemble.table import Table


def averaged(parts: list[Floats]) -> Floats:
    """Return the mean of arrays of equal shape, summed in order, so that one row gives the same bits as many."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total / len(parts)


def decision_of(table: Table) -> Decision | None:
    """Return how a label follows from probabilities before a threshold is chosen; None for a quantity."""
    if not table.classes:
        return None
    return Decision(None if table.positive is None else table.classes.index(table.positive))


def labels_of(decision: Decision | None, blended: Floats, thresholds: Floats) -> Index | None:
    """Return the positions of the labels of blended probabilities, -1 in rows without any; None for a quantity.

    Args:
        decision: How a label follows from probabilities; None for a quantity.
        blended: Shape (rows[, classes]), NaN in rows without probabilities.
        thresholds: The threshold of two classes for each row, shape (rows,).
    """
    if decision is None:
        return None
    known = np.isfinite(blended[:, 0])
    labels = np.full(len(blended), -1, dtype=np.intp)
    labels[known] = decision.labels(blended[known], thresholds[known])
    return labels


def blender_of(recipe: Recipe, table: Table) -> Blender:
    """Return the blender of a recipe for the target of a table, with calibration for classes."""
    names = [member.name for member in recipe.members]
    return make_blender(recipe.blend, names, recipe.weights, "blend", table.task, calibrate=recipe.calibrate)


def blender_rows(predictions: Floats, table: Table) -> Rows:
    """Return the rows of ``table`` with out-of-fold predictions, shape (rows, members[, classes]), for a blender."""
    numbers = [place for place in range(len(table.columns)) if place not in table.categories]
    return Rows(predictions, table.target, table.features, table.weights, numbers)


@dataclass(frozen=True)
class NestedBlend:
    """Out-of-fold predictions of blends, each fitted on the rows of the other folds.

    Attributes:
        predictions: Shape (repeats, rows[, classes]), NaN in rows that no fold scores.
        thresholds: The threshold of two classes for each row, chosen on the other folds, shape (repeats, rows).
    """

    predictions: Floats
    thresholds: Floats


def nested_blend(
    blender: Blender, predictions: Floats, table: Table, folds: Sequence[Fold], threshold: Threshold = HALF
) -> NestedBlend:
    """Return the blend's out-of-fold predictions.

    The rows of a fold are blended with weights that were fitted on the rows of the other folds.

    Args:
        blender: Finds the weights.
        predictions: The members' out-of-fold predictions, shape (repeats, rows, members[, classes]).
        table: The rows.
        folds: The folds.
        threshold: The threshold of two classes, or what it is chosen for.
    """
    blended = np.full((*predictions.shape[:2], *predictions.shape[3:]), np.nan)
    thresholds = np.full(predictions.shape[:2], threshold if isinstance(threshold, float) else HALF)
    decision = decision_of(table)
    for fold in folds:
        members = predictions[fold.repeat]
        rows = blender_rows(members, table)
        others = fold.fit[np.isfinite(members[fold.fit].reshape(len(fold.fit), -1)[:, 0])]
        if not blender.fitted:
            blend = fit_blend(blender, rows)
        else:
            # Before the first fold in time there are no scored rows.
            blend = fit_blend(blender, rows.take(others)) if len(others) else blender.first(rows)
        blended[fold.repeat, fold.score] = blend.predict(members[fold.score], table.features[fold.score])
        if decision is not None and decision.positive is not None and len(others):
            seen = rows.take(others)
            chosen_on = blend.predict(seen.predictions, seen.features)
            thresholds[fold.repeat, fold.score] = fit_threshold(
                threshold, decision.positive, chosen_on, seen.target, seen.weights
            )
    return NestedBlend(blended, thresholds)


def labels_by_repeat(decision: Decision | None, nested: NestedBlend) -> Index | None:
    """Return the positions of the labels of each division's blends, shape (repeats, rows), as ``labels_of``."""
    pairs = zip(nested.predictions, nested.thresholds, strict=True)
    found = [labels for blended, limits in pairs if (labels := labels_of(decision, blended, limits)) is not None]
    return np.stack(found) if found else None


def with_blend(predictions: Floats, nested: NestedBlend) -> Floats:
    """Return members' predictions, shape (repeats, rows, members[, classes]), with the blend as a last member."""
    return np.concatenate([predictions, nested.predictions[:, :, None]], axis=2)
