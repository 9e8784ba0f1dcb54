"""What all figures share: plots and charts, colours by name, and marks that differ in more than colour."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

# Names of colours; the style sheet has their values, light and dark.
SERIES = tuple(f"--series-{number}" for number in range(6))
INK, SOFT, PAPER, WARNING = "--ink", "--soft", "--paper", "--fail"
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
# The same in SVG.
_STROKES = {"solid": "none", "dash": "6 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "10 4"}
_PATHS = {
    "circle": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "square": "M-4.5 -4.5h9v9h-9Z",
    "diamond": "M0 -6L6 0L0 6L-6 0Z",
    "triangle-up": "M0 -5.5L6 4.5H-6Z",
    "cross": "M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4Z",
    "star": "M0 -6.5L1.6 -2.1L6.2 -2L2.5 0.9L3.8 5.3L0 2.7L-3.8 5.3L-2.5 0.9L-6.2 -2L-1.6 -2.1Z",
    "hexagon": "M0 -6L5.2 -3V3L0 6L-5.2 3V-3Z",
}
_PATTERNS = ("", "/", ".", "x", "-", "+")
ROW_PIXELS, NAME_PIXELS = 24, 20

Spec = dict[str, Any]


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        spec: ``data`` and ``layout`` of plotly.js, with colours by name.
        height: In CSS pixels.
        series: Index of its study, if the figure has one plot for each study.
        narrow: The spec for a narrow screen, if it differs.
        narrow_height: The height on a narrow screen.
    """

    spec: Spec
    height: int
    series: int | None = None
    narrow: Spec | None = None
    narrow_height: int | None = None


@dataclass(frozen=True)
class Cell:
    """A cell of a grid.

    Attributes:
        text: Its number.
        shade: How strongly it is shaded, from 0 to 1.
        title: What the number means.
    """

    text: str
    shade: float
    title: str


@dataclass(frozen=True)
class Grid:
    """A square of numbers with shaded cells, which the page shows as a table: all names and numbers at every width.

    Attributes:
        series: Index of its study.
        corner: What its rows and its columns are.
        names: Of its rows, and of its columns.
        cells: Row by row.
    """

    series: int
    corner: str
    names: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A figure of the page.

    Attributes:
        key: Its element's id.
        title: Its heading.
        sentence: Its finding, or why there is nothing to draw.
        plots: Its plots, or
        grids: its grids; neither if there is nothing to draw.
        width: Its share of a row on a wide page.
        columns: Number of plots side by side on a wide page.
        missing: What it lacks because files of a study are missing; a sentence each.
    """

    key: str
    title: str
    sentence: str
    plots: tuple[Plot, ...] = ()
    grids: tuple[Grid, ...] = ()
    width: Literal["full", "half", "third"] = "full"
    columns: int = 1
    missing: tuple[str, ...] = ()


def plain(text: object) -> str:
    """Escape a text for plotly.js, which interprets some HTML."""
    return html.escape(str(text), quote=False)


def colour(place: int) -> str:
    """Return the colour of the study with this index."""
    return SERIES[place % len(SERIES)]


def series(place: int, name: str) -> Spec:
    """Return what assigns a trace to the study with this index, so that the page can show and hide it."""
    return {"name": plain(name), "legendgroup": str(place)}


def marker(place: int, size: int = 9, **more: Any) -> Spec:
    """Return the marker of the study with this index, which differs in shape as well as in colour."""
    return {"color": colour(place), "symbol": _SYMBOLS[place % len(_SYMBOLS)], "size": size, **more}


def line(place: int, width: float = 2.0, **more: Any) -> Spec:
    """Return the line of the study with this index, which differs in dashes as well as in colour."""
    return {"color": colour(place), "dash": _DASHES[place % len(_DASHES)], "width": width, **more}


def bars(place: int) -> Spec:
    """Return the bars of the study with this index, which differ in hatching as well as in colour."""
    pattern = {"shape": _PATTERNS[place % len(_PATTERNS)], "fillmode": "overlay", "fgcolor": PAPER, "size": 7}
    return {"color": colour(place), "pattern": {**pattern, "fgopacity": 1.0, "solidity": 0.3}}


@dataclass(frozen=True)
class Glyph:
    """A study's colour, line and marker, for the legend.

    Attributes:
        series: Index of its colour.
        dashes: Its line, as an SVG ``stroke-dasharray``.
        path: Its marker around the origin, as an SVG ``path``.
    """

    series: int
    dashes: str
    path: str


def glyph(place: int) -> Glyph:
    """Return the glyph of the study with this index."""
    dashes = _STROKES[_DASHES[place % len(_DASHES)]]
    return Glyph(place % len(SERIES), dashes, _PATHS[_SYMBOLS[place % len(_SYMBOLS)]])


def rows_axis(names: Sequence[str]) -> Spec:
    """Return a vertical axis with a row for each name, the first on top."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [plain(name) for name in names],
        "range": [len(names) - 0.5, -0.5],
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def names_above(spec: Spec, names: Sequence[str]) -> Spec:
    """Return a plot of rows with each row's name above its marks, for screens without room beside them."""
    layout = spec["layout"]
    texts = [
        {"text": plain(name), "x": 0, "xref": "paper", "xanchor": "left", "y": row - 0.5, "yanchor": "top"}
        | {"showarrow": False, "font": {"size": 13}, "bgcolor": "--veil"}
        for row, name in enumerate(names)
    ]
    axis = {**layout["yaxis"], "showticklabels": False}
    notes = [*layout.get("annotations", ()), *texts]
    return {**spec, "layout": {**layout, "yaxis": axis, "annotations": notes, "bargap": 0.55}}


def rows_plot(spec: Spec, names: Sequence[str], places: int, more: int = 0) -> Plot:
    """Return a plot of rows with a mark for each study in each row.

    Args:
        spec: The spec, with ``rows_axis(names)``.
        names: The rows.
        places: Number of marks in a row.
        more: Additional height, in CSS pixels.
    """
    height = 70 + more + len(names) * max(38, ROW_PIXELS * places)
    return Plot(spec, height, narrow=names_above(spec, names), narrow_height=height + NAME_PIXELS * len(names))


def beside(place: int, places: int) -> float:
    """Return the offset of a study's mark from the middle of its row."""
    return (place - (places - 1) / 2) * min(0.22, 0.7 / places)


def columns_of(names: int) -> int:
    """Return how many grids with that many names fit side by side on a wide page."""
    return 3 if names <= 5 else 2 if names <= 10 else 1


def digits6(value: float) -> float:
    """Return a position with six digits, which is finer than a pixel and a third of the page's text."""
    return float(f"{value:.6g}")


def enumerated(items: Sequence[str]) -> str:
    """Join items as ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
