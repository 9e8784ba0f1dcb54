"""What a study predicts, as a sentence for the messages that refuse what does not go with it."""

from __future__ import annotations

from ensemble.errors import listed
from ensemble.table import Table

# A longer list of classes says no more.
MOST_SHOWN = 5


def describe_target(table: Table) -> str:
    """Return what the target of a table is, as a clause, with the key that says so."""
    if not table.classes:
        return f"the target {table.target_name} is a quantity (dataset.task)"
    shown = listed(table.classes[:MOST_SHOWN])
    more = f" and {len(table.classes) - MOST_SHOWN} more" if len(table.classes) > MOST_SHOWN else ""
    return f"the target {table.target_name} has {len(table.classes)} classes, {shown}{more} (dataset.task)"
