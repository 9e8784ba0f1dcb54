"""What rows to predict have that the training rows do not, or lack: it is predicted as missing, and counted."""

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
    """The categories of all columns that the training rows do not have, and the columns that rows lack.

    Attributes:
        columns: By name, the unknown categories of each column that has any.
        absent: By name, how many rows lack the column.
        offset: The number of rows before those that are being read.
    """

    columns: dict[str, UnseenValues] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    offset: int = 0

    def add(self, name: str, row: int, value: str) -> None:
        """Count a value in the data row ``row``, from 0, of those that are being read."""
        found = self.columns.setdefault(name, UnseenValues(self.offset + row + 1))
        found.rows += 1
        if len(found.examples) < _MOST_EXAMPLES and value not in found.examples:
            found.examples.append(value)

    def add_absent(self, name: str, rows: int) -> None:
        """Count rows that lack a column."""
        if rows:
            self.absent[name] = self.absent.get(name, 0) + rows

    def sentences(self, rows: int) -> list[str]:
        """Return a warning for each column with unknown categories, and for each that is lacking.

        Args:
            rows: The number of rows that were read.
        """
        found = []
        for name, values in self.columns.items():
            examples = ", ".join(map(repr, values.examples))
            found.append(
                f"{name}: {values.rows:,} of {rows:,} rows have a category that the training rows do not have "
                f"({examples}; first in data row {values.first_row}). It is predicted as missing."
            )
        for name, count in self.absent.items():
            whose = "the rows do" if count == rows else f"{count:,} of {rows:,} rows do"
            found.append(f"{name}: {whose} not have this column. It is predicted as missing.")
        return found

    def counts(self) -> Mapping[str, int]:
        """Return by column's name in how many rows it has such a value."""
        return {name: found.rows for name, found in self.columns.items()}
