"""Predictions that are kept with a study: those of its members and its blend, with the target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.arrays import Floats


@dataclass(frozen=True)
class Predictions:
    """The target and the predictions of several rows.

    Attributes:
        target: Shape (rows,).
        members: Shape (rows, members).
        blended: Shape (rows,).
        weights: Shape (rows,), or None.
        names: Member names, in the order of the columns.
    """

    target: Floats
    members: Floats
    blended: Floats
    weights: Floats | None
    names: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read what ``write`` or the entry script wrote; rows without a prediction are left out."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            scored = np.isfinite(arrays["blended"])
            target, members, blended = (arrays[name][scored] for name in ("target", "members", "blended"))
            weights = arrays["weights"][scored] if "weights" in arrays else None
            return cls(target, members, blended, weights, tuple(arrays["names"].tolist()))

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
        )
