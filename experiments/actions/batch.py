"""``action=batch``: predict a whole file with the code that serves endpoints, holding one chunk in memory at a time."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ensemble.bundle_files import CODE
from ensemble.documents import read_json
from ensemble.errors import BundleError
from ensemble.intervals import LEVEL, check_level
from ensemble.serving.media_types import DETAILS, wrong_detail
from experiments.backends.worker_pool import WorkerDied, WorkerPool
from experiments.config.compose import Composed
from experiments.config.paths import user_path
from experiments.errors import ConfigError, InputError, did_you_mean, listed, one_of, storage_errors
from experiments.reporting.console import PlainConsole, print_plain
from experiments.serving.models import Model, place_model
from experiments.serving.row_files import HEADERS, WRITERS, Source, open_rows
from experiments.system.files import remove, replace_file
from experiments.system.locks import AlreadyLocked, ForeignFolder, lock_folder
from experiments.system.machine import available_cores
from experiments.system.output_file import check_not_input, output_file
from experiments.system.signals import check_interrupted

if TYPE_CHECKING:
    from ensemble.serving.media_types import Detail
    from ensemble.serving.predictor import Predictor
    from ensemble.serving.unseen import Unseen

_POLL_SECONDS = 0.2
# The form of predictions on standard output.
_PRINTED = ".csv"


def predict_file(composed: Composed, console: Console) -> int:
    """Write a model's prediction for every row of ``input`` into ``output``, in the same order; return 0.

    Without ``output`` they go to standard output as CSV once all are there, and everything else to standard error.

    Raises:
        InputError: There is no such file or model, or the rows do not fit the model. Nothing is written then.
        StorageError: The predictions cannot be written.
    """
    config = composed.config
    one_of("detail", config.detail, DETAILS)
    if config.serving.interval is not None:
        check_level(config.serving.interval, "serving.interval")
    if config.input is None:
        raise ConfigError("input is missing: input=<file>, the rows to predict.")
    if config.header is not None:
        one_of("header", config.header, HEADERS)
    source_path, named = user_path(config.input), _output(config.output)
    if not source_path.is_file():
        near = [other.name for other in source_path.parent.glob("*")] if source_path.parent.is_dir() else []
        raise ConfigError(f"input={config.input}: there is no such file.{did_you_mean(source_path.name, near)}")
    check_not_input(config.input, config.output)
    if named is None:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / f"predictions{_PRINTED}"
            _predict_into(composed, source_path, output, Path(folder), PlainConsole(stderr=True))
            with output.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
        return 0
    output = output_file(str(config.output), f"predictions{named.suffix}")
    with _workplace(output) as place:
        _predict_into(composed, source_path, output, place, console)
    return 0


def _predict_into(composed: Composed, source_path: Path, output: Path, place: Path, console: Console) -> None:
    """Write the predictions into the file ``output``, by way of the folder ``place``, and print what was noticed."""
    config = composed.config
    model = place_model(composed, place)
    partial = place / output.name
    given: dict[str, Any] = {"model": str(model.folder), "rows": str(source_path), "output": str(partial)}
    given |= {"header": config.header, "detail": config.detail, "level": config.serving.interval or LEVEL}
    predict = predict_rows if model.own else functools.partial(_in_worker, model, place)
    if not model.own:
        print_plain(console, _whose_code(model))
    with _progress(console) as show:
        found = predict(**given, report=show)
    partial.replace(output)
    for sentence in found.warnings:
        print_plain(console, f"warning: {sentence}")
    where = "" if config.output is None else f" are in {config.output}"
    print_plain(console, f"{found.rows:,} predictions of {model.origin}{where}.")


@dataclass(frozen=True)
class Predicted:
    """What was predicted.

    Attributes:
        rows: The number of rows.
        warnings: Sentences about values that are predicted as missing.
    """

    rows: int
    warnings: list[str]


def predict_rows(  # noqa: PLR0913  # most are keys of the command
    model: str, rows: str, output: str, *, header: str | None, detail: Detail, report: Report, level: float = LEVEL
) -> Predicted:
    """Write a model's prediction for every row of a file, in the same order.

    Args:
        model: The model's folder.
        rows: The file of rows.
        output: The file to write.
        header: Whether CSV rows have a header, one of ``HEADERS``; None to decide by the first row.
        detail: What to write.
        report: Called before each file of the model is read, and after each part of the rows.
        level: The share of targets that intervals and sets hold.

    Raises:
        InputError: The model cannot be used, or the rows do not fit it.
        OSError: The predictions cannot be written.
    """
    from ensemble.bundle import read_manifest
    from ensemble.serving.predictor import Predictor
    from ensemble.threads import one_blas_thread

    folder, source_path = Path(model), Path(rows)
    manifest = read_manifest(folder)
    problem = wrong_detail(detail, bool(manifest.get("classes")))
    if problem is not None:
        raise ConfigError(problem)
    if own_classes(manifest):
        sys.dont_write_bytecode = True
        sys.path.append(str(folder / CODE))
    predictor = Predictor.load(folder, available_cores(), lambda name: report(_Step(name)))
    source = open_rows(source_path, header)
    with one_blas_thread():
        report(_Step(None, 0, source.total))
        predictor.check()
        if detail == "interval":
            predictor.check_level(level, "serving.interval")
        writer = WRITERS[Path(output).suffix.lower()](Path(output), detail)
        return _predict(
            predictor,
            source,
            writer,
            source_path,
            lambda done, count: report(_Step(None, done, source.total, count)),
            level,
        )


def predict_and_report(progress: str, **arguments: Any) -> dict[str, Any]:
    """Call ``predict_rows`` in a worker process, and report in the file ``progress``.

    Returns:
        The attributes of ``Predicted``, or ``refused`` with the text of an ``InputError``.
    """
    try:
        return asdict(predict_rows(**arguments, report=lambda step: replace_file(Path(progress), _as_json(step))))
    except InputError as error:
        return {"refused": str(error)}


def own_classes(manifest: Mapping[str, Any]) -> list[str]:
    """Return the classes of a model's members that are neither byoe's nor scikit-learn's, as ``module:Class``."""
    return sorted({member["kind"] for member in manifest["members"] if ":" in member["kind"]})


