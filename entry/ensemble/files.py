"""CSV and Parquet files as columns: a table in one file, or cut into several."""

from __future__ import annotations

import contextlib
import csv
import functools
import re
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.column_types import are_numbers
from ensemble.csv_cells import first_row, has_nul, has_padded, has_word, quoted_columns
from ensemble.errors import InputError, did_you_mean, listed
from ensemble.file_kinds import START_BYTES, FileKind, kind_of, not_text

if TYPE_CHECKING:
    import pandas as pd

_KINDS: dict[FileKind, str] = {"parquet": "Parquet", "text": "CSV", "npy": "NumPy"}
# How the names of the files begin that programs write beside the parts, such as Spark's _SUCCESS.
_HIDDEN = (".", "_")
_PIECE_CHARACTERS = 2**20
_ROWS_AT_ONCE = 100_000
# The name of the column in which pandas and pyarrow store row numbers and row names without a name.
_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class TableFile:
    """An open table.

    Attributes:
        rows: Number of rows.
        column: Reads one column by its name; its index is the row's number from 0.
        typed: Reads one column as ``column`` does, but true and false in CSV as the text that is typed.
        text: The columns that the file declares as text.
        missing_words: Returns the texts besides the empty one that stand for missing values in a column of text.
    """

    rows: int
    column: Callable[[str], pd.Series[Any]]
    typed: Callable[[str], pd.Series[Any]]
    text: frozenset[str]
    missing_words: Callable[[str], list[str]]


def part_names(names: Iterable[str], place: object) -> list[str]:
    """Return the names of the files that are the table in a folder, sorted.

    A part that was overlooked would be rows that are missing, so every file is a part. Names that begin with a dot or
    an underscore are left out: other programs write such files beside the parts.

    Args:
        names: The names in the folder; those of folders end in a slash.
        place: The folder, for messages.

    Raises:
        InputError: The folder holds no file, or a folder.
    """
    parts = sorted(name for name in names if not name.startswith(_HIDDEN))
    for name in parts:
        if name.endswith("/"):
            raise InputError(f"{place} holds a folder, {name}: the files of a table must be side by side, so move it.")
    if not parts:
        raise InputError(f"{place} holds no CSV or Parquet file: a table is one such file, or several of one kind.")
    return parts


