"""Text is printed as it is, tables are not cut, and small amounts keep two digits."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from experiments.reporting.console import at_least, dollars, print_plain


def test_plain_text_is_neither_markup_nor_wrapped() -> None:
    file = io.StringIO()
    text = "[bold]a[/bold] " + "long " * 30 + "end"
    print_plain(Console(file=file, width=20), text)
    assert file.getvalue() == text + "\n"


def test_a_style_is_of_the_whole_text() -> None:
    file = io.StringIO()
    print_plain(Console(file=file, force_terminal=True, color_system="standard"), "1 of 2", "red")
    assert file.getvalue() == "\x1b[31m1 of 2\x1b[0m\n"


def test_a_console_that_is_wide_enough_is_kept() -> None:
    console = Console(file=io.StringIO(), width=80)
    assert at_least(80, console) is console


def test_a_narrow_console_is_widened_and_writes_to_the_same_file() -> None:
    narrow = Console(file=io.StringIO(), width=20, force_terminal=True, color_system="256")
    wide = at_least(80, narrow)
    assert (wide.width, wide.file, wide.color_system, wide.is_terminal) == (80, narrow.file, "256", True)


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0.0, "$0.00"), (12.345, "$12.35"), (0.1, "$0.10"), (0.0999, "$0.1"), (0.00144, "$0.0014"), (1e-7, "$0.0000001")],
)
def test_less_than_ten_cents_have_two_digits(usd: float, text: str) -> None:
    assert dollars(usd) == text
