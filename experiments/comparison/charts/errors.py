"""The winners' errors: the correlation of the members' errors, and the blend's predictions on the test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import rmse
from experiments.comparison.charts.plot import (
    INK,
    Cell,
    Chart,
    Grid,
    Plot,
    Spec,
    columns_of,
    digits6,
    enumerated,
    marker,
    plain,
)
from experiments.comparison.measures import Measures, winners_on_test_rows
from experiments.study.predictions import Predictions

_ALIKE, _ACTUAL = "How similar the members' errors are", "Predicted against actual, on the test rows"
_MOST_ROWS = 1000
# The lower end of the scale of shades, unless a value is below it.
_LOWEST = 0.5


def error_correlation(measures: Sequence[Measures]) -> Chart:
    """Draw the correlation of the winners' out-of-fold errors."""
    found: dict[int, tuple[tuple[str, ...], Floats]] = {}
    missing = []
    for place, one in enumerate(measures):
        if one.study.final is None:
            continue
        kept = one.study.out_of_fold()
        if kept is None:
            missing.append(
                f"{one.label}: the winner's out-of-fold predictions are missing or incomplete: "
                f"{one.study.out_of_fold_file}"
            )
        elif len(kept.names) > 1:
            found[place] = kept.names, _correlation(kept)
    if not found:
        return Chart(
            "errors", _ALIKE, "No study has out-of-fold predictions of several members.", missing=tuple(missing)
        )
    lowest = min(
        _LOWEST, *(float(value) for _, matrix in found.values() for value in matrix.flat if np.isfinite(value))
    )
    grids = tuple(_grid(place, names, matrix, lowest) for place, (names, matrix) in found.items())
    columns = min(len(grids), columns_of(max(len(names) for names, _ in found.values())))
    lowest_pairs = [_least_correlated(measures[place].label, names, matrix) for place, (names, matrix) in found.items()]
    sentence = f"A blend gains most from members whose errors differ. Lowest correlation: {enumerated(lowest_pairs)}."
    return Chart("errors", _ALIKE, sentence, grids=grids, columns=columns, missing=tuple(missing))


def _correlation(kept: Predictions) -> Floats:
    """Return the correlation of the members' errors; NaN for a member whose error never changes."""
    with np.errstate(invalid="ignore"):
        return np.atleast_2d(np.corrcoef(kept.errors().T))


def _grid(place: int, names: Sequence[str], matrix: Floats, lowest: float) -> Grid:
    cells = tuple(
        tuple(_cell(float(matrix[row, column]), lowest, f"{one} and {other}") for column, other in enumerate(names))
        for row, one in enumerate(names)
    )
    return Grid(place, "correlation", tuple(names), cells)


def _cell(value: float, lowest: float, pair: str) -> Cell:
    if not np.isfinite(value):
        return Cell("-", 0.0, f"{pair}: no correlation, since the errors of one are all the same")
    return Cell(f"{value:.2f}", (value - lowest) / (1.0 - lowest), f"{pair}: {value:.4f}")


def _least_correlated(label: str, names: Sequence[str], matrix: Floats) -> str:
    pairs = [(matrix[i, j], names[i], names[j]) for i in range(len(names)) for j in range(i)]
    value, one, other = min((np.nan_to_num(value, nan=1.0), one, other) for value, one, other in pairs)
    return f"{other} and {one} in {label} ({value:.2f})"


def predicted_against_actual(measures: Sequence[Measures]) -> Chart:
    """Draw the final models' predictions on the test rows."""
    found, missing = winners_on_test_rows(measures, of_classes=False)
    if not found:
        return Chart("actual", _ACTUAL, "No winner has predictions on the test rows.", missing=missing)
    ends = [
        float(pick(pick(kept.target.min(), kept.blended.min()), pick(kept.target.max(), kept.blended.max())))
        for pick in (min, max)
        for kept in found.values()
    ]
    pad = 0.04 * (max(ends) - min(ends)) or 1.0
    span = [min(ends) - pad, max(ends) + pad]
    plots = tuple(
        Plot(_scatter(place, kept, span, plain(measures[place].study.target)), 340, series=place)
        for place, kept in found.items()
    )
    fits = [_fit(measures[place].label, kept) for place, kept in found.items()]
    sampled = max(len(kept.target) for kept in found.values()) > _MOST_ROWS
    few = f" Only {_MOST_ROWS} rows of each, chosen at random, are drawn." if sampled else ""
    sentence = f"Points on the line are exact. {'; '.join(fits)}.{few}"
    return Chart("actual", _ACTUAL, sentence, plots, columns=min(3, len(plots)), missing=missing)


def _scatter(place: int, kept: Predictions, span: Sequence[float], target: str) -> Spec:
    rows = np.sort(np.random.RandomState(0).permutation(len(kept.target))[:_MOST_ROWS])
    ideal = {"type": "scatter", "mode": "lines", "x": span, "y": span, "line": {"color": INK, "width": 1}}
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [digits6(value) for value in kept.target[rows]],
        "y": [digits6(value) for value in kept.blended[rows]],
        "cliponaxis": False,
        "marker": marker(place, 7, opacity=float(np.clip(300 / len(rows), 0.25, 0.75))),
        "hovertemplate": "actual %{x:.5g}<br>predicted %{y:.5g}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": f"actual {target}".strip()}, "range": span, "zeroline": False},
        "yaxis": {"title": {"text": f"predicted {target}".strip()}, "range": span, "zeroline": False},
    }
    return {"data": [{**ideal, "hoverinfo": "skip"}, points], "layout": layout}


def _fit(label: str, kept: Predictions) -> str:
    spread = float(np.std(kept.target))
    share = (
        f", the predictions vary {float(np.std(kept.blended)) / spread:.0%} as much as the actual values"
        if spread
        else ""
    )
    error = rmse(kept.target, kept.blended, kept.weights)
    return f"{label}: RMSE {error:.4g} on {len(kept.target)} rows{share}"
