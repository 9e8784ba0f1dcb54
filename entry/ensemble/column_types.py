"""Find out what a column holds, from all its values together, so that neither their order nor a part decides."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ensemble.arguments import as_argument, quoted
from ensemble.errors import CellError, InputError, did_you_mean, listed
from ensemble.table import MISSING, Column, missing_texts
from ensemble.written_numbers import DECIMAL_MARKS, SHARES, written_number

if TYPE_CHECKING:
    import pandas as pd

# What ``dataset.columns`` can declare; ``decimal_comma`` is a number such as 1.234,5.
DeclaredType = Literal["number", "decimal_comma", "category", "date", "boolean"]
# Texts that stand for a missing value if every other cell of the column is a number, a date, or true or false.
_MARKS = "- -- --- \u2013 \u2014 ? ?? . .. ... * \\N (null) #VALUE! #DIV/0! #REF! #NAME? #NUM! #NULL!"
_WORDS = "na n.a. n.a n/a nan nil none null missing unknown undefined"
PLACEHOLDERS = MISSING.union(_MARKS.split(), *((word, word.upper(), word.capitalize()) for word in _WORDS.split()))
# Whether a time has no time zone, UTC, or another one.
Zone = Literal["", "utc", "zoned"]
_UTC_NAMES = ("UTC", "Etc/UTC", "Z", "+00:00", "UTC+00:00")
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_ZONE = re.compile(r"[T ].*?(Z|z|[+-]\d{2}(?::?\d{2})?)$")
_NOTATIONS = {".": "number", ",": "decimal_comma"}
_UTC = re.compile(r"Z|z|[+-]00(:?00)?")
CODE = re.compile(r"\d+", re.ASCII)
_PADDED = re.compile(r"0\d+", re.ASCII)
# Dates that are not ISO dates, such as 31.12.2024, 12/31/24, 2024/12/31, 31-Dec-2024 and Dec 31, 2024.
_OTHER_DATE = re.compile(
    r"(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2(?:\d{2}|\d{4})|\d{1,2}[. -]+[^\W\d_]{3,9}\.?[ ,-]+\d{2,4}"
    r"|[^\W\d_]{3,9}\.? \d{1,2},? \d{4})(?:[T ,].*)?"
)
# Numbers with a unit, and units that are factors.
_MEASURED = re.compile(r"[+-]?(?:\d[\d.,]*|[.,]\d+) ?([^\W\d_]{1,4}[\xb2\xb3]?|\xb0[CF]?)")
_LARGE = frozenset(["k", "K", "M", "m", "B", "b", "T", "Mio", "Mrd", "bn", "mn", "tn"])
# The Python types of Parquet's dates and decimals in pandas, and the dtypes that can hold their values.
TYPED: dict[type, str] = {dt.date: "datetime64[s]", decimal.Decimal: "float64"}


def column_key(name: str, declared: str) -> str:
    """Return the argument that declares what a column holds, quoted for a shell."""
    written = name if re.fullmatch(r"[\w ]+", name) else quoted(name)
    return as_argument(f"dataset.columns.{written}", declared)


def check_declared(types: Mapping[str, str]) -> None:
    """Raise InputError if a declared type is not one of ``DeclaredType``."""
    for name, declared in types.items():
        if declared not in get_args(DeclaredType):
            raise InputError(
                f"dataset.columns: {name!r} is {declared!r}, which is not a type."
                f"{did_you_mean(declared, get_args(DeclaredType))} It can be: {listed(get_args(DeclaredType))}."
            )


def described(
    values: pd.Series[Any],
    path: Path,
    name: str,
    declared: str | None = None,
    missing: tuple[str, ...] | None = None,
    *,
    text: bool = False,
) -> tuple[Column, tuple[str, ...]]:
    """Describe a column by its values.

    Args:
        values: The column, in any dtype that pandas reads.
        path: The file, for messages.
        name: The column's name.
        declared: The type that the user declares; None to recognise it.
        missing: The texts that mean a missing value besides the empty one; None for those of ``MISSING``.
        text: Whether the file declares the column as text, which is not taken for numbers.

    Returns:
        The column, and sentences about what it could be instead.

    Raises:
        CellError: The column holds values of no type, or a cell that does not fit what most others are.
    """
    import pandas as pd

    if declared is not None:
        return _declared(values, path, name, declared, missing)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _category(values, name, missing), ()
    found = of_dtype(values, name, missing)
    if found is not None:
        return found, ()
    present = values.dropna()
    check_cells(present, path, name)
    return _described_text(present, path, name, missing, text=text)


def of_dtype(values: pd.Series[Any], name: str, missing: tuple[str, ...] | None = None) -> Column | None:
    """Return the column if its dtype or its Python type says what it is."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values.dtype):
        return Column(name, "boolean", missing=missing)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return Column(name, "date", missing=missing, zoned=zone_of(values.dt.tz) == "zoned")
    if pd.api.types.is_numeric_dtype(values.dtype):
        return Column(name, missing=missing)
    present = values.dropna()
    for python_type, dtype in TYPED.items():
        if len(present) and all(isinstance(value, python_type) for value in present):
            return Column(name, "date" if dtype.startswith("d") else "number", missing=missing)
    return None


