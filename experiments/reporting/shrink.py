"""The steps to a smaller ensemble in the terminal and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.reporting.console import at_least, dollars
from experiments.reporting.drawing import BLUE, GREY, ORANGE, axes_of, label
from experiments.reporting.score_names import shown
from experiments.reporting.verdict import digits
from experiments.study.shrink import Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDEST = 1000


@dataclass(frozen=True)
class PricedStep:
    """A step with what it needs on a serverless endpoint.

    Attributes:
        step: The step.
        memory_mb: The smallest memory; None if it is not known, or no size is enough.
        usd: Dollars for a million requests with one row each; None if the memory is not known.
    """

    step: Step
    memory_mb: int | None
    usd: float | None


def named(step: Step, whole: Step) -> str:
    """Return what a step is, in words.

    Args:
        step: The step.
        whole: The first one, with all members.
    """
    if len(step.members) == len(whole.members):
        return "as it is served" if step.models == whole.models else "one model of each member"
    if len(step.members) == 1:
        return f"{step.members[0]} alone"
    lacking = [name for name in whole.members if name not in step.members]
    return f"without {', '.join(lacking)}" if len(lacking) <= len(step.members) else ", ".join(step.members)


def sentence(step: Step, whole: Step) -> str:
    """Return in one line what a step costs and saves, such as ``catboost alone: 1.2% worse, 6 times faster``."""
    return f"{named(step, whole)}: {compared(step.rise / whole.score, whole.ms / step.ms)}"


def compared(rise: float, faster: float) -> str:
    """Return how much worse and faster something is, in words.

    Args:
        rise: The rise of the score, as a share of it.
        faster: How many times faster.
    """
    quality = "as good" if abs(rise) < 0.0005 else f"{abs(rise):.1%} {'worse' if rise > 0 else 'better'}"
    pace = f"{digits(faster)} times faster" if faster >= 1 else f"{digits(1 / faster)} times slower"
    return f"{quality}, {pace}"


def show_steps(steps: Sequence[PricedStep], chosen: Step, score: str, console: Console) -> None:
    """Print the table of the steps.

    Args:
        steps: In order, the first one with all members.
        chosen: The smallest one that is not worse.
        score: The main score.
        console: Where it is printed.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for title in ("", f"CV {shown(score)}", "change", "95% interval", "ms a row", "MB", "memory", "$ a million", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    whole = steps[0].step
    for priced in steps:
        step = priced.step
        known = step is not whole and step.low is not None and step.high is not None
        cells = (
            f"  {named(step, whole)}",
            f"{step.score:.6g}",
            "" if step is whole else f"{step.rise / whole.score:+.1%}",
            f"{step.low / whole.score:+.1%} to {step.high / whole.score:+.1%}" if known else "",  # type: ignore[operator]
            digits(step.ms),
            digits(step.megabytes),
            "unknown" if priced.memory_mb is None else f"{priced.memory_mb:,}",
            "" if priced.usd is None else dollars(priced.usd),
            "worse" if step.worse else "smallest" if step is chosen else "",
        )
        style = "bold" if step is chosen else "yellow" if step.worse else ""
        table.add_row(*(Text(cell, style=style) for cell in cells))
    console.print()
    needed = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    at_least(needed, console).print(table, crop=False)


def shrink_figure(steps: Sequence[Step], chosen: Step, score: str) -> Figure:
    """Draw the score of each step against its milliseconds, with the interval of the change.

    Args:
        steps: In order, the first one with all members.
        chosen: The smallest one that is not worse.
        score: The main score.
    """
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    figure, axes = axes_of(8, 5, "both")
    whole = steps[0]
    axes.axhline(whole.score, color=GREY, linewidth=1, linestyle="--", label="as it is served")
    for number, step in enumerate(steps):
        colour = ORANGE if step is chosen else BLUE
        if step.low is not None and step.high is not None and step is not whole:
            axes.plot([step.ms] * 2, [whole.score + step.low, whole.score + step.high], color=colour, linewidth=1.2)
        axes.plot(step.ms, step.score, "X" if step.worse else "o", color=colour, markersize=8)
        text = label(named(step, whole))
        place = (7, 5 if number % 2 else -14)  # neighbours above and below, so that they do not overlap
        axes.annotate(text, (step.ms, step.score), place, textcoords="offset points", fontsize=9, parse_math=False)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds a row on one core")
    axes.set_ylabel(f"{shown(score)} in cross-validation, with 95% interval of the change")
    low, high = (end([step.ms for step in steps]) for end in (np.min, np.max))
    axes.set_xlim(low / 1.5, high * 2.5)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    few = high * 2.5 / (low / 1.5) < 10  # within a decade, all nine numbers fit
    axes.xaxis.set_minor_formatter(StrMethodFormatter("{x:g}") if few else NullFormatter())
    axes.set_title("How small can the ensemble be? Orange: the smallest that is not worse", loc="left", fontsize=11)
    return figure
