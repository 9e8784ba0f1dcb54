"""Figures of a winner's explained rows: which columns count, and how their values do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.arrays import Floats
from ensemble.table import Column
from experiments.reporting.drawing import BLUE, GREY, axes_of, label
from experiments.study.explained_rows import ExplainedRows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Columns whose dependence is drawn, and levels of a category.
MOST_DRAWN, MOST_LEVELS = 4, 8
_COLOURS = "cividis"


def explanation_figures(found: ExplainedRows, target: str) -> dict[str, Figure]:
    """Return the figures by file name.

    Args:
        found: The rows.
        target: The target's name, with its unit.
    """
    return {"explanation_summary.png": summary(found, target), "explanation_dependence.png": dependence(found, target)}


def summary(found: ExplainedRows, target: str) -> Figure:
    """Draw the parts of all rows, a line of points for each column, coloured by the column's value."""
    from matplotlib.cm import ScalarMappable

    count = len(found.columns)
    figure, axes = axes_of(8, 1.6 + 0.42 * count, "x")
    axes.axvline(0, color=GREY, linewidth=1)
    for row, (column, values, parts) in enumerate(zip(found.columns, found.values.T, found.parts.T, strict=True)):
        ranks = _ranks(values)
        if column.type == "category" or np.isnan(ranks).all():
            axes.scatter(parts, row + _swarm(parts, found.parts), s=9, color=GREY, linewidths=0)
        else:
            shown = np.isnan(ranks)
            offsets = row + _swarm(parts, found.parts)
            axes.scatter(parts[shown], offsets[shown], s=9, color=GREY, linewidths=0)
            axes.scatter(
                parts[~shown], offsets[~shown], s=9, c=ranks[~shown], cmap=_COLOURS, vmin=0, vmax=1, linewidths=0
            )
    axes.set_yticks(range(count), [label(column.name) for column in found.columns], parse_math=False)
    axes.set_ylim(count - 0.5, -0.5)
    grey = any(column.type == "category" for column in found.columns) or bool(np.isnan(found.values).any())
    note = "\ngrey: the column is a category, or its value is missing" if grey else ""
    axes.set_xlabel(f"{_of_what(found, target)}{note}", parse_math=False)
    bar = figure.colorbar(ScalarMappable(cmap=_COLOURS), ax=axes, ticks=[0, 1], aspect=30, pad=0.02)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("value", labelpad=-12)
    axes.set_title(f"What moves the predictions of {len(found.parts)} rows?", loc="left", fontsize=11)
    return figure


def dependence(found: ExplainedRows, target: str) -> Figure:
    """Draw the part of each of the most important columns against its value."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = min(len(found.columns), MOST_DRAWN)
    across = min(count, 2)
    down = -(-count // across)
    figure = Figure(figsize=(4.2 * across, 0.6 + 2.9 * down), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for place in range(count):
        axes = figure.add_subplot(down, across, place + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.axhline(0, color=GREY, linewidth=1)
        _draw(axes, found.columns[place], found.values[:, place], found.parts[:, place])
        axes.set_xlabel(label(found.columns[place].name), parse_math=False)
    figure.supylabel(_of_what(found, target), fontsize=10, parse_math=False)
    figure.suptitle("How does the part of a column depend on its value?", fontsize=11, x=0.02, ha="left")
    return figure


def _draw(axes: Any, column: Column, values: Floats, parts: Floats) -> None:
    known = ~np.isnan(values)
    alpha = float(np.clip(100 / max(len(values), 1), 0.3, 0.8))
    if column.type in ("category", "boolean"):
        positions, texts = _positions(column, values)
        spread = np.random.default_rng(0).uniform(-0.18, 0.18, len(values))
        axes.scatter(positions + spread, parts, s=14, color=BLUE, alpha=alpha, linewidths=0)
        axes.set_xticks(range(len(texts)), [label(text)[:12] for text in texts], parse_math=False)
        axes.tick_params(axis="x", labelrotation=30 if len(texts) > 3 else 0)
        return
    axes.scatter(values[known], parts[known], s=14, color=BLUE, alpha=alpha, linewidths=0)
    if column.type == "date":  # whose days since 1970 are Matplotlib's own dates
        axes.xaxis_date()
        axes.tick_params(axis="x", labelrotation=30)
    if not known.all():
        mean = float(parts[~known].mean())
        axes.axhline(mean, color=GREY, linewidth=1, linestyle="--")
        axes.annotate("missing", (1, mean), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)


def _positions(column: Column, values: Floats) -> tuple[Floats, list[str]]:
    """Return a position for each row by its level, and the texts of the positions, the most frequent levels first."""
    texts = list(column.levels) if column.type == "category" else ["false", "true"]
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    shown = codes[np.argsort(-counts, kind="stable")][:MOST_LEVELS].tolist()
    names = [texts[int(code)] for code in shown]
    others, missing = len(codes) > len(shown), bool(np.isnan(values).any())
    names += (["others"] if others else []) + (["missing"] if missing else [])
    place = {code: float(number) for number, code in enumerate(shown)}
    return np.array(
        [len(names) - 1.0 if np.isnan(value) else place.get(value, float(len(shown))) for value in values.tolist()]
    ), names


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value from 0 to 1, the middle one of equal values; NaN where missing."""
    known = values[~np.isnan(values)]
    ordered = np.sort(known)
    below, upto = np.searchsorted(ordered, values, side="left"), np.searchsorted(ordered, values, side="right")
    found = (below + upto - 1) / 2 / max(len(known) - 1, 1)
    return np.where(np.isnan(values), np.nan, found)


def _swarm(parts: Floats, every: Floats) -> Floats:
    """Return the vertical offsets of points, so that those near each other do not hide each other."""
    width = float(np.ptp(every)) / 120 or 1.0
    bins = np.floor(parts / width).astype(np.int64)
    offsets = np.zeros(len(parts))
    for found in np.unique(bins):
        own = np.flatnonzero(bins == found)
        steps = (np.arange(len(own)) + 1) // 2 * np.where(np.arange(len(own)) % 2, 1, -1)
        offsets[own] = steps * min(0.07, 0.42 / max(len(own) / 2, 1))
    return offsets


def _of_what(found: ExplainedRows, target: str) -> str:
    if found.positive:
        return f"part of the probability of {label(found.positive)}"
    return f"part of the prediction of {label(target)}" if target else "part of the prediction"
