"""Work with a model: in this process, or for a model that was not made here in a process of its own, which may die."""

from __future__ import annotations

import importlib
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ensemble.bundle_files import CODE
from ensemble.documents import read_json
from ensemble.errors import BundleError
from experiments.backends.worker_pool import WorkerDied, WorkerPool
from experiments.errors import InputError, listed
from experiments.reporting.console import print_plain
from experiments.serving.models import Model
from experiments.system.files import replace_file
from experiments.system.machine import available_cores

if TYPE_CHECKING:
    from ensemble.serving.predictor import Predictor

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Step:
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


Report = Callable[[Step], None]


def run_with_model(model: Model, place: Path, task: str, arguments: Mapping[str, Any], console: Console) -> Any:
    """Run a task on a model, and show its progress.

    Args:
        model: The model.
        place: A folder for temporary files.
        task: The function, as ``module:function``: it takes the arguments and ``report``, which it calls before each
            file of the model is read and after each part of the rows, and returns JSON-ready data.
        arguments: JSON-ready keyword arguments.
        console: Where progress is shown, and whose code is run.

    Raises:
        InputError: As the task raises it.
        BundleError: The process in which it ran died.
    """
    if not model.own:
        print_plain(console, _whose_code(model))
    with _progress(console) as show:
        if model.own:
            return _function(task)(**arguments, report=show)
        return _in_worker(model, place, task, arguments, show)


def call_and_report(task: str, progress: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a task in a worker process, and report in the file ``progress``.

    Returns:
        ``result``, or ``refused`` with the text of an ``InputError``.
    """
    path = Path(progress)
    try:
        found = _function(task)(**arguments, report=lambda step: replace_file(path, json.dumps(asdict(step))))
    except InputError as error:
        return {"refused": str(error)}
    return {"result": found}


def load_predictor(folder: Path, manifest: Mapping[str, Any], report: Report) -> Predictor:
    """Load a model with the classes that came with it.

    Raises:
        InputError: The model cannot be used.
    """
    from ensemble.serving.predictor import Predictor

    if own_classes(manifest):
        sys.dont_write_bytecode = True
        sys.path.append(str(folder / CODE))
    return Predictor.load(folder, available_cores(), lambda name: report(Step(name)))


def own_classes(manifest: Mapping[str, Any]) -> list[str]:
    """Return the classes of a model's members that are neither byoe's nor scikit-learn's, as ``module:Class``."""
    return sorted({member["kind"] for member in manifest["members"] if ":" in member["kind"]})


def _function(task: str) -> Callable[..., Any]:
    module, _, name = task.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _whose_code(model: Model) -> str:
    classes = own_classes(model.manifest)
    if not classes:
        return f"note: {model.origin} is read by this project's code. Nothing of the code in it is run."
    return (
        f"note: this runs code that came with {model.origin}: {listed(classes)}. A model is a program: use one only if "
        "you trust who made it."
    )


def _in_worker(found: Model, place: Path, task: str, arguments: Mapping[str, Any], report: Report) -> Any:
    progress = place / "progress.json"
    last: Step | None = None
    with (
        ThreadPoolExecutor(1) as threads,
        closing(WorkerPool(1, available_cores(), preload=("ensemble.bundle",))) as pool,
    ):
        call = {"task": task, "progress": str(progress), "arguments": dict(arguments)}
        work = threads.submit(pool.call, "experiments.actions.model_process:call_and_report", call)
        while True:
            done = wait({work}, _POLL_SECONDS).done
            with suppress(OSError, ValueError, TypeError):
                last = Step(**read_json(progress))
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
    return answer["result"]


def _cause(death: WorkerDied) -> str:
    if death.exit_code >= 0:
        return f"exit code {death.exit_code}"
    hint = ", perhaps for lack of memory" if -death.exit_code == signal.SIGKILL else ""
    return f"{signal.Signals(-death.exit_code).name}{hint}"


@contextmanager
def _progress(console: Console) -> Iterator[Report]:
    columns = (TextColumn("predicting"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1, rows=0)
        yield lambda step: progress.update(task, completed=step.done, total=step.total, rows=step.rows)
