"""Which classes the winners confuse, on the test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.evaluation import SCORES, Index
from experiments.comparison.charts.plot import Cell, Chart, Grid, columns_of
from experiments.comparison.measures import Measures, winners_on_test_rows
from experiments.study.class_curves import Confusion, confusion

_TITLE = "Which classes are confused, on the test rows"
# With more classes nobody reads the grid, and the page becomes large.
_MOST = 20


def confusion_chart(measures: Sequence[Measures]) -> Chart:
    """Draw how often the winners predict each class for the test rows of each class."""
    found, missing = winners_on_test_rows(measures, of_classes=True)
    if not found:
        return Chart("confusion", _TITLE, "No winner has predictions on the test rows.", missing=missing)
    grids, parts = [], []
    for place, kept in found.items():
        one = measures[place]
        counted = confusion(kept, len(one.study.classes))
        grids.append(_grid(place, one.study.classes, counted, _most_confused(counted.rows)))
        scores = [SCORES[name](kept.target, kept.blended, kept.weights, kept.decided()) for name in ("accuracy", "auc")]
        auc = f" and an AUC of {scores[1]:.4f}" if np.isfinite(scores[1]) else ""
        parts.append(f"{one.label}: an accuracy of {scores[0]:.1%}{auc} on {len(kept.target)} rows")
    widest = max(len(measures[place].study.classes) for place in found)
    columns = min(len(grids), columns_of(min(widest, _MOST)))
    few = f" Only the {_MOST} classes that are confused most are shown." if widest > _MOST else ""
    sentence = f"Rows are the actual classes, columns the predicted ones. {'; '.join(parts)}.{few}"
    return Chart("confusion", _TITLE, sentence, grids=tuple(grids), columns=columns, missing=missing)


def _most_confused(counts: Index) -> list[int]:
    """Return the classes to show, in their order: all, or those that most rows are wrongly taken for or from."""
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return sorted(np.argsort(-wrong, kind="stable")[:_MOST].tolist())


def _grid(place: int, classes: Sequence[str], counted: Confusion, chosen: Sequence[int]) -> Grid:
    shares = counted.shares
    cells = tuple(
        tuple(
            Cell(
                str(counted.rows[row, column]),
                float(shares[row, column]),
                f"{classes[row]} taken for {classes[column]}: {shares[row, column]:.1%} of {classes[row]}",
            )
            for column in chosen
        )
        for row in chosen
    )
    return Grid(place, "actual / predicted", tuple(classes[place] for place in chosen), cells)
