"""Text is printed as it is, tables are not cut, and small amounts keep two digits."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.reporting.console import PlainConsole, at_least, dollars, print_plain
from experiments.system.terminal import visible


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


HOSTILE = "rate [/s] size[m2] [bold]a[/bold] [link=x]b :smile: \x1b[31mred\x1b]0;title\x07 \x9b2J \u202eabc US$ in $"
SHOWN = visible(HOSTILE)


def printed(**options: object) -> tuple[PlainConsole, io.StringIO]:
    file = io.StringIO()
    return PlainConsole(file=file, width=200, **options), file


def test_users_text_is_printed_as_text_wherever_it_is_put() -> None:
    console, file = printed()
    table = Table(box=None)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(HOSTILE, soft_wrap=True)
    print_plain(console, HOSTILE)
    console.print(table)
    print_plain(console, HOSTILE, "red")
    console.print(Text(HOSTILE.replace("\x07", "")))
    lines = [line.strip() for line in file.getvalue().splitlines()]
    assert lines == [*[SHOWN] * 5, SHOWN.replace(r"\x07", "")]
    assert not set(file.getvalue()) & set("\x1b\x07\x9b\u202e")


def test_a_status_line_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console, file = printed(force_terminal=True, color_system=None)
    with console.status("uploading [/s] size[m2]") as status:
        status._live.refresh()
        status.update("[/x] [red]now\x1b[31m")
        console.print("done")
        status._live.refresh()
    assert "uploading [/s] size[m2]" in file.getvalue()
    assert r"[/x] [red]now\x1b[31m" in file.getvalue()


def test_a_widened_console_prints_text_as_it_is_too() -> None:
    file = io.StringIO()
    at_least(200, Console(file=file, width=20)).print(HOSTILE)
    assert file.getvalue().strip() == SHOWN


def test_text_goes_to_the_consoles_file_in_a_notebook_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook does for its commands
    file = io.StringIO()
    console = PlainConsole(file=file)
    with console.status("working"):
        console.print("1 of 2", style="red")
    assert file.getvalue() == "1 of 2\n"
