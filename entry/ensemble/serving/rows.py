"""The rows of requests, and their features in the order of the model's columns: by name if the rows have names."""

from __future__ import annotations

import abc
import csv
import difflib
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from ensemble import csv_cells
from ensemble.arrays import Floats
from ensemble.errors import did_you_mean
from ensemble.reading import OTHER_MARKS
from ensemble.serving.cells import check_numbers, column_numbers
from ensemble.serving.errors import RequestError, unfit, unreadable_body
from ensemble.serving.unseen import Unseen
from ensemble.table import Column

if TYPE_CHECKING:
    import pandas as pd

# With more names, the search for the nearest one would take seconds.
_MOST_NAMES = 1_000
# How alike names are, from 0 to 1, if one is the other misspelt: "twon" and "town", but not "id" and "width".
_MISSPELT = 0.75
_MOST_UNKNOWN = 100
# A line that ends the text, and a row of its own unless a quote is open; text has no NUL.
_END = "\0"
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+$")
_NUMBERS_ONLY = b"0123456789+-.eE,\n \r"


class Rows(abc.ABC):
    """The rows of one request, read from its body but not yet matched to the columns of a model."""

    @abc.abstractmethod
    def features(self, columns: Sequence[Column], unseen: Unseen | None = None) -> Floats:
        """Return the features, coded as in training: shape (rows, columns), float64, NaN where missing.

        Args:
            columns: How the model codes its columns.
            unseen: Counts unknown categories and lacking columns, if it is given.

        Raises:
            RequestError: The rows do not fit; the error has the column, what was expected and what was found.
        """

    def named(self) -> tuple[Sequence[str], Sequence[Any]] | None:
        """Return the names of the columns and their values as they were given, or None if columns have no names."""
        return None


@dataclass(frozen=True)
class Values(Rows):
    """Columns of values.

    Attributes:
        names: Column names; None if columns go by position.
        columns: The values of each column, of equal length: a list, an array or a pandas series.
        text: Whether all values are text, as in CSV.
        flat: Whether the body was a flat list: one row, or one value per row for a model with one column.
    """

    names: Sequence[str] | None
    columns: Sequence[Any]
    text: bool = False
    flat: bool = False

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Values:
        """Return the columns of a frame, without its index."""
        frame = frame.reset_index(drop=True)
        return cls([str(name) for name in frame.columns], [frame.iloc[:, place] for place in range(frame.shape[1])])

    def features(self, columns: Sequence[Column], unseen: Unseen | None = None) -> Floats:
        """Return the features; columns that the model does not have are ignored."""
        found = self._by_column(columns)
        rows = len(next(values for values in found if values is not None))
        if rows == 0:
            raise no_rows()
        features = np.full((rows, len(columns)), np.nan, dtype=np.float64)
        for place, (column, values) in enumerate(zip(columns, found, strict=True)):
            if values is not None:
                features[:, place] = column_numbers(column, values, text=self.text, unseen=unseen)
            elif unseen is not None:
                unseen.add_absent(column.name, rows)
        check_numbers(features, columns)
        return features

    def named(self) -> tuple[Sequence[str], Sequence[Any]] | None:
        """Return names and columns."""
        return None if self.names is None else (self.names, self.columns)

    def _by_column(self, columns: Sequence[Column]) -> list[Any]:
        """Return the values of each column, None for one that may be lacking and is; one column at least has values."""
        if self.names is None:
            given = self.columns
            if self.flat and len(columns) == 1:
                given = [[values[0] for values in given]]
            check_width(len(given), columns)
            found = list(given)
        else:
            check_absent(columns, self.names)
            places = {name: place for place, name in enumerate(self.names)}
            found = []
            for column in columns:
                if column.name not in places:
                    found.append(None)
                    continue
                if len(places) < len(self.names) and list(self.names).count(column.name) > 1:
                    raise unfit(
                        f"column {column.name!r} is given twice.", column=column.name, expected="one", got="two"
                    )
                found.append(self.columns[places[column.name]])
        return found


