"""``action=batch``: predict a whole file with the endpoint's own code, a part of it in memory at a time."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.config.compose import Composed
from experiments.config.paths import user_path
from experiments.errors import ConfigError, did_you_mean, listed, one_of, storage_errors
from experiments.reporting.console import print_plain
from experiments.serving.models import place_model
from experiments.system.interrupts import check_interrupted
from experiments.system.locks import AlreadyLocked, lock_folder
from experiments.system.machine import available_cores
from experiments.system.output_file import check_not_input, output_file

if TYPE_CHECKING:
    from ensemble.serving.formats import Prediction
    from ensemble.serving.predictor import Predictor
    from ensemble.serving.rows import Rows

CHUNK_BYTES = 4 * 2**20
CHUNK_ROWS = 50_000
PREDICTION = "prediction"


@dataclass(frozen=True)
class _Chunk:
    """A part of a file.

    Attributes:
        rows: Its rows.
        done: How much of the file has been read by its end: bytes, or rows where those are known.
    """

    rows: Rows
    done: int


@dataclass(frozen=True)
class _Source:
    """An input file.

    Attributes:
        total: Its size, in what chunks count by.
        chunks: Yields its parts in order.
    """

    total: int
    chunks: Callable[[Predictor], Iterator[_Chunk]]


def predict_file(composed: Composed, words: Sequence[str], console: Console) -> int:
    """Write what a model predicts for every row of ``input`` into ``output``, in the same order; return 0.

    Raises:
        InputError: No such file or model, or rows that do not fit it; nothing is written then.
        StorageError: The predictions cannot be written.
    """
    config = composed.config
    one_of("detail", config.detail, ("blended", "members"))
    source_path, named = _path("input", config.input, READERS), _path("output", config.output, WRITERS)
    output = output_file(str(config.output), f"predictions{named.suffix}")
    if not source_path.is_file():
        near = [other.name for other in source_path.parent.glob("*")] if source_path.parent.is_dir() else []
        raise ConfigError(f"input={config.input}: there is no such file.{did_you_mean(source_path.name, near)}")
    check_not_input(config.input, config.output)
    with _workplace(output) as place:
        model = place_model(composed, place)
        sys.path.append(str(model.folder / "code"))  # for members of the user's own
        from ensemble.serving.predictor import Predictor
        from ensemble.threads import one_blas_thread

        predictor = Predictor.load(model.folder, available_cores())
        source = READERS[source_path.suffix.lower()](source_path)
        partial = place / output.name
        names = [*predictor.bundle.members, "blended"] if config.detail == "members" else [PREDICTION]
        with one_blas_thread(), _progress(console, source.total) as show:
            predictor.check()
            rows = _predict(predictor, source, WRITERS[named.suffix.lower()](partial, names), source_path, show)
        partial.replace(output)
    print_plain(console, f"{rows:,} predictions of {model.origin} are in {config.output}.")
    return 0


def _predict(predictor: Predictor, source: _Source, writer: Any, path: Path, show: Callable[[int, int], None]) -> int:
    from ensemble.serving.errors import RequestError

    count = 0
    with writer:
        for chunk in source.chunks(predictor):
            try:
                features = predictor.features(chunk.rows)
            except RequestError as error:
                raise ConfigError(f"{path}: {_in_whole_file(error, count)}") from None
            writer.write(predictor.predict(features))
            count += len(features)
            show(chunk.done, count)
            check_interrupted()
    if count == 0:
        raise ConfigError(f"{path} has no rows.")
    return count


def _in_whole_file(error: Any, offset: int) -> str:
    """Return an error's message with its row counted from the beginning of the file."""
    message, row = str(error.details["message"]), error.details.get("row")
    return message if row is None else message.replace(f"data row {row}", f"data row {row + offset}")


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Make a folder beside the output, which is gone at the end, and empty it of what a killed command has left."""
    folder = output.with_name(f".{output.name}.byoe")
    with storage_errors(output):
        folder.mkdir(exist_ok=True)
        try:
            lock = lock_folder(folder)
        except AlreadyLocked:
            raise ConfigError(f"output={output} is being written by another command: wait for it.") from None
    with lock:
        try:
            with storage_errors(output):
                _empty(folder)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("predicting"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, rows=0)
        yield lambda done, rows: progress.update(task, completed=done, rows=rows)


def _path(key: str, text: str | None, known: dict[str, Any]) -> Path:
    if text is None:
        raise ConfigError(f"{key} is missing: {key}=<file>, whose name ends with one of {listed(known)}.")
    path = user_path(text)
    if path.suffix.lower() not in known:
        raise ConfigError(f"{key}={text}: a file name ends with one of {listed(known)}.")
    return path


def _csv(path: Path) -> _Source:
    from ensemble.serving.formats import CSV, decode
    from ensemble.serving.rows import is_header

    def chunks(predictor: Predictor) -> Iterator[_Chunk]:
        with path.open("rb") as file:
            first = file.readline()
            header = is_header(first, predictor.columns)
            begin = first if header else b""
            kind = f"{CSV}; header={'present' if header else 'absent'}"
            if not header:
                file.seek(0)
            for block, done in _blocks(file):
                yield _Chunk(decode(begin + block, kind), done)

    return _Source(path.stat().st_size, chunks)


def _json_lines(path: Path) -> _Source:
    from ensemble.serving.formats import JSON_LINES, decode

    def chunks(predictor: Predictor) -> Iterator[_Chunk]:
        with path.open("rb") as file:
            for block, done in _blocks(file, quotes=False):
                yield _Chunk(decode(block, JSON_LINES), done)

    return _Source(path.stat().st_size, chunks)


def _blocks(file: io.BufferedReader, *, quotes: bool = True) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines of some megabytes, none of which ends inside of quotes, and where in the file they end."""
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


def _parquet(path: Path) -> _Source:
    from pyarrow.lib import ArrowException
    from pyarrow.parquet import ParquetFile

    from ensemble.serving.rows import Values

    try:
        file = ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise ConfigError(f"{path} is no Parquet file that can be read: {error}.") from None

    def chunks(predictor: Predictor) -> Iterator[_Chunk]:
        present = set(file.schema_arrow.names)
        wanted = [column.name for column in predictor.columns if column.name in present]
        done = 0
        for batch in file.iter_batches(CHUNK_ROWS, columns=wanted or None):
            frame = batch.to_pandas()
            done += len(frame)
            columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
            yield _Chunk(Values([str(name) for name in frame.columns], columns), done)

    return _Source(file.metadata.num_rows, chunks)


def _npy(path: Path) -> _Source:
    import numpy as np

    from ensemble.serving.rows import Matrix

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"{path} is no .npy array without objects: {error}.") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ConfigError(f"{path} has shape {array.shape} of {array.dtype}: numbers in rows and columns are expected.")

    def chunks(predictor: Predictor) -> Iterator[_Chunk]:
        for start in range(0, len(array), CHUNK_ROWS):
            part = np.asarray(array[start : start + CHUNK_ROWS], dtype=np.float64)
            yield _Chunk(Matrix(part), start + len(part))

    return _Source(len(array), chunks)


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
        if self._csv and self._members:  # each has a header of its own
            body = body.partition(b"\n")[2]
        self._file.write(body)


class _Columns:
    """Writes Parquet, or one array."""

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


READERS: dict[str, Callable[[Path], _Source]] = {
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
