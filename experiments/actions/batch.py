"""``action=batch``: predict a whole file with the code that serves endpoints, holding one chunk in memory at a time."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ensemble.intervals import LEVEL, check_level
from ensemble.serving.media_types import DETAILS, wrong_detail
from experiments.actions.model_process import Report, Step, load_predictor, run_with_model
from experiments.config.compose import Composed
from experiments.config.paths import user_path
from experiments.config.schema import Config
from experiments.errors import ConfigError, did_you_mean, listed, one_of, storage_errors
from experiments.reporting.console import PlainConsole, print_plain
from experiments.serving.kept_columns import Keep, check_keep, chosen_names, picked
from experiments.serving.models import place_model
from experiments.serving.row_files import HEADERS, WRITERS, Source, open_rows
from experiments.system.files import remove
from experiments.system.locks import AlreadyLocked, ForeignFolder, lock_folder
from experiments.system.output_file import check_not_input, output_file
from experiments.system.signals import check_interrupted

if TYPE_CHECKING:
    from ensemble.serving.media_types import Detail
    from ensemble.serving.predictor import Predictor
    from ensemble.serving.unseen import Unseen

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
    source_path, named = row_file(config), _output(config.output)
    check_not_input(config.input, config.output)
    check_keep(config.keep, _PRINTED if named is None else named.suffix.lower())
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


def row_file(config: Config) -> Path:
    """Return the file of rows that ``input`` names.

    Raises:
        ConfigError: ``input`` is not set or names no file, or ``header`` is wrong.
    """
    if config.input is None:
        raise ConfigError("input is missing: input=<file>, the rows to predict.")
    if config.header is not None:
        one_of("header", config.header, HEADERS)
    path = user_path(config.input)
    if path.exists() and not path.is_file():
        raise ConfigError(f"input={config.input} is not a regular file: write the rows to a file, and name that.")
    if not path.is_file():
        near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ConfigError(f"input={config.input}: there is no such file.{did_you_mean(path.name, near)}")
    return path


def _predict_into(composed: Composed, source_path: Path, output: Path, place: Path, console: Console) -> None:
    """Write the predictions into the file ``output``, by way of the folder ``place``, and print what was noticed."""
    config = composed.config
    model = place_model(composed, place)
    partial = place / output.name
    given: dict[str, Any] = {"model": str(model.folder), "rows": str(source_path), "output": str(partial)}
    given |= {"header": config.header, "detail": config.detail, "keep": check_keep(config.keep, output.suffix.lower())}
    given["level"] = config.serving.interval or LEVEL
    task = "experiments.actions.batch:predicted_rows"
    found = Predicted(**run_with_model(model, place, task, given, console))
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


def predict_rows(  # noqa: PLR0913  # plain values, which a worker process can be given
    model: str,
    rows: str,
    output: str,
    *,
    header: str | None,
    detail: Detail,
    report: Report,
    keep: Keep = (),
    level: float = LEVEL,
) -> Predicted:
    """Write a model's prediction for every row of a file, in the same order.

    Args:
        model: The model's folder.
        rows: The file of rows.
        output: The file to write.
        header: Whether CSV rows have a header, one of ``HEADERS``; None to decide by the first row.
        detail: What to write.
        report: Called before each file of the model is read, and after each part of the rows.
        keep: Columns of the rows to write beside the predictions.
        level: The share of targets that intervals and sets hold.

    Raises:
        InputError: The model cannot be used, or the rows do not fit it.
        OSError: The predictions cannot be written.
    """
    from ensemble.bundle import read_manifest
    from ensemble.serving.explanation import REQUEST
    from ensemble.threads import one_blas_thread

    folder, source_path = Path(model), Path(rows)
    manifest = read_manifest(folder)
    problem = wrong_detail(detail, bool(manifest.get("classes")))
    if problem is not None:
        raise ConfigError(problem)
    predictor = replace(load_predictor(folder, manifest, report), level=level)
    source = open_rows(source_path, header)
    with one_blas_thread():
        report(Step(None, 0, source.total))
        predictor.check()
        if detail == "interval":
            predictor.check_level(level, "serving.interval")
        if detail == "explanation":
            _check_explained(predictor)
        writer = WRITERS[Path(output).suffix.lower()](Path(output), detail)
        return _predict(
            predictor,
            source,
            writer,
            source_path,
            keep,
            lambda done, count: report(Step(None, done, source.total, count)),
            at_once=predictor.explainer.most_rows(REQUEST) if detail == "explanation" else None,
        )


def _check_explained(predictor: Predictor) -> None:
    from ensemble.serving.errors import RequestError

    try:
        predictor.explainer.check()
    except RequestError as error:
        raise ConfigError(str(error.details["message"])) from None


def predicted_rows(**arguments: Any) -> dict[str, Any]:
    """Call ``predict_rows``, as a task, and return the attributes of ``Predicted``."""
    return asdict(predict_rows(**arguments))


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


def _predict(  # noqa: PLR0913  # one caller
    predictor: Predictor,
    source: Source,
    writer: Any,
    path: Path,
    keep: Keep,
    show: Callable[[int, int], None],
    *,
    at_once: int | None,
) -> Predicted:
    """Predict and write a file of rows, ``at_once`` of them at a time; None for as many as are read."""
    import numpy as np

    from ensemble.serving.errors import RequestError
    from ensemble.serving.unseen import Unseen

    found = _Found(Unseen(), {column.name: 0 for column in predictor.columns})
    chosen: list[str] | None = None
    before = 0
    with writer:
        try:
            for chunk in source.chunks(predictor.columns, keep):
                found.unseen.offset = found.rows
                features = predictor.features(chunk.rows, found.unseen)
                prediction = predictor.predict(features)
                kept: Mapping[str, Any] = {}
                if keep:
                    names, columns = chunk.named() or (None, ())
                    if chosen is None:
                        chosen = chosen_names(keep, names, writer.names(prediction.take(slice(1))), path)
                    kept = picked(names or (), columns, chosen, len(features))
                step = at_once or max(len(features), 1)
                for start in range(0, len(features), step):
                    rows = slice(start, start + step)
                    writer.write(
                        prediction.take(rows) if at_once else prediction,
                        {name: column[rows] for name, column in kept.items()} if at_once else kept,
                    )
                    if start + step < len(features):
                        show(before + (chunk.done - before) * start // len(features), found.rows + start)
                        check_interrupted()
                before = chunk.done
                found.rows += len(features)
                for column, values in zip(predictor.columns, features.T, strict=True):
                    found.present[column.name] += int(np.count_nonzero(~np.isnan(values)))
                show(chunk.done, found.rows)
                check_interrupted()
        except RequestError as error:
            raise ConfigError(f"{path}: {in_whole_file(error, found.rows)}") from None
    if found.rows == 0:
        raise ConfigError(f"{path} has no rows.")
    return Predicted(found.rows, found.warnings())


def in_whole_file(error: Any, offset: int) -> str:
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


def _output(text: str | None) -> Path | None:
    if text is None:
        return None
    path = user_path(text)
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"output={text}: a file name ends with one of {listed(WRITERS)}.")
    return path
