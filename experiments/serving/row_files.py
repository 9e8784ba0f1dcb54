"""Files of rows, read a chunk at a time, and files of predictions, written a chunk at a time."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.file_kinds import START_BYTES, kind_of, not_text
from experiments.errors import ConfigError
from experiments.serving.kept_columns import ALL, Keep, as_text, values_of

if TYPE_CHECKING:
    from ensemble.serving.media_types import Detail
    from ensemble.serving.prediction import Prediction
    from ensemble.serving.rows import Rows
    from ensemble.table import Column

CHUNK_BYTES = 4 * 2**20
CHUNK_ROWS = 50_000
# By name, the columns of a chunk that are written beside its predictions.
Kept = Mapping[str, Any]
# Whether the first row of a CSV file of rows is a header.
HEADERS = ("present", "absent")


@dataclass(frozen=True)
class Chunk:
    """A part of a file.

    Attributes:
        rows: Its rows.
        done: How much of the file has been read up to its end, in the unit of ``Source.total``.
        typed: Names and columns to choose kept ones from, with their types; None if ``rows`` has all there is.
    """

    rows: Rows
    done: int
    typed: tuple[Sequence[str], Sequence[Any]] | None = None

    def named(self) -> tuple[Sequence[str], Sequence[Any]] | None:
        """Return the names of the columns and their values as they are in the file, or None if they have no names."""
        return self.rows.named() if self.typed is None else self.typed


@dataclass(frozen=True)
class Source:
    """An input file.

    Attributes:
        total: Its size: in rows if their number is known, else in bytes.
        chunks: Yields its parts in order, for a model with these columns, and for columns to keep.
    """

    total: int
    chunks: Callable[[Sequence[Column], Keep], Iterator[Chunk]]


def open_rows(path: Path, header: str | None) -> Source:
    """Open a file of rows: Parquet or a .npy array by its first bytes, else JSON lines or CSV by its first character.

    Args:
        path: The file.
        header: Whether the first row of CSV is a header, ``present`` or ``absent``; None to decide by its cells.

    Raises:
        ConfigError: The file is of another kind, or ``header`` is given for one that is not CSV.
    """
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    kind = kind_of(start)
    other = not_text(start) if kind == "text" else None
    if other is not None:
        raise ConfigError(f"{path} {other}.")
    is_csv = kind == "text" and start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] not in (b"{", b"[")
    if is_csv:
        return _csv(path, header)
    if header is not None:
        raise ConfigError(f"header={header}: {path} is not a CSV file. Leave the key out.")
    return {"parquet": _parquet, "npy": _npy, "text": _json}[kind](path)


def _csv(path: Path, header: str | None) -> Source:
    from ensemble.serving.formats import decode
    from ensemble.serving.media_types import CSV
    from ensemble.serving.rows import first_row, is_header

    def chunks(columns: Sequence[Column], keep: Keep = ()) -> Iterator[Chunk]:
        with path.open("rb") as file:
            names, kind = b"", ""
            for block, done in _blocks(file):
                rows = block
                if not kind:
                    cells, rest = first_row(block)
                    has_names = is_header(cells, columns) if header is None else header == "present"
                    kind = f"{CSV}; header={'present' if has_names else 'absent'}"
                    if has_names:
                        names, rows = block[: len(block) - len(rest)], rest
                if rows.strip():
                    yield Chunk(decode(names + rows, kind), done)

    return Source(path.stat().st_size, chunks)


def _json(path: Path) -> Source:
    """Open JSON lines, or one JSON document, which may have one line only."""
    from ensemble.serving.media_types import JSON

    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"").strip()
        more = any(line.strip() for line in file)
    is_list_of_rows = first[:1] == b"[" and first[1:].lstrip()[:1] in (b"[", b"{", b"")
    return _json_lines(path) if more and not is_list_of_rows and first[-1:] in (b"}", b"]") else _whole(path, JSON)


def _whole(path: Path, content_type: str) -> Source:
    """Open a file that is read as the body of one request."""
    from ensemble.serving.formats import decode

    def chunks(columns: Sequence[Column], keep: Keep = ()) -> Iterator[Chunk]:
        body = path.read_bytes()
        yield Chunk(decode(body, content_type), len(body))

    return Source(path.stat().st_size, chunks)


def _json_lines(path: Path) -> Source:
    from ensemble.serving.errors import RequestError
    from ensemble.serving.formats import decode
    from ensemble.serving.media_types import JSON_LINES

    def chunks(columns: Sequence[Column], keep: Keep = ()) -> Iterator[Chunk]:
        before = 0
        with path.open("rb") as file:
            for block, done in _blocks(file, quotes=False):
                try:
                    rows = decode(block, JSON_LINES)
                except RequestError as error:
                    raise ConfigError(f"{path}: {_later_lines(str(error.details['message']), before)}") from None
                before += block.count(b"\n")
                yield Chunk(rows, done)

    return Source(path.stat().st_size, chunks)


def _later_lines(message: str, before: int) -> str:
    """Return a message with its line counted from the beginning of the file."""
    return re.sub(r"\(line (\d+)\)", lambda line: f"(line {int(line[1]) + before})", message)


def _blocks(file: io.BufferedReader, *, quotes: bool = True) -> Iterator[tuple[bytes, int]]:
    """Yield blocks of whole lines, which do not end inside quotes, and the position in the file where each ends."""
    left = b""
    while piece := file.read(CHUNK_BYTES):
        block = left + piece
        if quotes and b'"' in block:
            yield from _quoted_blocks(block, file)
            return
        mark = b"\n" if b"\n" in block else b"\r"
        end = block.rfind(mark) + 1
        if block[:end].strip():
            yield block[:end], file.tell()
        left = block[end:]
    if left.strip():
        yield left, file.tell()


def _quoted_blocks(begin: bytes, file: io.BufferedReader) -> Iterator[tuple[bytes, int]]:
    """Yield blocks of whole rows of CSV, as ``csv`` finds where a row ends."""
    lines: list[bytes] = []
    size = 0

    def text() -> Iterator[str]:
        nonlocal size
        left, mark = begin, "utf-8-sig"
        while True:
            piece = file.read(CHUNK_BYTES)
            left += piece
            found = left.splitlines(keepends=True)
            # The last line may go on, and a CR at the end may be the first half of a line end.
            left = found.pop() if piece and found else b""
            for line in found:
                lines.append(line)
                size += len(line)
                yield line.decode(mark)
                mark = "utf-8"
            if not piece:
                return

    try:
        for _ in csv.reader(text(), skipinitialspace=True):
            if size >= CHUNK_BYTES:
                yield b"".join(lines), file.tell()
                lines.clear()
                size = 0
    except (csv.Error, UnicodeDecodeError):
        pass  # the rest is refused as one block, with the row
    if b"".join(lines).strip():
        yield b"".join(lines), file.tell()


def _parquet(path: Path) -> Source:
    import pyarrow as pa
    from pyarrow.lib import ArrowException
    from pyarrow.parquet import ParquetFile

    from ensemble.serving.rows import Values, check_absent

    try:
        file = ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise _unreadable_parquet(path, error) from None

    def chunks(columns: Sequence[Column], keep: Keep = ()) -> Iterator[Chunk]:
        present = set(file.schema_arrow.names)
        check_absent(columns, file.schema_arrow.names)
        names = [column.name for column in columns if column.name in present]
        everything = file.schema_arrow.names
        kept = [name for name in everything if (keep == ALL or name in keep) and everything.count(name) == 1]
        done = 0
        batches = file.iter_batches(CHUNK_ROWS, columns=list(dict.fromkeys([*names, *kept])))
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)  # otherwise text that is not UTF-8 would be found too late
                # What pandas has stored in the file beside the columns, such as an index, is ignored.
                table = pa.Table.from_batches([batch]).drop_columns([name for name in kept if name not in names])
                frame = table.to_pandas(ignore_metadata=True)
                typed = everything, [batch.column(name) if name in kept else None for name in everything]
            except (ArrowException, OSError, ValueError) as error:
                raise _unreadable_parquet(path, error) from None
            done += len(frame)
            yield Chunk(Values.of_frame(frame), done, typed)

    return Source(file.metadata.num_rows, chunks)


def _unreadable_parquet(path: Path, error: Exception) -> ConfigError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ConfigError(f"{path} cannot be read as Parquet: {reason}. Write it again.")


def _npy(path: Path) -> Source:
    import numpy as np

    from ensemble.serving.media_types import NPY
    from ensemble.serving.rows import Matrix

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read as a .npy array of numbers: {error}.") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        return _whole(path, NPY)

    def chunks(columns: Sequence[Column], keep: Keep = ()) -> Iterator[Chunk]:
        for start in range(0, len(array), CHUNK_ROWS):
            part = np.asarray(array[start : start + CHUNK_ROWS], dtype=np.float64)
            yield Chunk(Matrix(part), start + len(part))

    return Source(len(array), chunks)


class _Named:
    """Writes predictions in columns with names."""

    _detail: Detail

    def names(self, prediction: Prediction) -> list[str]:
        """Return the names of the columns of predictions."""
        return list(prediction.table(self._detail))


class _Csv(_Named):
    """Writes CSV with a header."""

    def __init__(self, path: Path, detail: Detail) -> None:
        self._file = path.open("wb")
        self._detail = detail
        self._begun = False

    def __enter__(self) -> _Csv:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, prediction: Prediction, kept: Kept) -> None:
        """Write a chunk's predictions beside the columns that are kept."""
        from ensemble.serving.answers import csv_cell, csv_header, csv_rows

        if not self._begun:
            self._file.write(csv_header(prediction, self._detail, kept))
            self._begun = True
        texts = [map(as_text, values) for values in values_of(kept).values()]
        cells = [[csv_cell(text) if text else "" for text in column] for column in texts]
        self._file.write(csv_rows(prediction, self._detail, cells))


