"""The bar of a call from Python: one line, rewritten where somebody watches."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from experiments.reporting.bar import LineBar
from experiments.study.spec import StudySpec
from tests.experiments.reporting.builder import MEMBERS, failed, trial

Notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
Terminal = type("Terminal", (io.StringIO,), {"isatty": lambda self: True})


def shown(study: StudySpec, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("COLUMNS", "60")
    unused = io.StringIO()
    with LineBar(study, MEMBERS, Console(file=unused), 0, lambda: "2 jobs run") as bar:
        for result in (trial(0, 11.0, 12.0, 10.0), failed(1), trial(2, 9.0, 12.0, 9.5)):
            bar.show(result)
    assert unused.getvalue() == ""
    return stream.getvalue()


def test_a_notebook_gets_one_line_that_is_rewritten(study: StudySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(study, Notebook(), monkeypatch)
    assert text.count("\n") == 1
    *_, last = text.split("\r")
    scores = "1 failed, best blend 9.5, best member 9 xgboost"
    assert last.rstrip() == f"{study.name} [##########] 3/3  {scores}  2 jobs run"
    monkeypatch.setattr("tests.experiments.reporting.test_bar.MEMBERS", MEMBERS[:1])
    assert "3/3  1 failed, best 9.5  2 jobs run" in shown(study, Notebook(), monkeypatch)


def test_a_terminal_gets_a_line_of_its_width(study: StudySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(study, Terminal(), monkeypatch).removesuffix("\n").split("\r")
    assert len(lines) == 5
    assert f"{study.name} [#######...] 2/3" in lines[2]
    assert max(map(len, lines)) < 60


def test_a_file_gets_the_last_state_only(study: StudySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(study, io.StringIO(), monkeypatch)
    assert text.startswith(f"{study.name} [##########] 3/3")
    assert (text.count("\n"), text.count("\r")) == (1, 0)
