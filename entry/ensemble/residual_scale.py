"""How large errors are expected to be for a row: a small forest, fitted to absolute residuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats

TREES, DEPTH = 10, 6
# A leaf has this share of the rows, so that its mean is known to some 15%, and at least this number of rows.
LEAF_SHARE, LEAF_ROWS = 0.02, 10
# More rows, or values, change the forest little, and take long.
MOST_ROWS, MOST_VALUES, FEWEST_ROWS = 5_000, 2_000_000, 500
# No row is expected to have a smaller part of the mean absolute residual as its error.
FLOOR = 0.1
# Larger inputs count as this.
_MOST = 1e30


@dataclass(frozen=True)
class ResidualScale:
    """A forest that predicts the absolute residual of a row from its features and its blended prediction.

    It is kept as plain arrays, one entry for each node of all trees, and asked without scikit-learn: that takes a
    tenth of the time for one row.

    Attributes:
        roots: The first node of each tree.
        places: The input that a node compares; the last one is the blended prediction.
        thresholds: Rows up to it go to the left.
        left: The node for these; a leaf names itself.
        right: The node for others.
        missing_left: Whether rows without a value go to the left.
        values: The mean absolute residual at a node, in the target's unit.
        floor: The smallest scale.
    """

    roots: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]
    thresholds: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    missing_left: npt.NDArray[np.bool_]
    values: Floats
    floor: float

    def predict(self, features: Floats, blended: Floats) -> Floats:
        """Return the expected absolute residuals, shape (rows,), above 0; the arguments are those of ``fit_scale``."""
        inputs = _inputs(features, blended)
        rows = np.arange(len(inputs))[:, None]
        nodes = np.repeat(self.roots[None, :], len(inputs), axis=0)
        for _ in range(DEPTH):
            found = inputs[rows, self.places[nodes]]
            goes_left = np.where(np.isnan(found), self.missing_left[nodes], found <= self.thresholds[nodes])
            nodes = np.where(goes_left, self.left[nodes], self.right[nodes])
        total = np.zeros(len(inputs))
        for column in self.values[nodes].T:
            total += column
        return np.asarray(np.maximum(total / len(self.roots), self.floor))

    def as_arrays(self) -> dict[str, Any]:
        """Return the attributes as arrays by name, which ``from_arrays`` reads back."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], columns: int) -> ResidualScale:
        """Read what ``as_arrays`` returned.

        Raises:
            ValueError: They are not a forest over the columns and the prediction.
        """
        found = {field.name: arrays[field.name] for field in fields(cls)}
        floor = float(found.pop("floor"))
        nodes = len(found["values"])
        links = np.concatenate([found["roots"], found["left"], found["right"]])
        in_range = links.min() >= 0 and links.max() < nodes and found["places"].min() >= 0
        equal = {len(array) for name, array in found.items() if name != "roots"} == {nodes}
        if not (in_range and equal and found["places"].max() <= columns and floor > 0):
            raise ValueError("its trees do not fit the columns")
        return cls(**found, floor=floor)


def fit_scale(
    features: Floats, blended: Floats, residuals: Floats, weights: Floats | None, seed: int
) -> ResidualScale | None:
    """Return a forest that is fitted to residuals, None if all of them are 0.

    Args:
        features: Shape (rows, columns), float64, NaN where missing.
        blended: The predictions whose residuals these are, shape (rows,).
        residuals: Absolute residuals, shape (rows,), in the target's unit.
        weights: Row weights, shape (rows,); None if all rows count equally.
        seed: Seed of the trees.
    """
    from sklearn.ensemble import RandomForestRegressor

    mean = float(np.average(residuals, weights=weights))
    if not mean > 0:
        return None
    most = min(MOST_ROWS, max(MOST_VALUES // features.shape[1], FEWEST_ROWS))
    if len(residuals) > most:
        chosen = np.sort(np.random.RandomState(seed).permutation(len(residuals))[:most])
        features, blended, residuals = features[chosen], blended[chosen], residuals[chosen]
        weights = None if weights is None else weights[chosen]
    # All features in each split: with half of them the widths were closer to equal, too narrow where errors are large.
    least = max(LEAF_ROWS, int(LEAF_SHARE * len(residuals)))
    forest = RandomForestRegressor(TREES, max_depth=DEPTH, min_samples_leaf=least, random_state=seed)
    forest.fit(_inputs(features, blended), residuals / mean, sample_weight=weights)
    trees = [estimator.tree_ for estimator in forest.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    parts: dict[str, list[Any]] = {name: [] for name in ("left", "right", "places", "thresholds", "missing", "values")}
    for start, tree in zip(starts[:-1], trees, strict=True):
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        parts["left"].append(start + np.where(leaf, own, tree.children_left))
        parts["right"].append(start + np.where(leaf, own, tree.children_right))
        parts["places"].append(np.where(leaf, 0, tree.feature))
        parts["thresholds"].append(np.where(leaf, 0.0, tree.threshold))
        parts["missing"].append(tree.missing_go_to_left.astype(bool))
        parts["values"].append(tree.value[:, 0, 0] * mean)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return ResidualScale(
        starts[:-1].astype(np.int32),
        joined["places"].astype(np.int32),
        joined["thresholds"],
        joined["left"].astype(np.int32),
        joined["right"].astype(np.int32),
        joined["missing"],
        joined["values"],
        FLOOR * mean,
    )


def _inputs(features: Floats, blended: Floats) -> npt.NDArray[np.float32]:
    # scikit-learn's trees compare in float32, whose range is smaller, and add up columns.
    return np.clip(np.column_stack([features, blended]), -_MOST, _MOST).astype(np.float32)