@dataclass(frozen=True)
class _Step:
    """What is done now.

    Attributes:
        file: The file of the model that a library reads; None while rows are predicted.
        done: How much of the rows' file was read, in the unit of ``total``.
        total: Its size: in rows if their number is known, else in bytes.
        rows: Rows that were predicted.
    """

    file: str | None
    done: int = 0
    total: int = 1
    rows: int = 0


Report = Callable[[_Step], None]


def _as_json(step: _Step) -> str:
    return json.dumps(asdict(step))


def _whose_code(model: Model) -> str:
    classes = own_classes(model.manifest)
    if not classes:
        return f"note: {model.origin} is read by this project's code. Nothing of the code in it is run."
    return (
        f"note: this runs code that came with {model.origin}: {listed(classes)}. A model is a program: use one only if "
        "you trust who made it."
    )


def _in_worker(found: Model, place: Path, *, report: Report, **arguments: Any) -> Predicted:
    """Call ``predict_rows`` in a process that may die, for a model that was not made here.

    Raises:
        BundleError: The process died.
    """
    progress = place / "progress.json"
    last: _Step | None = None
    with (
        ThreadPoolExecutor(1) as threads,
        closing(WorkerPool(1, available_cores(), preload=("ensemble.bundle",))) as pool,
    ):
        call = {"progress": str(progress), **arguments}
        work = threads.submit(pool.call, "experiments.actions.batch:predict_and_report", call)
        while True:
            done = wait({work}, _POLL_SECONDS).done
            with suppress(OSError, ValueError, TypeError):
                last = _Step(**read_json(progress))
                report(last)
            if done:
                break
        try:
            answer = work.result()
        except WorkerDied as death:
            what = "predicts with it" if last is None or last.file is None else f"reads its {last.file}"
            raise BundleError(
                f"the model of {found.origin} cannot be used: the library that {what} crashed ({_cause(death)}). Copy "
                "it again or train again."
            ) from None
    if "refused" in answer:
        raise InputError(answer["refused"])
    return Predicted(**answer)


