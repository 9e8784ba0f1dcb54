"""What a model predicts for some rows, and its columns as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ensemble.arrays import Floats
from ensemble.decision import HALF, Decision
from ensemble.disagreement import Disagreement
from ensemble.recipe import BLENDED
from ensemble.serving.media_types import Detail

# The column of what is predicted, in tables.
PREDICTION = "prediction"


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
        apart: The members' disagreement; None if the model does not know what it was out of fold.
        usually_apart: Its mean out of fold.
    """

    blended: Floats
    members: Floats
    names: Sequence[str]
    unseen: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    apart: Disagreement | None = None
    usually_apart: float = 0.0

    @property
    def disagreement(self) -> float | None:
        """The mean disagreement of the members over the rows, as a multiple of that out of fold; None if unknown."""
        if self.apart is None or not len(self.blended):
            return None
        return round(float(self.apart.of_rows(self.members).mean()) / self.usually_apart, 3)

    def take(self, rows: slice) -> Prediction:
        """Return the predictions for some of the rows, without the counts of ``unseen`` and ``absent``."""
        return replace(self, blended=self.blended[rows], members=self.members[rows], unseen={}, absent={})

    @cached_property
    def positions(self) -> Any:
        """The predicted class of each row, as its position in ``classes``, shape (rows,), int64."""
        positive = None if self.positive is None else self.classes.index(self.positive)
        return Decision(positive, HALF if self.threshold is None else self.threshold).labels(self.blended)

    def labels(self) -> list[str]:
        """Return the label of the predicted class of each row."""
        return [self.classes[place] for place in self.positions.tolist()]

    def table(self, detail: Detail) -> dict[str, Any]:
        """Return the columns of the predictions by name, in order.

        Numbers have the column ``prediction``, or one for each member and ``blended``. Classes have ``prediction``, the
        label, then one column ``probability_<label>`` for each class, then one ``<member>__probability_<label>`` for
        each member and class.

        Args:
            detail: What to predict.

        Returns:
            Arrays of shape (rows,), float64, and a list of text for labels.
        """
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


def probability_of(label: str) -> str:
    """Return the name of the column with the probabilities of a class."""
    return f"probability_{label}"
