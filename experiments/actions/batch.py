"""``action=batch``: predict a whole file with the code that serves endpoints, holding one chunk in memory at a time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
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
from experiments.serving.row_files import HEADERS, PREDICTION, WRITERS, Source, open_rows
from experiments.system.locks import AlreadyLocked, lock_folder
from experiments.system.machine import available_cores
from experiments.system.output_file import check_not_input, output_file
from experiments.system.signals import check_interrupted

if TYPE_CHECKING:
    from ensemble.serving.predictor import Predictor
    from ensemble.serving.unseen import Unseen


def predict_file(composed: Composed, console: Console) -> int:
    """Write a model's prediction for every row of ``input`` into ``output``, in the same order; return 0.

    Raises:
        InputError: There is no such file or model, or the rows do not fit the model. Nothing is written then.
        StorageError: The predictions cannot be written.
    """
    config = composed.config
    one_of("detail", config.detail, ("blended", "members"))
    if config.input is None:
        raise ConfigError("input is missing: input=<file>, the rows to predict.")
    if config.header is not None:
        one_of("header", config.header, HEADERS)
    source_path, named = user_path(config.input), _output(config.output)
    output = output_file(str(config.output), f"predictions{named.suffix}")
    if not source_path.is_file():
        near = [other.name for other in source_path.parent.glob("*")] if source_path.parent.is_dir() else []
        raise ConfigError(f"input={config.input}: there is no such file.{did_you_mean(source_path.name, near)}")
    check_not_input(config.input, config.output)
    with _workplace(output) as place:
        model = place_model(composed, place)
        sys.path.append(str(model.folder / "code"))  # for the user's own members
        from ensemble.serving.predictor import Predictor
        from ensemble.threads import one_blas_thread

        predictor = Predictor.load(model.folder, available_cores())
        source = open_rows(source_path, config.header)
        partial = place / output.name
        names = [*predictor.bundle.members, "blended"] if config.detail == "members" else [PREDICTION]
        with one_blas_thread(), _progress(console, source.total) as show:
            predictor.check()
            found = _predict(predictor, source, WRITERS[named.suffix.lower()](partial, names), source_path, show)
        partial.replace(output)
    for sentence in found.warnings():
        print_plain(console, f"warning: {sentence}")
    print_plain(console, f"{found.rows:,} predictions of {model.origin} are in {config.output}.")
    return 0


@dataclass
class _Found:
    """What was found in a file of rows.

    Attributes:
        unseen: The categories that the model does not have.
        present: By column, in how many rows it has a value.
        rows: The number of rows.
    """

    unseen: Unseen
    present: dict[str, int]
    rows: int = 0

    def warnings(self) -> list[str]:
        """Return a sentence for each column with unknown categories, and one for those without any value."""
        sentences = []
        for name, values in self.unseen.columns.items():
            examples = ", ".join(map(repr, values.examples))
            sentences.append(
                f"{name}: {values.rows:,} of {self.rows:,} rows have a category that the training rows do not have "
                f"({examples}; first in data row {values.first_row}). It is predicted as missing."
            )
        empty = [name for name, count in self.present.items() if count == 0 and name not in self.unseen.columns]
        if empty:
            sentences.append(f"{', '.join(empty)}: no row has a value. It is predicted as missing.")
        return sentences


def _predict(predictor: Predictor, source: Source, writer: Any, path: Path, show: Callable[[int, int], None]) -> _Found:
    import numpy as np

    from ensemble.serving.errors import RequestError
    from ensemble.serving.unseen import Unseen

    found = _Found(Unseen(), {column.name: 0 for column in predictor.columns})
    with writer:
        try:
            for chunk in source.chunks(predictor.columns):
                found.unseen.offset = found.rows
                features = predictor.features(chunk.rows, found.unseen)
                writer.write(predictor.predict(features))
                found.rows += len(features)
                for column, values in zip(predictor.columns, features.T, strict=True):
                    found.present[column.name] += int(np.count_nonzero(~np.isnan(values)))
                show(chunk.done, found.rows)
                check_interrupted()
        except RequestError as error:
            raise ConfigError(f"{path}: {_in_whole_file(error, found.rows)}") from None
    if found.rows == 0:
        raise ConfigError(f"{path} has no rows.")
    return found


def _in_whole_file(error: Any, offset: int) -> str:
    """Return an error's message with its row counted from the beginning of the file."""
    message, row = str(error.details["message"]), error.details.get("row")
    return message if row is None else message.replace(f"data row {row}", f"data row {row + offset}")


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside the output, without what a killed command has left; remove it at the end."""
    folder = output.with_name(f".{output.name}.byoe")
    with storage_errors(output):
        folder.mkdir(exist_ok=True)
        try:
            lock = lock_folder(folder)
        except AlreadyLocked:
            raise ConfigError(
                f"output={output} is being written by another command: wait until it has finished."
            ) from None
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


def _output(text: str | None) -> Path:
    if text is None:
        raise ConfigError(f"output is missing: output=<file>, whose name ends with one of {listed(WRITERS)}.")
    path = user_path(text)
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"output={text}: a file name ends with one of {listed(WRITERS)}.")
    return path