@dataclass(frozen=True)
class Records(Rows):
    """Rows as records.

    Attributes:
        records: One mapping of column names to values per row.
    """

    records: Sequence[Mapping[str, Any]]

    def features(self, columns: Sequence[Column], unseen: Unseen | None = None) -> Floats:
        """Return the features; names that the model does not have are ignored."""
        if not self.records:
            raise no_rows()
        try:
            found = [[record[column.name] for record in self.records] for column in columns]
        except KeyError:
            found = self._with_gaps(columns, unseen)
        return Values([column.name for column in columns], found).features(columns, unseen)

    def named(self) -> tuple[Sequence[str], Sequence[Any]] | None:
        """Return every name that a record has, and its values, None in a record that lacks it."""
        names = list(dict.fromkeys(itertools.chain(*self.records)))
        return names, [[record.get(name) for record in self.records] for name in names]

    def _with_gaps(self, columns: Sequence[Column], unseen: Unseen | None) -> list[list[Any]]:
        """Return the values of each column, None where a record lacks it."""
        known = {column.name for column in columns}
        absent = []
        for column in columns:
            rows = [row for row, record in enumerate(self.records) if column.name not in record]
            if rows and not column.optional:
                raise _missing_column(column, list(self.records[rows[0]]), rows[0] + 1)
            absent += [column] * bool(rows)
            if unseen is not None:
                unseen.add_absent(column.name, len(rows))
        for row, record in enumerate(self.records):
            if known.isdisjoint(record):
                raise _missing_column(columns[0], list(record), row + 1)
        _check_spelling(columns, absent, dict.fromkeys(itertools.chain(*self.records)))
        return [[record.get(column.name) for record in self.records] for column in columns]


@dataclass(frozen=True)
class Matrix(Rows):
    """Numbers by position.

    Attributes:
        values: Shape (rows, columns), float64; NaN where missing, 1 and 0 for true and false.
    """

    values: Floats

    def features(self, columns: Sequence[Column], unseen: Unseen | None = None) -> Floats:
        """Return the features; a number in a category's column stands for the level with that text."""
        check_width(self.values.shape[1], columns)
        if len(self.values) == 0:
            raise no_rows()
        if not all(column.is_plain for column in columns):
            return Values(None, list(self.values.T)).features(columns, unseen)
        check_numbers(self.values, columns)
        return self.values


@dataclass(frozen=True)
class Csv(Rows):
    """CSV text, with or without a header.

    Attributes:
        body: The text in UTF-8.
        header: Whether the first row is a header; None to decide by its cells.
    """

    body: bytes
    header: bool | None = None

    def features(self, columns: Sequence[Column], unseen: Unseen | None = None) -> Floats:
        """Return the features; if ``header`` is None, ``is_header`` decides."""
        names, rest = first_row(self.body)
        _check_separator(names, columns)
        header = is_header(names, columns) if self.header is None else self.header
        body = rest if header else self.body
        plain = all(column.is_plain for column in columns)
        if plain and not body.translate(None, _NUMBERS_ONLY):
            matrix = _numbers(body)
            if matrix is not None and (not header or matrix.shape[1] == len(names)):
                return (Values(names, list(matrix.T)) if header else Matrix(matrix)).features(columns, unseen)
        given = Values(names if header else None, self._columns(body, len(names)), text=True)
        return given.features(columns, unseen)

    def named(self) -> tuple[Sequence[str], Sequence[Any]] | None:
        """Return the header and the cells of each column as text, or None without ``header``."""
        if not self.header:
            return None
        names, rest = first_row(self.body)
        return names, self._columns(rest, len(names))

    @staticmethod
    def _columns(body: bytes, width: int) -> list[list[str]]:
        try:
            text = body.decode("utf-8")
            lines = itertools.chain(io.StringIO(text, newline=""), [_END])
            rows = list(csv.reader(lines, skipinitialspace=True))
        except UnicodeDecodeError:
            raise unreadable_body("text in UTF-8", "it has other bytes.") from None
        except csv.Error as error:
            raise unreadable_body("CSV", f"{error}.") from None
        if rows.pop() != [_END]:  # the quote has taken in all rows after it
            raise unreadable_body("CSV", "a quote is not closed.")
        rows = _without_blank(rows, width)
        for number, row in enumerate(rows):
            if len(row) != width:
                raise unfit(
                    f"data row {number + 1} has {_count(len(row), 'cell')}, but the first row has {width}.",
                    row=number + 1,
                    expected=_count(width, "cell"),
                    got=_count(len(row), "cell"),
                )
        return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _check_separator(names: Sequence[str], columns: Sequence[Column]) -> None:
    """Raise RequestError if the first row has one cell, in which another mark than the comma is between columns."""
    mark = next((mark for mark in OTHER_MARKS if mark in names[0]), None) if len(names) == 1 else None
    if mark is not None and len(columns) > 1:
        raise unfit(
            f"the rows seem to be separated by {mark!r}: send commas between columns, and points in numbers.",
            expected="commas between the columns",
            got=repr(mark),
        )


def _without_blank(rows: list[list[str]], width: int) -> list[list[str]]:
    """Return rows without blank lines. Between the rows of one column, a blank line may be a row: it is refused."""
    kept = [row for row in rows if row and (width == 1 or len(row) > 1 or row[0].strip())]
    while width == 1 and rows and not rows[-1]:
        rows.pop()
    if width == 1 and len(rows) > len(kept) and [] in rows[next(place for place, row in enumerate(rows) if row) :]:
        row = rows.index([]) + 1
        raise unfit(
            f'data row {row} is a blank line: write "" for a missing value, or leave the line out.',
            row=row,
            expected="a value",
            got="a blank line",
        )
    return kept


