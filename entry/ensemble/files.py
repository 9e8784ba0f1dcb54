"""CSV and Parquet files as columns: a table in one file, or cut into several."""

from __future__ import annotations

import contextlib
import csv
import functools
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ensemble.errors import InputError, did_you_mean, listed

if TYPE_CHECKING:
    import pandas as pd

CSV, PARQUET = ".csv", ".parquet"
# How the names of the files begin that programs write beside the parts, such as Spark's _SUCCESS.
_HIDDEN = (".", "_")
_PIECE_CHARACTERS = 2**20
# How compressed files begin; no header begins like this.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
}


@dataclass(frozen=True)
class TableFile:
    """An open table.

    Attributes:
        rows: Number of rows.
        column: Reads one column by its name.
    """

    rows: int
    column: Callable[[str], pd.Series[Any]]


def part_names(names: Iterable[str], place: object) -> list[str]:
    """Return the names of the files that are the table in a folder, sorted.

    A part that was overlooked would be rows that are missing, so any file that is not recognised is an error. Names
    that begin with a dot or an underscore are left out: other programs write such files beside the parts.

    Args:
        names: The names in the folder; those of folders end in a slash.
        place: The folder, for messages.

    Raises:
        InputError: The folder does not hold a table, or holds other files too.
    """
    parts = sorted(name for name in names if not name.startswith(_HIDDEN))
    for name in parts:
        if name.endswith("/"):
            raise InputError(f"{place} holds a folder, {name}: the files of a table must be side by side, so move it.")
        if not name.endswith((CSV, PARQUET)):
            raise InputError(
                f"{place} holds {name}, which ends in neither {CSV} nor {PARQUET}: move, unpack or rename it."
            )
    kinds = {Path(name).suffix for name in parts}
    if len(kinds) != 1:
        raise InputError(
            f"{place} holds {f'{CSV} and {PARQUET} files' if kinds else f'no {CSV} or {PARQUET} file'}: a table is one "
            "such file, or several of one kind."
        )
    return parts


def column_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of the columns, in order.

    Args:
        paths: The parts of a table.

    Raises:
        InputError: A part is missing or cannot be read, or the parts have different columns.
    """
    read = _parquet_names if paths[0].suffix == PARQUET else _header
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


def open_table(paths: Sequence[Path], where: Path, names: list[str], texts: Collection[str]) -> TableFile:
    """Open a table.

    Args:
        paths: Its parts, which have the same columns.
        where: Its name in messages.
        names: Its columns, in order.
        texts: Columns of CSV files to read as text, even if they look like numbers.

    Raises:
        InputError: A part is not in the format of its file name.
    """
    return _open_parquet(paths, where) if paths[0].suffix == PARQUET else _open_csv(paths, where, names, texts)


def _open_csv(paths: Sequence[Path], where: Path, names: list[str], texts: Collection[str]) -> TableFile:
    import pandas as pd

    # From version 3.1 on, pandas reads numbers exactly by default, and warns if it is asked to.
    by_itself = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    precision: Literal["round_trip"] | None = None if by_itself else "round_trip"
    source: Any = paths[0] if len(paths) == 1 else _JoinedText(paths)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Without index_col=False, pandas takes the first cell of longer rows as a row name and shifts every column.
            frame = pd.read_csv(
                source,
                header=0,
                names=names,
                dtype=dict.fromkeys(texts, str),
                skipinitialspace=True,
                index_col=False,
                float_precision=precision,
            )
    except pd.errors.ParserWarning:
        raise InputError(
            f"{where} has rows with more cells than its header has names ({len(names)}). "
            "Give every row one cell for each name."
        ) from None
    except UnicodeDecodeError:
        raise _not_utf8(where) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{where} is not a CSV table: {reason}. Give every row one cell for each name.") from None
    return TableFile(len(frame), frame.__getitem__)


class _JoinedText:
    """The text of several CSV files as if it were one file, with the header of the first."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._pieces = _pieces(paths)

    def __iter__(self) -> Iterator[str]:  # pandas requires the method, but calls read
        return self._pieces

    def read(self, size: int = -1) -> str:
        """Return the next piece of the text, or an empty string at its end."""
        return next(self._pieces, "")


def _pieces(paths: Sequence[Path]) -> Iterator[str]:
    piece = ""
    for path in paths:
        if piece and piece[-1] not in "\r\n":
            yield "\n"
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                if path != paths[0]:
                    _first_row(file)
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
                parts.append(file.read(columns=[name], use_pandas_metadata=False))
        try:
            whole = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException:
            types = {str(part.schema.field(name).type): path.name for part, path in zip(parts, paths, strict=True)}
            found = listed(f"{kind} in {path}" for kind, path in types.items())
            raise InputError(f"{where}: column {name!r} is {found}: write all files with one type.") from None
        values: pd.Series[Any] = whole.to_pandas()[name]
        return values

    rows = 0
    for path in paths:
        with _parquet_errors(path), ParquetFile(path) as file:
            rows += file.metadata.num_rows
    return TableFile(rows, column)


def _parquet_names(path: Path) -> list[str]:
    _check_file(path)
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(f"{path} is Parquet, which needs pyarrow here: pip install pyarrow, or give CSV.") from None
    with _parquet_errors(path), ParquetFile(path) as file:
        # As in pandas: without the columns that it stored as the index.
        return [str(name) for name in file.schema_arrow.empty_table().to_pandas().columns]


@contextlib.contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    from pyarrow.lib import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read as Parquet: {reason} Write it again.") from None


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
            raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Give dataset.path=<file>.")
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the file in it as dataset.path.")
        with path.open("rb") as file:
            start = file.read(max(map(len, _COMPRESSED)))
    except PermissionError:
        raise InputError(
            f"{path} cannot be read by this user: change its permissions, or those of its folder."
        ) from None
    for mark, packer in _COMPRESSED.items():
        if start.startswith(mark):
            raise InputError(f"{path} is compressed with {packer}: unpack it, and give the unpacked file.")


def _header(path: Path) -> list[str]:
    _check_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = _first_row(file)
    except (UnicodeDecodeError, csv.Error):
        raise _not_utf8(path) from None
    if first is None:
        raise InputError(f"{path} is empty: a header row and data rows are needed.")
    if any("\0" in name for name in first):
        raise _not_utf8(path)
    return [name.strip() for name in first]


def _first_row(file: Iterable[str]) -> list[str] | None:
    return next((row for row in csv.reader(file, skipinitialspace=True) if row), None)


def _not_utf8(path: Path) -> InputError:
    return InputError(f"{path} is not text in UTF-8: save it as a CSV file in UTF-8.")
