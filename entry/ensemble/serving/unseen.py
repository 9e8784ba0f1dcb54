"""Categories in rows to predict that the training rows do not have: they are predicted as missing, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_MOST_EXAMPLES = 3


@dataclass
class UnseenValues:
    """The values of one column.

    Attributes:
        rows: In how many rows they are.
        first_row: The first of these, from 1.
        examples: Up to three of them.
    """

    first_row: int
    rows: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Unseen:
    """The values of all columns.

    Attributes:
        columns: By name, those of each column that has any.
        offset: The number of rows before those that are being read.
    """

    columns: dict[str, UnseenValues] = field(default_factory=dict)
    offset: int = 0

    def add(self, name: str, row: int, value: str) -> None:
        """Count a value in the data row ``row``, from 0, of those that are being read."""
        found = self.columns.setdefault(name, UnseenValues(self.offset + row + 1))
        found.rows += 1
        if len(found.examples) < _MOST_EXAMPLES and value not in found.examples:
            found.examples.append(value)

    def counts(self) -> Mapping[str, int]:
        """Return by column's name in how many rows it has such a value."""
        return {name: found.rows for name, found in self.columns.items()}