def column_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of the columns, in order.

    Args:
        paths: The parts of a table.

    Raises:
        InputError: A part is missing or cannot be read, or the parts have different columns.
    """
    kinds = {path: _kind(path) for path in paths}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{path.name} ({_KINDS[kind]})" for path, kind in kinds.items())
        raise InputError(
            f"{paths[0].parent} holds files of several kinds: {found}. Give all of one kind, CSV or Parquet."
        )
    read = _parquet_names if kinds[paths[0]] == "parquet" else _header
    first, *others = ((path, read(path)) for path in paths)
    for path, names in others:
        if names != first[1]:
            raise InputError(
                f"{path.name} and {first[0].name} in {path.parent} do not have the same columns: "
                f"{difference(first[1], names, first[0].name, path.name)}. Give all of them the "
                "same columns in the same order."
            )
    return first[1]


def difference(one: Sequence[str], other: Sequence[str], one_name: str, other_name: str) -> str:
    """Describe how two lists of column names differ."""
    only = {one_name: [name for name in one if name not in other], other_name: [n for n in other if n not in one]}
    words = [f"{listed(map(repr, names))} only in {place}" for place, names in only.items() if names]
    return "; ".join(words) or "their order differs"


def open_table(
    paths: Sequence[Path], where: Path, names: list[str], texts: Collection[str], missing: Collection[str]
) -> TableFile:
    """Open a table.

    Args:
        paths: Its parts, which have the same columns.
        where: Its name in messages.
        names: Its columns, in order.
        texts: Columns of CSV files to read as text, even if they look like numbers.
        missing: The texts in CSV files that mean a missing value.

    Raises:
        InputError: A part is not what its first bytes say.
    """
    if _kind(paths[0]) == "parquet":
        return _open_parquet(paths, where)
    for path in paths:
        if has_nul(path):
            raise _not_utf8(path)
    _check_first_row(paths[0], where, len(names))
    file = _CsvFile(paths, where, names, missing)
    frame = file.read(texts)
    _check_short_rows(paths, where, frame)
    large = [name for name in names if name not in texts and _are_large(frame[name], missing)]
    numeric = {place for place, dtype in enumerate(frame.dtypes) if dtype.kind in "iuf" or names[place] in large}
    quoted = [names[place] for place in sorted(quoted_columns(paths, len(names)) & numeric)] if numeric else []
    digits = [name for name in names if frame[name].dtype.kind in "iuf" and _are_digits(frame[name])]
    padded = file.padded([name for name in digits if name not in quoted])
    again = list(dict.fromkeys([*file.mixed(frame), *quoted, *padded, *large]))
    if again:
        read_again = file.read(again, only=again)
        frame = frame.drop(columns=again)

    def column(name: str) -> pd.Series[Any]:
        values: pd.Series[Any] = (read_again if name in again else frame)[name]
        return values

    def typed(name: str) -> pd.Series[Any]:
        found = column(name)
        if not _has_booleans(found):
            return found
        text: pd.Series[Any] = file.read([name], only=[name])[name]
        return text

    def missing_words(name: str) -> list[str]:
        return file.missing_words(name) if column(name).isna().any() else []

    return TableFile(len(frame), column, typed, frozenset(quoted), missing_words)


def _has_booleans(values: pd.Series[Any]) -> bool:
    import pandas as pd

    return pd.api.types.infer_dtype(values, skipna=True) == "boolean"


def _are_large(values: pd.Series[Any], missing: Collection[str]) -> bool:
    """Whether text is numbers that pandas left as text, with the texts for missing values: some exceed 64 bits."""
    if values.dtype.kind in "iufb" or _has_booleans(values):
        return False
    texts = values[~values.isin(list(missing))].dropna().unique().tolist()
    return bool(texts) and are_numbers(texts[:1])[0] and all(are_numbers(texts))


def _are_digits(values: pd.Series[Any]) -> bool:
    """Whether numbers may be written as digits alone."""
    present = values.dropna()
    return len(present) > 0 and bool(((present >= 0) & (present % 1 == 0)).all())


@dataclass(frozen=True)
class _CsvFile:
    """CSV files that are one table.

    Attributes:
        paths: The files, with the same columns.
        where: The table's name in messages.
        names: The columns, in order.
        missing: The texts that mean a missing value.
    """

    paths: Sequence[Path]
    where: Path
    names: list[str]
    missing: Collection[str]

    def read(self, texts: Collection[str], only: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the table, or some of its columns, with the columns ``texts`` as text.

        Raises:
            InputError: The files are not CSV in UTF-8, or a row has more cells than the header.
        """
        with self._open(texts, only, self.missing) as opened:
            frame: pd.DataFrame = opened
        return frame

    @staticmethod
    def mixed(frame: pd.DataFrame) -> list[str]:
        """Return the columns whose type pandas found separately in each piece of the file, with different results."""
        import pandas as pd

        texts = [name for name in frame.columns if frame[name].dtype == object]
        return [name for name in texts if pd.api.types.infer_dtype(frame[name]) not in ("string", "boolean", "empty")]

    def padded(self, names: Sequence[str]) -> list[str]:
        """Return the columns in which a number begins with a zero that is followed by a digit."""
        found: set[str] = set()
        if names and has_padded(self.paths):
            with self._open(names, names, self.missing, chunksize=_ROWS_AT_ONCE) as frames, frames:
                for frame in frames:
                    found |= {name for name in set(names) - found if frame[name].str.match(r"0\d").any()}
        return sorted(found)

    def missing_words(self, name: str) -> list[str]:
        """Return the texts besides the empty one that stand for missing values in a column."""
        words = set(self.missing) - {""}
        if not words or not self._has_words:
            return []
        found: set[str] = set()
        with self._open([name], [name], (), chunksize=_ROWS_AT_ONCE) as frames, frames:
            for frame in frames:
                found |= words & set(frame[name])
        return sorted(found)

    @functools.cached_property
    def _has_words(self) -> bool:
        return has_word(self.paths, set(self.missing) - {""})

    @contextlib.contextmanager
    def _open(
        self, texts: Collection[str], only: Sequence[str] | None, missing: Collection[str], **options: Any
    ) -> Iterator[Any]:
        """Open the files as what pandas makes of them with these options, and close them even after an error."""
        import pandas as pd

        # From version 3.1 on, pandas reads numbers exactly by default, and warns if it is asked to.
        by_itself = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
        # Without index_col=False, pandas takes the first cell of longer rows as a row name and shifts every column.
        with self._errors(), contextlib.ExitStack() as stack:
            source: Any = self.paths[0]
            if len(self.paths) > 1:
                source = stack.enter_context(contextlib.closing(_JoinedText(self.paths)))
            yield pd.read_csv(
                source,
                header=0,
                names=self.names,
                usecols=only,  # type: ignore[arg-type]
                dtype=dict.fromkeys(texts, str),
                skipinitialspace=True,
                index_col=False,
                float_precision=None if by_itself else "round_trip",
                keep_default_na=False,
                na_values=sorted(missing),
                compression=None,
                **options,
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        import pandas as pd

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # such columns are read again
                yield
        except pd.errors.ParserWarning:
            raise InputError(
                f"{self.where} has rows with more cells than its header has names ({len(self.names)}). "
                "Give every row one cell for each name."
            ) from None
        except UnicodeDecodeError:
            raise _not_utf8(self.where) from None
        except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"{self.where} is not a CSV table: {reason}. Give every row one cell for each name."
            ) from None


