"""The rows of a rehearsal's largest request; ``test_endpoint_commands.py`` runs the rehearsal itself."""

from __future__ import annotations

from experiments.serving.example import csv_of
from experiments.serving.rehearsal import rows_of_csv


def test_missing_values_are_empty_cells() -> None:
    rows = [[1.5, "b", "1970-01-01T00:00:00", True], [None, None, None, False]]
    assert csv_of(rows) == "1.5,b,1970-01-01T00:00:00,True\n,,,False\n"


def test_rows_are_counted_although_text_has_line_breaks() -> None:
    rows = [[1.0, "two\nlines"], [2.0, "one"]]
    assert rows_of_csv(csv_of(rows).encode() * 3) == 6
    assert rows_of_csv(b"0.1\n0.2\n") == 2
