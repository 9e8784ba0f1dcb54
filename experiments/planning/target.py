"""What a study predicts, as a clause for the messages that refuse what does not go with it."""

from __future__ import annotations

from ensemble.table import Table
from ensemble.targets import named_labels


def describe_target(table: Table) -> str:
    """Return what the target of a table is, as a clause, with the key that says so."""
    if not table.classes:
        return f"the target {table.target_name} is a quantity (dataset.task)"
    return (
        f"the target {table.target_name} has {len(table.classes)} classes, {named_labels(table.classes)} (dataset.task)"
    )
