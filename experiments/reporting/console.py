"""Printing on a console: plain text, a minimum width, and amounts of dollars."""

from __future__ import annotations

import numpy as np
from rich.console import Console


def print_plain(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is: without markup, highlighting or wrapping.

    Args:
        console: Where it is printed.
        text: May hold names that the user chose.
        style: A style of Rich's for all of it.
    """
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def at_least(width: int, console: Console) -> Console:
    """Return the console, or one of this width if it is narrower; the terminal then wraps its lines.

    Rich cuts or wraps cells to the width of the console, even if a larger width is passed to ``print``.

    Args:
        width: In columns of text.
        console: The console to print on.
    """
    if console.width >= width:
        return console
    system = console.color_system
    return Console(
        file=console.file,
        width=width,
        force_terminal=console.is_terminal,
        color_system=system,  # type: ignore[arg-type]  # one of the accepted names
        no_color=console.no_color,
        highlight=False,
    )


def dollars(usd: float) -> str:
    """Return an amount as text: with cents, or with two digits if it is below ten cents.

    Args:
        usd: In US dollars, not negative.
    """
    return f"${usd:.2f}" if usd >= 0.1 or not usd else f"${np.format_float_positional(usd, 2, fractional=False)}"
