"""Tables and sentences as HTML, which a notebook shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from rich.table import Table
from rich.text import Text

from experiments.system.terminal import visible


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML; the first cell of each row is its title."""
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th>{_text(first)}</th>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_of(table: Table) -> str:
    """Return a table for a console, whose cells are text, as HTML."""
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    return html_table([_plain(column.header) for column in table.columns], zip(*columns, strict=True))


def paragraph(text: str, *, bold: bool = False) -> str:
    """Return a paragraph."""
    return f"<p><b>{_text(text)}</b></p>" if bold else f"<p>{_text(text)}</p>"


def _plain(cell: object) -> str:
    return cell.plain.strip() if isinstance(cell, Text) else str(cell).strip()


def _text(text: str) -> str:
    return escape(visible(text))
