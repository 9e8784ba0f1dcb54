"""Fits of members that an earlier training of the study has made, kept as predictions and found by their cause."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.members import Member
from ensemble.parameters import encode
from ensemble.recipe import MemberSpec, Recipe


@dataclass(frozen=True)
class KnownFit:
    """What the scores of a training need of a fitted member.

    Attributes:
        out_of_fold: Its out-of-fold predictions, shape (repeats, rows[, classes]), NaN in rows that no fold scores.
        validation: Its predictions for the validation rows, shape (rows[, classes]); None without such rows.
        rounds: Its number of boosting rounds, if that was found.
        models: Its models, if a bundle has them.
        files: The files of the bundle that hold them, in their order.
        seconds: The seconds that its fits took.
        saving: The seconds that it took to save its models.
    """

    out_of_fold: Floats
    validation: Floats | None
    rounds: int | None = None
    models: tuple[Member, ...] = ()
    files: tuple[Path, ...] = ()
    seconds: float = 0.0
    saving: float = 0.0


@dataclass(frozen=True)
class Known:
    """What a training is told besides its recipe.

    Attributes:
        fits: Fits of members that need not be made again, by name. The ensemble has no other models of these members.
        rounds: Numbers of boosting rounds that were found before, by member.
        seconds: The time that the folds may take; None for no limit. Members whose folds would take longer are left
            out, and boosters grow fewer rounds.
        may_leave: Whether members are left out for that, or boosters grow fewer rounds only.
        final_seconds: The time that the job may take until its bundle is written; None for no limit. Members that could
            not be fitted on further rows in this time are served by the models of their folds.
        clock: Returns the time in seconds, from an arbitrary start.
    """

    fits: Mapping[str, KnownFit] = field(default_factory=dict)
    rounds: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    may_leave: bool = True
    final_seconds: float | None = None
    clock: Callable[[], float] = time.perf_counter


NOTHING = Known()


class KnownFits:
    """A folder of fits. Several processes may use it at a time.

    A fit is found by everything that decides its predictions, so that a training gives the same numbers with it as
    without it.
    """

    def __init__(self, folder: Path, recipe: Recipe, rest: Mapping[str, Any]) -> None:
        """Use ``folder``, which is created when a fit is kept.

        Args:
            folder: The folder.
            recipe: What is trained.
            rest: What else decides a fit, as JSON-ready data: hashes of the rows, and versions.
        """
        self._folder = folder
        self._recipe = recipe
        self._rest = rest

    def find(self, rows: int, validation_rows: int | None, classes: int = 0) -> dict[str, KnownFit]:
        """Return the known fits of the recipe's members, by name.

        Args:
            rows: Number of training rows.
            validation_rows: Number of validation rows; None without such rows.
            classes: Number of classes, 0 for a quantity.
        """
        found = {member.name: self._read(self._path(member)) for member in self._recipe.members}
        outputs = (classes,) if classes else ()
        unseen = None if validation_rows is None else (validation_rows, *outputs)
        shapes = ((self._recipe.folds.repeats, rows, *outputs), unseen)
        return {name: fit for name, fit in found.items() if fit is not None and _shapes(fit) == shapes}

    def keep(self, fits: Mapping[str, KnownFit]) -> None:
        """Keep the fits of members, by name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for member in self._recipe.members:
            path, fit = self._path(member), fits[member.name]
            if path.exists():
                continue
            partial = self._folder / f".{uuid.uuid4().hex}.partial"
            found = {"out_of_fold": fit.out_of_fold, "validation": fit.validation, "rounds": fit.rounds}
            arrays = {name: np.asarray(value) for name, value in found.items() if value is not None}
            with partial.open("xb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            partial.replace(path)

    def _path(self, member: MemberSpec) -> Path:
        recipe = self._recipe
        cause = {
            "kind": member.kind,
            "params": {name: encode(value) for name, value in member.params.items()},
            "seed": recipe.seed,
            "folds": vars(recipe.folds),
            "final": recipe.final,
            "objective": recipe.objective,
            **self._rest,
        }
        if recipe.class_weight is not None:
            cause["class_weight"] = recipe.class_weight
        return self._folder / f"{hashlib.sha256(json.dumps(cause, sort_keys=True).encode()).hexdigest()}.npz"

    @staticmethod
    def _read(path: Path) -> KnownFit | None:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                rounds = int(arrays["rounds"]) if "rounds" in arrays else None
                return KnownFit(arrays["out_of_fold"], arrays.get("validation"), rounds)
        except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile):  # missing or damaged
            return None


def _shapes(fit: KnownFit) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    return fit.out_of_fold.shape, None if fit.validation is None else fit.validation.shape
