"""What all Matplotlib figures share: Okabe and Ito's colours, safe for colour-blind readers, axes and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from experiments.system.terminal import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#767676"
LONGEST_LABEL = 40


def axes_of(width: float, height: float, grid: Literal["x", "y", "both"] | None) -> tuple[Figure, Any]:
    """Return a new figure and its axes.

    Args:
        width: In inches.
        height: In inches.
        grid: The axis with lines; None for none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    if grid is not None:
        axes.grid(axis=grid, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def label(name: str) -> str:
    """Return a name that a user gave in one line of at most ``LONGEST_LABEL`` characters."""
    text = visible(name).replace("\n", " ")
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
