"""The rows of a rehearsal's largest request; ``test_endpoint_commands.py`` runs the rehearsal itself."""

from __future__ import annotations

from experiments.serving.rehearsal import csv_of


def test_missing_values_are_empty_cells() -> None:
    rows = [[1.5, "b", "1970-01-01T00:00:00", True], [None, None, None, False]]
    assert csv_of(rows) == "1.5,b,1970-01-01T00:00:00,True\n,,,False\n"
