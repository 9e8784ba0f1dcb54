"""Whether every class has rows in every fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble.classes import all_numbers
from ensemble.evaluation import Index
from ensemble.table import Table
from ensemble.targets import cut, named_labels
from experiments.errors import ConfigError

# With one row, a class is missing where that row is scored.
LEAST = 2


def check_class_sizes(train: Table) -> None:
    """Raise ConfigError if a class has too few training rows to be in every fit."""
    if not train.classes:
        return
    rows = _weighed(train)
    counts = np.bincount(train.target[rows].astype(np.intp), minlength=len(train.classes))
    few = [place for place, count in enumerate(counts) if count < LEAST]
    if not few:
        return
    named = named_labels([f"{cut(train.classes[place])!r} ({counts[place]})" for place in few])
    weighed = " with a weight above 0" if train.weights is not None else ""
    have = "has" if len(few) == 1 else "have"
    number = " If it is a quantity: dataset.task=regression." if all_numbers(train.classes) else ""
    raise ConfigError(
        f"dataset.target={train.target_name}: {len(few)} of {len(train.classes)} classes {have} fewer than {LEAST} of "
        f"the {len(rows)} training rows{weighed}, {named}, but each fold is fitted on every class. Combine classes, "
        f"remove their rows, give more of them, or lower dataset.split.test and dataset.split.validation.{number}"
    )


def check_classes_in_fits(train: Table, fits: Mapping[str, Index]) -> None:
    """Raise ConfigError if a fit on training rows lacks a class.

    Args:
        train: The training rows.
        fits: The rows of each fit, by what to call it.
    """
    rows = _weighed(train)
    for where, index in fits.items():
        found = np.unique(train.target[np.intersect1d(index, rows)])
        missing = [repr(cut(label)) for place, label in enumerate(train.classes) if place not in found]
        if missing:
            raise ConfigError(
                f"dataset.target={train.target_name}: no row of the class {named_labels(missing)} is among those that "
                f"{where} is fitted on. Choose other folds (dataset.folds.kind, dataset.folds.k, "
                "dataset.folds.column), combine classes, or remove their rows."
            )


def _weighed(table: Table) -> Index:
    """Return the rows that count, by weights as libraries read them."""
    return np.arange(table.rows) if table.weights is None else np.flatnonzero(table.weights.astype(np.float32))
