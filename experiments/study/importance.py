"""The importance of each feature for a winner, in parts whose cost is bounded, since it grows with columns squared."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ensemble.bundle import load_bundle
from ensemble.channel import read_channel
from ensemble.evaluation import SCORES, main_score
from ensemble.table import Table, weighted_by_class
from ensemble.threads import one_blas_thread
from ensemble.training import FittedEnsemble

MOST_ROWS = 1000
# With fewer rows, one shuffle says little.
FEWEST_ROWS = 50
# Cells that are predicted: in all, in one part, and in one call of the ensemble.
MOST_CELLS, PART_CELLS, CALL_CELLS = 400_000_000, 40_000_000, 4_000_000


def rows_measured(rows: int, columns: int) -> int:
    """Return on how many of a table's rows the importance is found."""
    return min(rows, MOST_ROWS, max(FEWEST_ROWS, MOST_CELLS // columns**2))


def features_measured(rows: int, columns: int) -> int:
    """Return the number of features whose importance is found: all, or 0 if there are too many."""
    return columns if rows_measured(rows, columns) * columns**2 <= 2 * MOST_CELLS else 0


def rows_in_time(ensemble: FittedEnsemble, table: Table, seconds: float) -> int:
    """Return on how many of a table's rows the importance is found within some seconds; 0 if they are too few."""
    columns = len(table.columns)
    rows = rows_measured(table.rows, columns)
    features = table.features[:rows]
    began = time.perf_counter()
    ensemble.predict(features)
    possible = int(rows * seconds / max((time.perf_counter() - began) * (columns + 1), 1e-9))
    return min(rows, possible) if possible >= min(rows, FEWEST_ROWS) else 0


def permutation_importance(
    ensemble: FittedEnsemble, table: Table, first: int = 0, most_rows: int = MOST_ROWS
) -> dict[str, float]:
    """Return, by feature, the rise of the blend's main score on a table when the feature's values are shuffled.

    Source: L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001, section 10. One shuffle for each feature.

    Args:
        ensemble: The winner.
        table: The rows.
        first: Position of the first feature; the result has as many from there as make ``PART_CELLS``.
        most_rows: The most rows that are used.
    """
    rows, columns = min(rows_measured(table.rows, len(table.columns)), most_rows), len(table.columns)
    random = np.random.RandomState(0)
    table = weighted_by_class(table, ensemble.class_weights).take(np.sort(random.permutation(table.rows)[:rows]))
    last = min(columns, first + max(1, PART_CELLS // (rows * columns)))
    orders = [random.permutation(rows) for _ in range(last)]
    at_once = max(1, CALL_CELLS // (rows * columns))
    score = SCORES[main_score(table.task)]
    before = score(table.target, ensemble.predict(table.features), table.weights)
    importance: dict[str, float] = {}
    for start in range(first, last, at_once):
        places = range(start, min(start + at_once, last))
        # One call for many shuffled copies: with few rows, a call costs more than the rows, the more so with threads.
        shuffled = np.tile(table.features, (len(places), 1)).reshape(len(places), rows, columns)
        for copy, place in zip(shuffled, places, strict=True):
            copy[:, place] = copy[orders[place], place]
        predicted = np.split(ensemble.predict(shuffled.reshape(-1, columns)), len(places))
        for place, found in zip(places, predicted, strict=True):
            importance[table.columns[place].name] = score(table.target, found, table.weights) - before
    return importance


def next_part(bundle: str, rows: str, threads: int, first: int, most_rows: int) -> dict[str, float]:
    """Return one part of the importance, in a worker.

    Args:
        bundle: Folder of the saved ensemble.
        rows: Folder of the channel on which it is found.
        threads: Threads that a member may use.
        first: Position of the first feature.
        most_rows: The most rows that are used.
    """
    ensemble = load_bundle(Path(bundle), threads).ensemble
    with one_blas_thread():
        return permutation_importance(ensemble, read_channel(Path(rows)), first, most_rows)
