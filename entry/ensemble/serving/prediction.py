"""What a model predicts for some rows, and its columns as a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.decision import HALF, Decision
from ensemble.disagreement import Disagreement
from ensemble.intervals import LEVEL, WITHOUT, Intervals, LevelError
from ensemble.recipe import BLENDED
from ensemble.serving.errors import NOT_ACCEPTABLE, RequestError
from ensemble.serving.explanation import Explainer, Explanation, Limit
from ensemble.serving.media_types import Detail

# The columns of what is predicted, of an interval's ends and of a set of classes, in tables.
PREDICTION, LOWER, UPPER, SET = "prediction", "lower", "upper", "set"
# The columns of an explanation: the base value, the parts and their standard errors, and a class's probability.
BASE, PART, STANDARD_ERROR, PROBABILITY = "base", "explanation", "standard_error", "probability"


@dataclass(frozen=True)
class Prediction:
    """Predictions for some rows.

    Attributes:
        blended: The blend's predictions, float64: numbers in the target's unit, shape (rows,), or probabilities, shape
            (rows, classes).
        members: The members' predictions, float64, shape (rows, members) or (rows, members, classes).
        names: The members' names, in order.
        unseen: By column, in how many rows it has a category that the model does not have.
        absent: By column, how many rows lack it.
        classes: The labels of the classes, in order; empty if a number is predicted.
        positive: The label of the positive class of two; None for numbers and for more classes.
        threshold: The probability from which on the positive class is predicted; None for numbers and more classes.
        features: The rows, shape (rows, columns), float64, NaN where missing; None if only ``blended`` and ``members``
            are asked for.
        intervals: What the model knows of its errors; None if it was saved without.
        level: The share of targets that intervals and sets hold.
        apart: The members' disagreement; None if the model does not know what it was out of fold.
        usually_apart: Its mean out of fold.
        explainer: What explains the predictions; None if that is not asked for.
        limit: The most that is explained at once; None for any number of rows.
    """

    blended: Floats
    members: Floats
    names: Sequence[str]
    unseen: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    features: Floats | None = None
    intervals: Intervals | None = None
    level: float = LEVEL
    apart: Disagreement | None = None
    usually_apart: float = 0.0
    explainer: Explainer | None = None
    limit: Limit | None = None

    @property
    def disagreement(self) -> float | None:
        """The mean disagreement of the members over the rows, as a multiple of that out of fold; None if unknown."""
        if self.apart is None or not len(self.blended):
            return None
        return round(float(self.apart.of_rows(self.members).mean()) / self.usually_apart, 3)

    def take(self, rows: slice) -> Prediction:
        """Return the predictions for some of the rows, without the counts of ``unseen`` and ``absent``."""
        features = None if self.features is None else self.features[rows]
        return replace(
            self, blended=self.blended[rows], members=self.members[rows], features=features, unseen={}, absent={}
        )

    @cached_property
    def positions(self) -> Any:
        """The predicted class of each row, as its position in ``classes``, shape (rows,), int64."""
        positive = None if self.positive is None else self.classes.index(self.positive)
        return Decision(positive, HALF if self.threshold is None else self.threshold).labels(self.blended)

    def labels(self) -> list[str]:
        """Return the label of the predicted class of each row."""
        return [self.classes[place] for place in self.positions.tolist()]

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """The lower and the upper end of the interval of each row, each of shape (rows,), in the target's unit.

        Raises:
            RequestError: The model has no intervals, or none of this level.
        """
        with _level_errors(self.level):
            half = self._intervals.half_widths(np.asarray(self.features), self.blended, self.level, "level")
        return self.blended - half, self.blended + half

    @cached_property
    def in_set(self) -> Any:
        """Which classes are in the set of each row, shape (rows, classes), bool.

        Raises:
            RequestError: As in ``bounds``.
        """
        with _level_errors(self.level):
            return self._intervals.sets(self.blended, self.positions, self.level, "level")

    def sets(self) -> list[list[str]]:
        """Return the labels in the set of each row."""
        return [[self.classes[place] for place in np.flatnonzero(row)] for row in self.in_set]

    @cached_property
    def explanation(self) -> Explanation:
        """Each column's part of the predictions.

        Raises:
            RequestError: The model cannot be explained, or the rows are more than ``limit`` allows.
        """
        labels = self.positions if self.classes else np.zeros(0, dtype=np.intp)
        return self._explainer.explain(np.asarray(self.features), self.members, self.blended, labels, self.limit)

    def explained_labels(self) -> list[str]:
        """Return the label of each row whose probability is explained; empty for numbers."""
        places = self.explanation.classes
        return [] if places is None else [self.classes[place] for place in places.tolist()]

    def by_column(self, values: Floats) -> dict[str, Floats]:
        """Return values of shape (rows, columns) by the columns' names."""
        return {column.name: found for column, found in zip(self._explainer.columns, values.T, strict=True)}

    @property
    def _explainer(self) -> Explainer:
        if self.explainer is None:
            raise ValueError("these predictions have nothing that explains them")
        return self.explainer

    @property
    def _intervals(self) -> Intervals:
        if self.intervals is None:
            raise RequestError(NOT_ACCEPTABLE, "no_intervals", f"detail=interval: {WITHOUT}", got="interval")
        return self.intervals

    def table(self, detail: Detail) -> dict[str, Any]:
        """Return the columns of the predictions by name, in order.

        Numbers have the column ``prediction``, or one for each member and ``blended``. Classes have ``prediction``, the
        label, then one column ``probability_<label>`` for each class, then one ``<member>__probability_<label>`` for
        each member and class. Intervals have ``prediction``, ``lower`` and ``upper``; sets ``prediction`` and ``set``.
        Explanations have ``base``, ``explanation_<column>`` for each column, what these add up to, and if members are
        sampled ``standard_error_<column>``. They add up to ``prediction``, or for classes to ``probability_<label>`` of
        the positive class of two, and ``probability`` of the label of more; the label, ``prediction``, is next to it.

        Args:
            detail: What to predict.

        Returns:
            Arrays of shape (rows,), float64, a list of text for labels, and a list of lists of text for sets.

        Raises:
            RequestError: As in ``bounds``, for ``interval``, and in ``explanation``.
        """
        if detail == "explanation":
            return self._explained()
        if detail == "interval":
            if self.classes:
                return {PREDICTION: self.labels(), SET: self.sets()}
            return dict(zip((PREDICTION, LOWER, UPPER), (self.blended, *self.bounds), strict=True))
        if not self.classes:
            if detail != "members":
                return {PREDICTION: self.blended}
            return {**dict(zip(self.names, self.members.T, strict=True)), BLENDED: self.blended}
        columns: dict[str, Any] = {PREDICTION: self.labels()}
        if detail != "blended":
            columns |= {probability_of(label): self.blended[:, place] for place, label in enumerate(self.classes)}
        if detail == "members":
            columns |= {
                f"{name}__{probability_of(label)}": self.members[:, member, place]
                for member, name in enumerate(self.names)
                for place, label in enumerate(self.classes)
            }
        return columns

    def _explained(self) -> dict[str, Any]:
        found = self.explanation
        columns: dict[str, Any] = {BASE: found.base}
        columns |= {f"{PART}_{name}": values for name, values in self.by_column(found.parts).items()}
        if self.classes:
            columns[PROBABILITY if self.positive is None else probability_of(self.positive)] = found.predicted
        columns[PREDICTION] = self.labels() if self.classes else self.blended
        if found.errors is not None:
            columns |= {f"{STANDARD_ERROR}_{name}": values for name, values in self.by_column(found.errors).items()}
        return columns


@contextlib.contextmanager
def _level_errors(level: float) -> Iterator[None]:
    try:
        yield
    except LevelError as error:
        raise RequestError(NOT_ACCEPTABLE, "unknown_level", str(error), got=f"{level:g}") from None


def probability_of(label: str) -> str:
    """Return the name of the column with the probabilities of a class."""
    return f"{PROBABILITY}_{label}"
