"""A console that is wide enough for what must not be cut."""

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
    """Return the console, or where it is narrower one of this width in its place, whose lines go on below.

    A console cuts or wraps cells to its own width, whatever width is asked for when something is printed.

    Args:
        width: In columns of text.
        console: Where things are printed.
    """
    if console.width >= width:
        return console
    system = console.color_system
    return Console(
        file=console.file,
        width=width,
        force_terminal=console.is_terminal,
        color_system=system,  # type: ignore[arg-type]  # it is one of the names that are taken
        no_color=console.no_color,
        highlight=False,
    )


def dollars(usd: float) -> str:
    """Say what was spent: in cents, or where it is less than ten of them in two digits.

    Args:
        usd: In US dollars, not negative.
    """
    return f"${usd:.2f}" if usd >= 0.1 or not usd else f"${np.format_float_positional(usd, 2, fractional=False)}"
