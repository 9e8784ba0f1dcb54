"""Predictions that are kept with a study: those of its members and its blend, with the target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.arrays import Floats
from ensemble.classes import Task, task_of
from ensemble.evaluation import Index, of_true_class


@dataclass(frozen=True)
class Predictions:
    """The target and the predictions of several rows.

    Out-of-fold predictions of several divisions of the rows into folds are one below the other, and not averaged: an
    average would be a better model than the one that is scored.

    Attributes:
        target: Shape (rows,); for classes, the position of the row's class.
        members: Shape (rows, members); for classes probabilities, shape (rows, members, classes).
        blended: Shape (rows,); for classes probabilities, shape (rows, classes).
        weights: Shape (rows,), or None.
        names: Member names, in the order of the columns.
        labels: For classes, the position of the blend's label, shape (rows,).
        divisions: How many divisions of the rows into folds they are of, each with the same number of rows.
    """

    target: Floats
    members: Floats
    blended: Floats
    weights: Floats | None
    names: tuple[str, ...]
    labels: Index | None = None
    divisions: int = 1

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read what ``write`` or the entry script wrote; rows without a prediction are left out."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            several = "blended_by_repeat" in arrays
            scored = np.isfinite(arrays["blended"].reshape(len(arrays["blended"]), -1)).all(axis=1)
            repeats = len(arrays["blended_by_repeat"]) if several else 1

            def stacked(name: str, by_repeat: str) -> Floats:
                found = arrays[by_repeat][:, scored] if several else arrays[name][scored][None]
                return np.concatenate(list(found))

            return cls(
                np.tile(arrays["target"][scored], repeats),
                stacked("members", "by_repeat"),
                stacked("blended", "blended_by_repeat"),
                np.tile(arrays["weights"][scored], repeats) if "weights" in arrays else None,
                tuple(arrays["names"].tolist()),
                stacked("labels", "labels_by_repeat").astype(np.intp) if "labels" in arrays else None,
                repeats,
            )

    def by_division(self) -> list[Predictions]:
        """Return the predictions of each division of the rows."""
        if self.divisions == 1:
            return [self]
        rows = len(self.target) // self.divisions
        return [self._part(slice(start, start + rows)) for start in range(0, len(self.target), rows)]

    def _part(self, rows: slice) -> Predictions:
        weights = None if self.weights is None else self.weights[rows]
        labels = None if self.labels is None else self.labels[rows]
        return Predictions(self.target[rows], self.members[rows], self.blended[rows], weights, self.names, labels)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return task_of(range(self.blended.shape[1] if self.blended.ndim == 2 else 0))

    def decided(self) -> Index:
        """Return the position of the blend's label of each row, shape (rows,), of predictions of classes."""
        return self.blended.argmax(axis=1) if self.labels is None else self.labels

    def errors(self) -> Floats:
        """Return the error of each member, shape (rows, members): for classes, what its probability lacks."""
        if self.members.ndim == 2:
            return self.members - self.target[:, None]
        return 1.0 - of_true_class(self.members, self.target)

    def write(self, path: Path) -> None:
        """Write a ``.npz`` file without pickle."""
        np.savez(
            path,
            allow_pickle=False,
            target=self.target,
            members=self.members,
            blended=self.blended,
            names=np.array(self.names),
            **({} if self.weights is None else {"weights": self.weights}),
            **({} if self.labels is None else {"labels": self.labels}),
        )
