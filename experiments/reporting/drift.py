"""A drift in the terminal and as a figure."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.reporting.console import at_least, print_plain
from experiments.reporting.drawing import BLUE, GREY, ORANGE, axes_of, label
from experiments.reporting.verdict import digits
from experiments.study.drift import ColumnDrift, Drift

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Columns in the table and in the figure, the largest index first.
MOST_SHOWN = 20
_WIDEST = 1000


def show_drift(drift: Drift, what: str, console: Console) -> None:
    """Print the table of the columns, the largest index first, and the verdict.

    Args:
        drift: How rows differ from those that a model learnt from.
        what: The rows and the model, for the heading.
        console: Where it is printed.
    """
    print_plain(console, f"\ndrift: {what} ({drift.rows:,} rows against {drift.learnt:,})")
    shown = sorted(drift.columns, key=lambda one: -one.psi)[:MOST_SHOWN]
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for title in ("", "PSI", "by chance", "KS", "missing", "unseen", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for one in shown:
        table.add_row(*(Text(cell, style="yellow" if one.drifted else "") for cell in _cells(one)))
    console.print()
    needed = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    at_least(needed, console).print(table, crop=False)
    if len(shown) < len(drift.columns):
        drifted = len(drift.drifted) - sum(one.drifted for one in shown)
        more = f", of which {drifted:,} have drifted" if drifted else ""
        print_plain(
            console,
            f"  and {len(drift.columns) - len(shown):,} more columns, with smaller indices{more}. output=drift.csv "
            "writes them all.",
        )
    for sentence in drift.warnings:
        print_plain(console, f"warning: {sentence}")
    print_plain(console, f"\n{_members(drift)}")
    style = "yellow" if drift.drifted or drift.disagree else "green"
    print_plain(console, verdict_line(drift), style)


def drift_csv(drift: Drift) -> str:
    """Return all columns as CSV, the largest index first.

    Args:
        drift: How rows differ from those that a model learnt from.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["column", "psi", "by_chance", "ks", "missing_before", "missing", "unseen", "drifted"])
    for one in sorted(drift.columns, key=lambda one: -one.psi):
        ks = "" if one.ks is None else one.ks
        writer.writerow([one.name, one.psi, one.chance, ks, *one.missing, one.unseen, int(one.drifted)])
    return sink.getvalue()


def verdict_line(drift: Drift) -> str:
    """Return in one line what has drifted."""
    parts = []
    if drift.drifted:
        names = [label(one.name) for one in drift.drifted[:3]]
        more = len(drift.drifted) - len(names)
        parts.append(f"{', '.join(names)}{f' and {more} more' if more else ''}")
    if drift.disagree:
        parts.append("the members disagree more than out of fold")
    if parts:
        return f"drift: YES ({'; '.join(parts)})"
    return f"drift: NO ({len(drift.columns)} columns)"


def _members(drift: Drift) -> str:
    if drift.disagreement is None:
        return "The members' disagreement is unknown: one member has all the weight."
    usual = (
        "" if drift.disagreement >= 1 else " Below 1 is usual, since the served members are averages of several models."
    )
    return (
        f"The members disagree {digits(drift.disagreement)} times as much as out of fold (by chance up to "
        f"{digits(drift.chance)} times).{usual}"
    )


def _cells(one: ColumnDrift) -> tuple[str, ...]:
    before, now = one.missing
    return (
        f"  {label(one.name)}",
        f"{one.psi:.3f}",
        f"{one.chance:.3f}",
        "" if one.ks is None else f"{one.ks:.3f}",
        f"{before:.1%} → {now:.1%}" if before or now else "",
        f"{one.unseen:.1%}" if one.unseen else "",
        "drifted" if one.drifted else "",
    )


def drift_figure(drift: Drift, threshold: float) -> Figure:
    """Draw the index of the columns, the largest first, with the threshold and what chance explains.

    Args:
        drift: How rows differ from those that a model learnt from.
        threshold: The index from which a column has drifted.
    """
    shown = sorted(drift.columns, key=lambda one: -one.psi)[:MOST_SHOWN]
    figure, axes = axes_of(8, 1.6 + 0.3 * len(shown), "x")
    colours = [ORANGE if one.drifted else BLUE for one in shown]
    axes.barh(range(len(shown)), [one.psi for one in shown], color=colours)
    axes.plot([one.chance for one in shown], range(len(shown)), "|", color="black", markersize=11, label="by chance")
    axes.axvline(threshold, color=GREY, linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
    axes.set_yticks(range(len(shown)), [label(one.name) for one in shown], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"population stability index, {drift.rows:,} rows against {drift.learnt:,} learnt from")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("Which columns differ from what the model learnt from? Orange: drifted", loc="left", fontsize=11)
    return figure