def check_cells(present: pd.Series[Any], path: Path, name: str) -> None:
    """Raise CellError if a value is not one that a cell can hold."""
    import pandas as pd

    if pd.api.types.infer_dtype(present) == "string":
        return
    for row, value in zip(present.index, present, strict=True):
        if not isinstance(value, str | bool | int | float):
            kind = type(value).__name__
            raise CellError(
                f"{path}: column {name!r} holds a {kind} in data row {row + 1}: convert it, or leave it out with "
                f"{as_argument('dataset.drop', [name])}.",
                column=name,
                row=int(row) + 1,
                expected="a number, text, a date, true or false",
                got=kind,
            )


def canonical_text(value: Any) -> str:
    """Return a value as the text of a category: a whole number is written without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def zone_of(zone: object) -> Zone:
    """Return what the time zone of a column of Parquet is; None for no time zone."""
    return "" if zone is None else "utc" if str(zone) in _UTC_NAMES else "zoned"


def zones_of(texts: Sequence[str]) -> list[Zone]:
    """Return for each ISO date what its time zone is."""
    found: list[Zone] = []
    for text in texts:
        zone = _ZONE.search(text)
        found.append("" if zone is None else "utc" if _UTC.fullmatch(zone[1]) else "zoned")
    return found


def number_hint(texts: Sequence[str], name: str) -> str:
    """Return how numbers in another notation are read, or an empty string if most texts are not such numbers."""
    found = _notation(dict.fromkeys(texts, 1), name)
    return "" if found is None else f" If {found.example!r} is a number: {found.ways}."


def _declared(
    values: pd.Series[Any], path: Path, name: str, declared: str, missing: tuple[str, ...] | None
) -> tuple[Column, tuple[str, ...]]:
    import pandas as pd

    if declared == "category":
        return _category(values, name, missing), ()
    typed = pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype)
    texts = texts_of(values.iloc[:0] if typed else values.dropna(), missing)
    counts = {str(value): int(count) for value, count in texts.value_counts().items()}
    marks = {value: count for value, count in counts.items() if value in PLACEHOLDERS}
    words = _with_marks(missing, marks)
    if declared == "date":
        zoned = isinstance(values.dtype, pd.DatetimeTZDtype) and zone_of(values.dt.tz) == "zoned"
        zoned = zoned or _is_zoned(texts[texts.str.fullmatch(ISO_DATE.pattern).astype(bool)], path, name)
        column = Column(name, "date", missing=words, zoned=zoned)
    elif declared == "boolean":
        column = Column(name, "boolean", missing=words)
    else:
        # Numbers that are all written plainly are what they would be without the declaration.
        plain = all(are_numbers([value for value in counts if value not in marks]))
        decimal = "," if declared == "decimal_comma" else "" if plain else "."
        column = Column(name, missing=words, decimal=decimal)
    return column, (_marks_note(column, marks, len(texts)),) if marks else ()


def _with_marks(missing: tuple[str, ...] | None, marks: Mapping[str, int]) -> tuple[str, ...] | None:
    """Return the declared texts for missing values and the placeholders that a column has besides."""
    return tuple(sorted({*missing_texts(missing), *marks} - {""})) if marks else missing


def _described_text(
    present: pd.Series[Any], path: Path, name: str, missing: tuple[str, ...] | None, *, text: bool
) -> tuple[Column, tuple[str, ...]]:
    texts = texts_of(present, missing)
    counts = {str(value): int(count) for value, count in texts.value_counts().items()}
    if not counts:
        return Column(name, missing=missing), ()
    marks = {value: count for value, count in counts.items() if value in PLACEHOLDERS}
    cells = {value: count for value, count in counts.items() if value not in marks}
    if not cells:
        return _category(texts, name, missing), ()
    words = _with_marks(missing, marks)
    plain = dict(zip(cells, are_numbers(list(cells)), strict=True))
    dated = {value: ISO_DATE.fullmatch(value) is not None for value in cells}
    share = share_of(cells, plain)
    column: Column | None = None
    if {value.lower() for value in cells} <= {"true", "false"}:
        column = Column(name, "boolean", missing=words)
    elif share == 1 and not text and not are_codes(cells):
        column = Column(name, missing=words)
    elif share_of(cells, dated) >= 0.5:
        dates = texts[[dated.get(value, False) for value in texts]]
        column = Column(name, "date", missing=words, zoned=_is_zoned(dates, path, name))
    if column is not None:
        return column, (_marks_note(column, marks, len(present)),) if marks else ()
    return _category(texts, name, missing), _notes(texts, cells, plain, path, name, text=text)


def _notes(
    texts: pd.Series[Any], cells: Mapping[str, int], plain: Mapping[str, bool], path: Path, name: str, *, text: bool
) -> tuple[str, ...]:
    """Return a sentence about a category whose texts may be numbers.

    Raises:
        CellError: Most cells are numbers with fractions, and one is not a number.
    """
    notation = _notation(cells, name)
    if notation is not None:
        return (_notation_note(notation, name),)
    share = share_of(cells, plain)
    if share == 1:
        padded = next((value for value in sorted(cells) if _PADDED.fullmatch(value)), None)
        why = "are text in the file" if padded is None else f"may be codes, such as {padded!r}"
        return (f"{name}: the numbers {why}, and are read as categories; {column_key(name, 'number')} reads numbers",)
    if share >= 0.5:
        if not text:
            _check_measured(texts, cells, plain, path, name)
        return (_codes_note(texts, plain, name),)
    return _other_note(cells, name)


def is_other_date(text: str) -> bool:
    """Whether a text seems to be a date, and is not an ISO date."""
    return _OTHER_DATE.fullmatch(text.strip()) is not None


def _other_note(cells: Mapping[str, int], name: str) -> tuple[str, ...]:
    """Return a sentence about texts of which most are dates in another notation, or numbers with a unit."""
    dates = {value: is_other_date(value) for value in cells}
    if share_of(cells, dates) >= 0.5:
        example = next(value for value in sorted(cells) if dates[value])
        fix = f"write 2024-12-31, or leave them out with {as_argument('dataset.drop', [name])}"
        return (f"{name}: dates such as {example!r} are read as categories; {fix}",)
    found = {value: _MEASURED.fullmatch(value.strip()) for value in cells}
    units = {match[1] for match in found.values() if match is not None}
    large = units <= _LARGE
    share = share_of(cells, {value: match is not None for value, match in found.items()})
    if len(cells) > 2 and share >= 0.5 and (large or len(units) == 1):
        example = next(value for value in sorted(cells) if found[value] is not None)
        what = "in full" if large else f"without {next(iter(units))!r}"
        return (f"{name}: numbers such as {example!r} are read as categories; to read numbers, write them {what}",)
    return ()


def texts_of(present: pd.Series[Any], missing: tuple[str, ...] | None) -> pd.Series[Any]:
    """Return the values as text, without those that are declared as missing."""
    texts = present.astype("object").map(lambda value: value if isinstance(value, str) else canonical_text(value))
    texts = texts.astype("object")
    return texts if missing is None else texts[~texts.isin(list(missing_texts(missing)))]


def _category(values: pd.Series[Any], name: str, missing: tuple[str, ...] | None) -> Column:
    found = {canonical_text(value) for value in values.dropna().astype("object").unique()}
    gone = frozenset() if missing is None else missing_texts(missing)
    return Column(name, "category", tuple(sorted(found - gone)), missing)


def are_numbers(texts: Sequence[str]) -> list[bool]:
    """Return for each text whether it is a plain number."""
    import pandas as pd

    return [bool(found) for found in pd.to_numeric(pd.Series(texts, dtype="object"), errors="coerce").notna()]


def are_codes(texts: Collection[str]) -> bool:
    """Whether numbers are codes: all of them digits, and one with a zero in front that a number would lose."""
    return any(map(_PADDED.fullmatch, texts)) and all(map(CODE.fullmatch, texts))


def share_of(counts: Mapping[str, int], chosen: Mapping[str, bool]) -> float:
    """Return the share of cells, counted by their text, whose text is chosen; 1 if there are no cells."""
    whole = sum(counts.values())
    return sum(count for value, count in counts.items() if chosen[value]) / whole if whole else 1.0


def _is_zoned(dates: pd.Series[Any], path: Path, name: str) -> bool:
    """Return whether times have a time zone other than UTC, which is what a time without one is in.

    Raises:
        CellError: Some have one, and others do not.
    """
    zones = zones_of(list(dates))
    if "zoned" not in zones or "" not in zones:
        return "zoned" in zones
    row = int(dates.index[zones.index("")]) + 1
    raise CellError(
        f"{path}: column {name!r} holds times with a time zone, but {dates[row - 1]!r} in data row {row} has none: "
        "write all of them with a time zone, or all without.",
        column=name,
        row=row,
        expected="a time with a time zone",
        got=repr(dates[row - 1]),
    )


def _marks_note(column: Column, marks: Mapping[str, int], rows: int) -> str:
    words = {"number": "numbers", "date": "dates", "boolean": "true or false"}[column.type]
    named = ", ".join(repr(value) for value in sorted(marks))
    return (
        f"{column.name}: {named} in {sum(marks.values())} of {rows} cells is read as missing in a column of "
        f"{words}. To keep it as a value: {column_key(column.name, 'category')}"
    )


@dataclass(frozen=True)
class _Notation:
    """Numbers in another notation: an example, the keys that read it and what as, and cells that are not numbers."""

    example: str
    ways: str
    others: tuple[str, ...]


def _notation(cells: Mapping[str, int], name: str) -> _Notation | None:
    """Return the notation if most cells are numbers, and not all of these plain ones."""
    read = {mark: {value: written_number(value, mark) for value in cells} for mark in DECIMAL_MARKS}
    share = {mark: share_of(cells, {value: found is not None for value, found in read[mark].items()}) for mark in read}
    likely = [mark for mark in DECIMAL_MARKS if share[mark] == max(share.values()) >= 0.5]
    numbers = [value for value in sorted(cells) if likely and read[likely[0]][value] is not None]
    written = [value for value, plain in zip(numbers, are_numbers(numbers), strict=True) if not plain]
    if not written:
        return None
    if all(len({read[mark][value] for mark in likely}) == 1 for value in numbers):
        likely = likely[:1]
    # The example is one that the keys read differently, if there is one.
    example = next((value for value in written if len({read[mark][value] for mark in likely}) > 1), written[0])
    units = {found[1] for value in numbers if (found := read[likely[0]][value]) is not None} - {""}
    ways = " and ".join(
        f"{column_key(name, _NOTATIONS[mark])} reads it as {found[0]:.15g}"
        for mark in likely
        if (found := read[mark][example]) is not None
    )
    shares = {next((unit for unit in SHARES if unit in value), "") for value in numbers}
    if len(units) > 1:
        ways = f"convert them to one of {', '.join(sorted(units))}"
    elif len(shares) > 1:
        ways = f"only some have {' or '.join(sorted(shares - {''}))}: write all of them alike"
    return _Notation(example, ways, tuple(sorted(set(cells) - set(numbers))))


def _notation_note(notation: _Notation, name: str) -> str:
    sentence = f"{name}: numbers such as {notation.example!r} are read as categories; {notation.ways}"
    if not notation.others:
        return sentence
    others = ", ".join(map(repr, notation.others[:3])) + (", ..." if len(notation.others) > 3 else "")
    return f"{sentence}, once {others} is corrected, or declared as missing with dataset.missing"


def _check_measured(
    texts: pd.Series[Any], cells: Mapping[str, int], plain: Mapping[str, bool], path: Path, name: str
) -> None:
    """Raise CellError if most cells are numbers with fractions: the others are then mistakes, and not codes."""
    measured = any(plain[value] and not CODE.fullmatch(value.lstrip("+-")) for value in cells)
    if not measured:
        return
    wrong = texts[[not plain.get(value, True) for value in texts]]
    row, got = int(wrong.index[0]) + 1, repr(str(wrong.iloc[0]))
    raise CellError(
        f"{path}: column {name!r} holds text in data row {row}: {got}, where numbers are expected: empty the cell, "
        f"declare it as missing with {as_argument('dataset.missing', [str(wrong.iloc[0])])}, read the column as "
        f"categories with {column_key(name, 'category')}, or leave it out with {as_argument('dataset.drop', [name])}.",
        column=name,
        row=row,
        expected="a number",
        got=got,
    )


def _codes_note(texts: pd.Series[Any], plain: Mapping[str, bool], name: str) -> str:
    wrong = [not plain.get(value, True) for value in texts]
    first = texts[wrong]
    return (
        f"{name}: {len(texts) - sum(wrong)} of {len(texts)} cells are numbers, but {first.iloc[0]!r} in data row "
        f"{int(first.index[0]) + 1} is not, so all are read as categories. If they are codes: "
        f"{column_key(name, 'category')}. If they are numbers: correct the cell, or declare it as missing with "
        "dataset.missing"
    )