def is_header(cells: Sequence[str], columns: Sequence[Column]) -> bool:
    """Return whether the first row of CSV text is a header, and not a row of values.

    It is a row of values if no cell is the name of a column, or if every cell is a value of the column at its place. If
    the names are numbers, a row can be both: it is a header if it has the names in the model's order.

    Raises:
        RequestError: The row has all names in another order, and is a row of values too.
    """
    names = [column.name for column in columns]
    if not set(cells) & set(names):
        return False
    if list(cells) == names:
        return True
    if len(cells) != len(columns) or not all(map(_fits, columns, cells)):
        return True
    if sorted(cells) == sorted(names):
        raise unfit(
            f"the first row, {','.join(cells[:20])}, is both a header and a row of values. Say which it is: "
            "header=present or header=absent, in the Content-Type (text/csv; header=absent) or as an argument of "
            "run.py.",
            row=1,
            expected="a header or a row of values",
            got=",".join(cells[:20]),
        )
    return False


def _fits(column: Column, cell: str) -> bool:
    """Whether a text is a value of a column that its training rows have, or a missing one."""
    try:
        number = column_numbers(column, [cell], text=True)[0]
    except RequestError:
        return False
    return cell in column.missing_texts or not np.isnan(number)


def check_width(width: int, columns: Sequence[Column]) -> None:
    """Raise RequestError unless a row of ``width`` values has one for each column."""
    if width != len(columns):
        names = ", ".join(column.name for column in columns)
        raise unfit(
            f"a row has {_count(width, 'value')}, but the model has {_count(len(columns), 'column')}. Give them by "
            f"name, or in this order: {names}.",
            expected=_count(len(columns), "value"),
            got=_count(width, "value"),
        )


def check_absent(columns: Sequence[Column], names: Iterable[Any]) -> None:
    """Check that rows with the columns ``names`` lack only what they may, and have none of it under a misspelt name.

    Raises:
        RequestError: A column is missing.
    """
    given = dict.fromkeys(names)
    absent = [column for column in columns if column.name not in given]
    for column in absent:
        if not column.optional or len(absent) == len(columns):
            raise _missing_column(column, list(given))
    _check_spelling(columns, absent, given)


def _check_spelling(columns: Sequence[Column], absent: Sequence[Column], given: Iterable[Any]) -> None:
    """Raise RequestError if a column that may be lacking seems to be there under a misspelt name."""
    if not absent:
        return
    known = {column.name for column in columns}
    unknown = list(itertools.islice((name for name in given if name not in known), _MOST_UNKNOWN))
    folded = [str(name).casefold() for name in unknown]
    for column in absent:
        if difflib.get_close_matches(column.name.casefold(), folded, n=1, cutoff=_MISSPELT):
            raise _missing_column(column, unknown)


def _missing_column(column: Column, names: Sequence[Any], row: int | None = None) -> RequestError:
    """Return an error for a column that the request, or its data row ``row`` (from 1), does not have."""
    shown = [str(name) for name in names[:_MOST_NAMES]]
    place = "" if row is None else f" in data row {row}"
    came = ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "")
    return unfit(
        f"column {column.name!r} is missing{place}.{did_you_mean(column.name, shown)} Write null, or an empty cell, "
        "for an unknown value. Only a column in which training rows miss values may be left out, spelt correctly.",
        column=column.name,
        row=row,
        expected=f"a {column.type}",
        got=f"the columns {came}" if shown else "no column",
    )


def no_rows() -> RequestError:
    """Return an error for a request without rows."""
    return unfit("the request has no rows.", expected="at least one row", got="none")


def _numbers(body: bytes) -> Floats | None:
    """Return a body of plain numbers and commas as a matrix, or None if it is not that simple."""
    lines = body.strip().replace(b"\r\n", b"\n")
    if b"\r" in lines:
        return None
    text = b"[[" + lines.replace(b"\n", b"],[") + b"]]"
    try:
        matrix = np.array(_parsed(text), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return matrix if matrix.ndim == 2 and matrix.shape[1] else None


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # only now, since the search for empty cells takes as long as parsing
        text = text.replace(b",,", b",null,").replace(b",,", b",null,")
        return orjson.loads(text.replace(b"[,", b"[null,").replace(b",]", b",null]"))


def first_row(body: bytes) -> tuple[list[str], bytes]:
    """Return the cells of the first row, which may span several lines, and the rest of the body.

    Raises:
        RequestError: The body is not CSV in UTF-8.
    """
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        for line in _LINE.finditer(body):
            end = line.end()
            yield line[0].decode("utf-8" if line.start() else "utf-8-sig")

    try:
        return csv_cells.first_row(lines()), body[end:]
    except (UnicodeDecodeError, csv.Error):
        raise unreadable_body("CSV in UTF-8", "its first row cannot be read.") from None


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