def _check_first_row(path: Path, where: Path, width: int) -> None:
    """Raise InputError if the first row of values has more cells than the header, which pandas would cut if empty."""
    with path.open(encoding="utf-8-sig", newline="") as file, contextlib.suppress(UnicodeDecodeError, csv.Error):
        first_row(file)
        row = first_row(file)
        if len(row) > width:
            raise InputError(
                f"{where}: data row 1 has {len(row)} cells, but the header has {width}. Give every row one cell for "
                "each name."
            )


def _check_short_rows(paths: Sequence[Path], where: Path, frame: pd.DataFrame) -> None:
    """Raise InputError for a row with fewer cells than the header, whose last column pandas would leave empty."""
    if not frame.iloc[:, -1].isna().any():
        return
    number = 0
    for path in paths:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            rows = (row for row in reader if row and (len(row) > 1 or row[0].strip()))
            next(rows, None)
            for row in rows:
                number += 1
                if len(row) < frame.shape[1]:
                    raise InputError(
                        f"{where}: data row {number} has {len(row)} cells, but the header has {frame.shape[1]}. Give "
                        "every row one cell for each name."
                    )


class _JoinedText:
    """The text of several CSV files as if it were one file, with the header of the first."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._pieces = _pieces(paths)

    def __iter__(self) -> Iterator[str]:  # pandas requires the method, but calls read
        return self._pieces

    def read(self, size: int = -1) -> str:
        """Return the next piece of the text, or an empty string at its end."""
        return next(self._pieces, "")

    def close(self) -> None:
        """Close the file that is being read."""
        self._pieces.close()


def _pieces(paths: Sequence[Path]) -> Generator[str, None, None]:
    piece = ""
    for path in paths:
        if piece and piece[-1] not in "\r\n":
            yield "\n"
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                if path != paths[0]:
                    first_row(file)
                for piece in iter(functools.partial(file.read, _PIECE_CHARACTERS), ""):
                    yield piece
        except UnicodeDecodeError:
            raise _not_utf8(path) from None


def _open_parquet(paths: Sequence[Path], where: Path) -> TableFile:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    def column(name: str) -> pd.Series[Any]:
        # One column at a time, so that the whole table is never in memory.
        parts = []
        for path in paths:
            with _parquet_errors(path), ParquetFile(path) as file:
                parts.append(file.read(columns=[name], use_pandas_metadata=False).select([name]))
        try:
            whole = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException:
            types = {str(part.schema.field(name).type): path.name for part, path in zip(parts, paths, strict=True)}
            found = listed(f"{kind} in {path}" for kind, path in types.items())
            raise InputError(f"{where}: column {name!r} is {found}: write all files with one type.") from None
        # What pandas has stored in the file beside the columns is ignored: row numbers are places in the file.
        values: pd.Series[Any] = whole.to_pandas(ignore_metadata=True)[name]
        return values

    rows, text = 0, set()
    for path in paths:
        with _parquet_errors(path), ParquetFile(path) as file:
            rows += file.metadata.num_rows
            text |= {field.name for field in file.schema_arrow if _is_text(field.type)}
    # Strings in Parquet are what they are: only null is missing.
    return TableFile(rows, column, column, frozenset(text), lambda _: [])


def _is_text(type_: Any) -> bool:
    import pyarrow as pa

    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(type_) for is_kind in kinds)


def _parquet_names(path: Path) -> list[str]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(f"{path} is Parquet, which needs pyarrow here: pip install pyarrow, or give CSV.") from None
    with _parquet_errors(path), ParquetFile(path) as file:
        return [name for name in file.schema_arrow.names if not _INDEX.fullmatch(name)]


@contextlib.contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    from pyarrow.lib import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read as Parquet: {reason} Write it again.") from None


def _kind(path: Path) -> FileKind:
    """Return what a file is.

    Raises:
        InputError: There is no such file, or it is not a table.
    """
    try:
        if not path.exists():
            near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
            raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Give dataset.path=<file>.")
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the file in it as dataset.path.")
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except PermissionError:
        raise InputError(
            f"{path} cannot be read by this user: change its permissions, or those of its folder."
        ) from None
    kind = kind_of(start)
    if kind == "npy":
        raise InputError(f"{path} is a NumPy array, whose columns have no names: save it as CSV or Parquet with names.")
    reason = not_text(start) if kind == "text" else None
    if reason is not None:
        raise InputError(f"{path} {reason}.")
    return kind


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = first_row(file)
    except (UnicodeDecodeError, csv.Error):
        raise _not_utf8(path) from None
    if not first:
        raise InputError(f"{path} is empty: a header row and data rows are needed.")
    return first


def _not_utf8(path: Path) -> InputError:
    return InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.")