class _JsonLines:
    """Writes JSON lines."""

    def __init__(self, path: Path, detail: Detail) -> None:
        self._file = path.open("wb")
        self._detail = detail

    def __enter__(self) -> _JsonLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def names(self, prediction: Prediction) -> list[str]:
        """Return the names in a line of predictions."""
        import orjson

        return list(orjson.loads(self._lines(prediction.take(slice(1)))))

    def write(self, prediction: Prediction, kept: Kept) -> None:
        """Write a chunk's predictions beside the columns that are kept."""
        import orjson

        body = self._lines(prediction)
        if not kept:
            self._file.write(body)
            return
        columns = values_of(kept)
        for line, row in zip(body.splitlines(), zip(*columns.values(), strict=True), strict=True):
            beside = orjson.dumps(dict(zip(columns, row, strict=True)), default=as_text)
            self._file.write(beside[:-1] + b"," + line[1:] + b"\n")

    def _lines(self, prediction: Prediction) -> bytes:
        from ensemble.serving.answers import encode
        from ensemble.serving.media_types import JSON_LINES

        return encode(prediction, f"{JSON_LINES}; detail={self._detail}", level=prediction.level)[0]


class _Npy:
    """Writes a .npy array."""

    def __init__(self, path: Path, detail: Detail) -> None:
        self._path = path
        self._detail = detail
        self._parts: list[Any] = []

    def __enter__(self) -> _Npy:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._parts:
            import numpy as np

            np.save(self._path, np.concatenate(self._parts), allow_pickle=False)

    def write(self, prediction: Prediction, kept: Kept) -> None:
        """Keep a chunk's predictions; the array is written at the end, since its file begins with its length."""
        from ensemble.serving.answers import array_of

        self._parts.append(array_of(prediction, self._detail))


class _Parquet(_Named):
    """Writes Parquet."""

    def __init__(self, path: Path, detail: Detail) -> None:
        self._path = path
        self._detail = detail
        self._writer: Any = None

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, prediction: Prediction, kept: Kept) -> None:
        """Write a chunk's predictions beside the columns that are kept, with their types if Parquet has them."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        beside = {
            name: column if isinstance(column, pa.Array) else pa.array(map(as_text, column), pa.string())
            for name, column in kept.items()
        }
        table = pa.table({**beside, **prediction.table(self._detail)})
        if self._writer is None:
            self._writer = ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)


WRITERS: dict[str, Callable[[Path, Detail], Any]] = {
    ".csv": _Csv,
    ".jsonl": _JsonLines,
    ".npy": _Npy,
    ".parquet": _Parquet,
}