def _cause(death: WorkerDied) -> str:
    if death.exit_code >= 0:
        return f"exit code {death.exit_code}"
    hint = ", perhaps for lack of memory" if -death.exit_code == signal.SIGKILL else ""
    return f"{signal.Signals(-death.exit_code).name}{hint}"


@dataclass
class _Found:
    """What was found in a file of rows.

    Attributes:
        unseen: The categories that the model does not have, and the columns that rows lack.
        present: By column, in how many rows it has a value.
        rows: The number of rows.
    """

    unseen: Unseen
    present: dict[str, int]
    rows: int = 0

    def warnings(self) -> list[str]:
        """Return the sentences of ``unseen``, and one for the columns without any value."""
        sentences = self.unseen.sentences(self.rows)
        told = {*self.unseen.columns, *self.unseen.absent}
        empty = [name for name, count in self.present.items() if count == 0 and name not in told]
        if empty:
            sentences.append(f"{', '.join(empty)}: no row has a value. It is predicted as missing.")
        return sentences


def _predict(
    predictor: Predictor, source: Source, writer: Any, path: Path, show: Callable[[int, int], None], level: float
) -> Predicted:
    import numpy as np

    from ensemble.serving.errors import RequestError
    from ensemble.serving.unseen import Unseen

    found = _Found(Unseen(), {column.name: 0 for column in predictor.columns})
    with writer:
        try:
            for chunk in source.chunks(predictor.columns):
                found.unseen.offset = found.rows
                features = predictor.features(chunk.rows, found.unseen)
                writer.write(replace(predictor.predict(features), level=level))
                found.rows += len(features)
                for column, values in zip(predictor.columns, features.T, strict=True):
                    found.present[column.name] += int(np.count_nonzero(~np.isnan(values)))
                show(chunk.done, found.rows)
                check_interrupted()
        except RequestError as error:
            raise ConfigError(f"{path}: {_in_whole_file(error, found.rows)}") from None
    if found.rows == 0:
        raise ConfigError(f"{path} has no rows.")
    return Predicted(found.rows, found.warnings())


def _in_whole_file(error: Any, offset: int) -> str:
    """Return an error's message with its row counted from the beginning of the file."""
    message, row = str(error.details["message"]), error.details.get("row")
    return message if row is None else message.replace(f"data row {row}", f"data row {row + offset}")


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside the output, without what a killed command has left; remove it at the end."""
    folder = output.with_name(f".{output.name}.byoe")
    with storage_errors(output):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            lock = lock_folder(folder, own=True)
        except ForeignFolder:
            raise ConfigError(
                f"{folder} is a link, or belongs to another user, and byoe needs this name for its temporary files. "
                "Remove it, or name another output."
            ) from None
        except AlreadyLocked:
            raise ConfigError(
                f"output={output} is being written by another command: wait until it has finished."
            ) from None
    with lock:
        try:
            with storage_errors(output):
                for entry in folder.iterdir():
                    remove(entry)
                yield folder
        finally:
            remove(folder)


@contextmanager
def _progress(console: Console) -> Iterator[Report]:
    columns = (TextColumn("predicting"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1, rows=0)
        yield lambda step: progress.update(task, completed=step.done, total=step.total, rows=step.rows)


def _output(text: str | None) -> Path | None:
    if text is None:
        return None
    path = user_path(text)
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"output={text}: a file name ends with one of {listed(WRITERS)}.")
    return path
