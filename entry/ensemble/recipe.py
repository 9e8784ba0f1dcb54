"""Recipes: what to train, as plain data (members and their parameters, folds, blender, final models)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ensemble.decision import HALF, ClassWeight, Threshold
from ensemble.parameters import ParamValue

BLENDED = "blended"

FoldKind = Literal["kfold", "repeated", "group", "time"]
Final = Literal["bag", "refit"]
# The rows that the models of a bundle are fitted on. Scores are always those of models fitted on the training rows.
FinalRows = Literal["train", "train_and_validation", "all"]


@dataclass(frozen=True)
class MemberSpec:
    """One member of the ensemble.

    Attributes:
        name: Its name in metrics, files and hyperparameters; unique in the ensemble.
        kind: Name in the registry, a scikit-learn class name, or ``module:Class``.
        params: The parameters that are set; the member's defaults apply to the rest.
    """

    name: str
    kind: str
    params: Mapping[str, ParamValue] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldSpec:
    """How rows are divided for cross-validation.

    Attributes:
        kind: The scheme. ``kfold`` and ``repeated`` divide at random, ``group`` keeps the rows of a group together, and
            ``time`` scores each fold with models that were fitted on earlier rows.
        k: Number of folds in one division.
        repeats: Number of divisions for ``repeated``; 1 for the others.
    """

    kind: FoldKind = "kfold"
    k: int = 5
    repeats: int = 1


@dataclass(frozen=True)
class Recipe:
    """The full definition of one trial, apart from the data.

    Attributes:
        members: At least one member, names unique.
        blend: Name of the blender, or ``module:Class`` for the user's own.
        weights: Fixed weights by member name, for ``blend="fixed"`` only.
        final: What the bundle holds for each member: models whose predictions are averaged (``bag``), or one model that
            is fitted on all rows (``refit``). The models of ``bag`` are those of the folds, or, if they are fitted on
            further rows, models of several seeds.
        folds: The cross-validation scheme.
        seed: Seed of the folds and of every member.
        objective: The metric that is optimised.
        class_weight: The weights of classes, which multiply those of rows.
        calibrate: Whether the blended probabilities of classes get a temperature.
        threshold: The threshold of two classes, or what it is chosen for.
    """

    members: tuple[MemberSpec, ...]
    blend: str = "mean"
    weights: Mapping[str, float] | None = None
    final: Final = "bag"
    folds: FoldSpec = FoldSpec()
    seed: int = 0
    objective: str = "cv_rmse_blended"
    class_weight: ClassWeight = None
    calibrate: bool = True
    threshold: Threshold = HALF

    def fingerprint(self) -> str:
        """Return a SHA-256 over all fields: equal for two trials that must give equal numbers on equal data."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready data, in which what only classes need is left out at its default."""
        defaults = {"class_weight": None, "calibrate": True, "threshold": HALF}
        return {name: value for name, value in asdict(self).items() if name not in defaults or value != defaults[name]}
