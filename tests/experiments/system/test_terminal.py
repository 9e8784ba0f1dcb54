"""Text for a terminal neither controls it nor fails on one that has few characters."""

from __future__ import annotations

import io
import sys

import pytest

from experiments.cli import main
from experiments.system.terminal import replace_what_cannot_be_printed, visible


def test_control_characters_are_shown_as_escapes_and_other_text_is_kept() -> None:
    assert visible("a\x1b[31m\x07\x00\r\x7f\x9b\u202e") == r"a\x1b[31m\x07\x00\r\x7f\x9b\u202e"
    kept = "Größe (m²)\t面积\nUS$ [/x] é 😀"
    assert visible(kept) == kept


def test_a_terminal_with_ascii_gets_replaced_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    replace_what_cannot_be_printed()
    print("größe \udcc3", flush=True)
    assert raw.getvalue() == b"gr??e ?\n"


def test_an_error_shows_what_was_typed_without_its_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mode=local", "action=[/x]\x1b[31m"]) == 2
    assert capsys.readouterr().err.startswith(r"error: action=[/x]\x1b[31m: there is no such action.")


def test_a_name_that_is_not_text_is_refused_with_the_locale_that_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mode=local", "dataset=file", "dataset.path=Donn\udcc3\udca9es.csv"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: dataset.path=Données.csv has bytes that are not text in the encoding ")
    assert "LC_ALL=C.UTF-8" in error
