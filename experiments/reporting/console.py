"""Printing on a console: text as it is, a minimum width, and amounts of dollars."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from experiments.system.terminal import visible


class PlainConsole(Console):
    """A console on which every string is text: brackets are no markup, and control characters are shown as escapes."""

    def __init__(self, **options: Any) -> None:
        """Take Rich's options, such as ``file`` and ``width``."""
        stream = options.get("file") or (sys.stderr if options.get("stderr") else sys.stdout)
        # In a notebook, Rich would display widgets, also for a console whose file is not the notebook's, and a notebook
        # sets FORCE_COLOR for its commands, with which Rich animates whatever it writes to.
        options = {"force_terminal": stream.isatty(), "force_jupyter": False} | options
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text; its width is that of the escapes."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of something that can be printed, without control characters in their text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Return a status line; Rich's own reads markup in its text, whatever the console."""
        return _PlainStatus(_text(status), console=self, **options)


class _PlainStatus(Status):
    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        super().update(None if status is None else _text(status), **options)


def _text(status: RenderableType) -> RenderableType:
    return Text(status) if isinstance(status, str) else status


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
    return PlainConsole(
        file=console.file,
        width=width,
        force_terminal=console.is_terminal,
        color_system=system,
        no_color=console.no_color,
    )


def dollars(usd: float) -> str:
    """Return an amount as text: with cents, or with two digits if it is below ten cents.

    Args:
        usd: In US dollars, not negative.
    """
    return f"${usd:.2f}" if usd >= 0.1 or not usd else f"${np.format_float_positional(usd, 2, fractional=False)}"


def duration(seconds: float) -> str:
    """Return a duration as text, in at most two units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
