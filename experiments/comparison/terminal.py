"""A comparison in the terminal: the verdict, the differences and the table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.comparison.findings import describe_unpaired, which_is_better
from experiments.comparison.measures import Measures
from experiments.comparison.parity import Parity, Verdict
from experiments.comparison.table import Row
from experiments.reporting.console import at_least, print_plain

_WIDEST = 1000
_STYLES: dict[Verdict, str] = {"PASS": "green", "FAIL": "red", "NOT COMPARABLE": "yellow", "NOT CHECKED": "dim"}


def show_parity(parity: Parity, console: Console) -> None:
    """Print the verdict on a separate line, with the differences below it."""
    style = _STYLES[parity.verdict]
    print_plain(console, f"\n{parity.line}", style)
    for line in [*([parity.exactness] if parity.pairs else []), *parity.details()]:
        print_plain(console, f"  {line}")


def show_finding(measures: Sequence[Measures], console: Console) -> None:
    """Print which study is better, by how much, and how sure that is."""
    console.print()
    print_plain(console, which_is_better(measures), "bold")


def show_unpaired(parity: Parity, console: Console) -> None:
    """Print the trials without a pair."""
    lines = describe_unpaired(parity)
    if lines:
        console.print("\nwithout a pair", style="bold")
    for line in lines:
        print_plain(console, f"  {line}")


def show_table(measures: Sequence[Measures], rows: Sequence[Row], console: Console) -> None:
    """Print the table, wide enough that no digit is cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for one in measures:
        table.add_column(Text(one.label), justify="right", no_wrap=True)
    for row in rows:
        if not row.cells:
            table.add_row("")
            table.add_row(Text(row.title, style="bold"))
            continue
        cells = [Text(cell, style="bold green" if place in row.best else "") for place, cell in enumerate(row.cells)]
        table.add_row(Text(f"  {row.title}"), *cells)
    console.print()
    # A narrow terminal wraps the lines.
    unbounded = console.options.update(width=_WIDEST)
    at_least(console.measure(table, options=unbounded).maximum, console).print(table, crop=False)
