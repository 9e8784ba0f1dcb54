"""Files of rows, read a chunk at a time, and files of predictions, written a chunk at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import ConfigError

if TYPE_CHECKING:
    from ensemble.serving.formats import Prediction
    from ensemble.serving.predictor import Predictor
    from ensemble.serving.rows import Rows

CHUNK_BYTES = 4 * 2**20
CHUNK_ROWS = 50_000
PREDICTION = "prediction"


@dataclass(frozen=True)
class Chunk:
    """A part of a file.

    Attributes:
        rows: Its rows.
        done: How much of the file has been read up to its end, in the unit of ``Source.total``.
    """

    rows: Rows
    done: int


@dataclass(frozen=True)
class Source:
    """An input file.

    Attributes:
        total: Its size: in rows if their number is known, else in bytes.
        chunks: Yields its parts in order.
    """

    total: int
    chunks: Callable[[Predictor], Iterator[Chunk]]


def _csv(path: Path) -> Source:
    from ensemble.serving.formats import CSV, decode
    from ensemble.serving.rows import is_header

    def chunks(predictor: Predictor) -> Iterator[Chunk]:
        with path.open("rb") as file:
            first = file.readline()
            header = is_header(first, predictor.columns)
            begin = first if header else b""
            kind = f"{CSV}; header={'present' if header else 'absent'}"
            if not header:
                file.seek(0)
            for block, done in _blocks(file):
                yield Chunk(decode(begin + block, kind), done)

    return Source(path.stat().st_size, chunks)


def _json_lines(path: Path) -> Source:
    from ensemble.serving.formats import JSON_LINES, decode

    def chunks(predictor: Predictor) -> Iterator[Chunk]:
        with path.open("rb") as file:
            for block, done in _blocks(file, quotes=False):
                yield Chunk(decode(block, JSON_LINES), done)

    return Source(path.stat().st_size, chunks)


def _blocks(file: io.BufferedReader, *, quotes: bool = True) -> Iterator[tuple[bytes, int]]:
    """Yield blocks of whole lines, which do not end inside quotes, and the position in the file where each ends."""
    block = b""
    while piece := file.read(CHUNK_BYTES):
        block += piece + file.readline()
        lines, inside = [block], quotes and block.count(b'"') % 2
        while inside and (line := file.readline()):
            lines.append(line)
            inside = (inside + line.count(b'"')) % 2
        block = b"".join(lines)
        if block.strip():
            yield block, file.tell()
        block = b""


def _parquet(path: Path) -> Source:
    from pyarrow.lib import ArrowException
    from pyarrow.parquet import ParquetFile

    from ensemble.serving.rows import Values

    try:
        file = ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise ConfigError(f"{path} cannot be read as Parquet: {error}.") from None

    def chunks(predictor: Predictor) -> Iterator[Chunk]:
        present = set(file.schema_arrow.names)
        names = [column.name for column in predictor.columns if column.name in present]
        done = 0
        for batch in file.iter_batches(CHUNK_ROWS, columns=names or None):
            frame = batch.to_pandas()
            done += len(frame)
            columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
            yield Chunk(Values([str(name) for name in frame.columns], columns), done)

    return Source(file.metadata.num_rows, chunks)


def _npy(path: Path) -> Source:
    import numpy as np

    from ensemble.serving.rows import Matrix

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read as a .npy array of numbers: {error}.") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ConfigError(f"{path} has shape {array.shape} of {array.dtype}: a table of numbers is expected.")

    def chunks(predictor: Predictor) -> Iterator[Chunk]:
        for start in range(0, len(array), CHUNK_ROWS):
            part = np.asarray(array[start : start + CHUNK_ROWS], dtype=np.float64)
            yield Chunk(Matrix(part), start + len(part))

    return Source(len(array), chunks)


class _Lines:
    """Writes CSV, or JSON lines."""

    def __init__(self, path: Path, names: Sequence[str], *, csv: bool) -> None:
        self._file = path.open("wb")
        self._csv = csv
        self._members = len(names) > 1
        if csv:
            self._file.write((",".join(names) + "\n").encode())

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, prediction: Prediction) -> None:
        """Write a chunk's predictions."""
        from ensemble.serving.formats import CSV, JSON_LINES, encode

        detail = "members" if self._members else "blended"
        body, _ = encode(prediction, f"{CSV if self._csv else JSON_LINES}; detail={detail}")
        if self._csv and self._members:  # every encoded chunk begins with a header
            body = body.partition(b"\n")[2]
        self._file.write(body)


class _Columns:
    """Writes Parquet, or a .npy array."""

    def __init__(self, path: Path, names: Sequence[str], *, parquet: bool) -> None:
        self._path = path
        self._names = names
        self._parquet = parquet
        self._writer: Any = None
        self._parts: list[Any] = []

    def __enter__(self) -> _Columns:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()
        if not self._parquet and self._parts:
            import numpy as np

            np.save(self._path, np.concatenate(self._parts), allow_pickle=False)

    def write(self, prediction: Prediction) -> None:
        """Write a chunk's predictions."""
        import numpy as np

        many = len(self._names) > 1
        values = np.column_stack([prediction.members, prediction.blended]) if many else prediction.blended
        if not self._parquet:
            self._parts.append(values)
            return
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        table = pa.table(dict(zip(self._names, values.reshape(len(values), -1).T, strict=True)))
        if self._writer is None:
            self._writer = ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)


READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".npy": _npy,
    ".parquet": _parquet,
}
WRITERS: dict[str, Callable[[Path, Sequence[str]], Any]] = {
    ".csv": lambda path, names: _Lines(path, names, csv=True),
    ".jsonl": lambda path, names: _Lines(path, names, csv=False),
    ".npy": lambda path, names: _Columns(path, names, parquet=False),
    ".parquet": lambda path, names: _Columns(path, names, parquet=True),
}
