"""A comparison in the terminal: the verdict in its colour, the findings, and a table whose digits are not cut off."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from experiments.comparison.measures import measure
from experiments.comparison.parity import compare_trials
from experiments.comparison.table import comparison_rows
from experiments.comparison.terminal import show_finding, show_parity, show_table, show_unpaired
from tests.experiments.comparison.builder import POINTS, add_study, scored


def test_the_verdict_is_coloured_and_its_details_are_indented(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    for shift, colour, verdict in ((0.0, 32, "PASS"), (0.5, 31, "FAIL")):
        server = add_study(folder, f"server-{verdict}", [scored(0, POINTS[0], shift=shift)], given=True)
        file = io.StringIO()
        parity = compare_trials([laptop, server], 1e-9)
        show_parity(parity, Console(file=file, force_terminal=True, color_system="standard", width=40))
        _, line, exactness, *details = file.getvalue().splitlines()
        assert line == f"\x1b[{colour}m{parity.line}\x1b[0m"
        assert exactness == f"  {parity.exactness}"
        assert details == [f"  {text}" for text in parity.details()]


def test_trials_without_a_pair_are_listed_below_the_finding(folder: Path) -> None:
    studies = [
        add_study(folder, "laptop", [scored(0, POINTS[0]), scored(1, POINTS[1])]),
        add_study(folder, "server", [scored(0, POINTS[0])], mode="sagemaker", given=True),
    ]
    file = io.StringIO()
    show_finding(measure(studies), Console(file=file, width=40))
    show_unpaired(compare_trials(studies, 1e-9), Console(file=file, width=40))
    assert file.getvalue().splitlines() == [
        "",
        "local and sagemaker are equally good: their RMSE is the same on every fold.",
        "",
        "without a pair",
        "  trial 1 of laptop: these parameters ran in no other study",
    ]


def test_a_narrow_terminal_cuts_no_cell(folder: Path) -> None:
    studies = [add_study(folder, name, [scored(0, POINTS[0])], mode=name) for name in ("local", "sagemaker", "remote")]
    found = measure(studies)
    rows = comparison_rows(found)
    file = io.StringIO()
    show_table(found, rows, Console(file=file, width=20))
    text = file.getvalue()
    assert all(cell in text for row in rows for cell in row.cells)
    assert "\u2026" not in text
