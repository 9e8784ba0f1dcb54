"""Rows that a winner has not learnt from, with each column's part of their predictions, for figures."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.arrays import Floats
from ensemble.bundle import Bundle
from ensemble.serving.errors import RequestError
from ensemble.serving.predictor import Predictor
from ensemble.table import Column, Table
from experiments.errors import storage_errors
from experiments.system.files import replacing

# Rows that are explained, if there is time, and columns that are kept: those with the largest parts.
MOST_ROWS, MOST_COLUMNS = 200, 12
SECONDS = 1.5
# The most rows that are explained at once; the first part is one row, so that a slow model is noticed.
_AT_ONCE = 32


@dataclass(frozen=True)
class ExplainedRows:
    """Explained rows.

    Attributes:
        columns: The columns with the largest parts, the largest on average first.
        values: Their values, as the model codes them, shape (rows, columns), NaN where missing.
        parts: Their parts, in the target's unit or in probability, shape (rows, columns).
        positive: The class whose probability is explained, of two; empty otherwise.
    """

    columns: tuple[Column, ...]
    values: Floats
    parts: Floats
    positive: str = ""

    @property
    def sizes(self) -> Floats:
        """The mean absolute part of each column."""
        return np.asarray(np.abs(self.parts).mean(axis=0))

    def write(self, path: Path) -> None:
        """Write what ``read`` reads back.

        Raises:
            StorageError: It cannot be written.
        """
        columns = json.dumps([column.as_dict() for column in self.columns])
        arrays = {"values": self.values, "parts": self.parts, "columns": columns, "positive": self.positive}
        with storage_errors(path), replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{name: np.asarray(found) for name, found in arrays.items()})

    @classmethod
    def read(cls, path: Path) -> ExplainedRows | None:
        """Read what ``write`` wrote; None if it is not there, as in a study of an earlier version, or is damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                columns = tuple(map(Column.from_dict, json.loads(str(arrays["columns"]))))
                found = cls(columns, arrays["values"], arrays["parts"], str(arrays["positive"]))
        except Exception:  # NumPy raises many types of exception for a broken file
            return None
        shape = found.values.shape
        return found if found.parts.shape == shape and len(shape) == 2 and shape[1] == len(columns) else None


def explain_rows(bundle: Bundle, table: Table, seconds: float = SECONDS) -> ExplainedRows | None:
    """Return rows of a table with the parts of their predictions; None if the model cannot be explained.

    Args:
        bundle: The model.
        table: Rows that it has not learnt from.
        seconds: How long that may take: fewer rows are explained if it takes longer.
    """
    predictor, began = Predictor(bundle), time.perf_counter()
    try:
        predictor.explainer.check()
    except RequestError:
        return None
    places = np.unique(np.linspace(0, table.rows - 1, min(MOST_ROWS, table.rows)).astype(np.intp))
    # In any order of the rows, those that are explained are spread over the whole table.
    places = np.random.default_rng(0).permutation(places)
    features, parts, done = np.asarray(table.features[places]), [], 0
    while done < len(places) and (not done or time.perf_counter() - began < seconds):
        step = min(max(done, 1), _AT_ONCE)
        parts.append(predictor.predict(features[done : done + step]).explanation.parts)
        done += step
    found, features = np.concatenate(parts), features[:done]
    order = np.argsort(-np.abs(found).mean(axis=0), kind="stable")[:MOST_COLUMNS]
    columns = tuple(bundle.columns[place] for place in order)
    return ExplainedRows(columns, features[:, order], found[:, order], bundle.positive or "")
