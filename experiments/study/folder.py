"""A trial's folder, laid out as ``/opt/ml``: written before it runs, read after it has ended."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble.classes import task_of
from ensemble.cli import FITS_VARIABLE, METRICS_VERSION, SCORED_FOLDER
from ensemble.documents import read_json
from ensemble.evaluation import main_score
from ensemble.finished_trainings import METRICS_FILE
from ensemble.recipe import BLENDED
from ensemble.wire import DATA_PARAMETERS, decode_recipe
from experiments.errors import InputError, StorageError, listed, storage_errors
from experiments.study.spec import Channels, StudySpec, TrialResult, TrialSpec, TrialState

# Rows with the parts of the winner's predictions, in its folder.
EXPLAINED_ROWS = "explained_rows.npz"
# The predictions of fitted members, in the study's folder.
FITS_FOLDER = "fits"
# With less free space than this, a trial failed because of the disk and not because of its parameters.
FULL_DISK_BYTES = 2**20


def trial_folder(study_folder: Path, index: int) -> Path:
    """Return the folder of trial ``index``."""
    return study_folder / "trials" / f"{index:04d}"


def final_folder(study_folder: Path) -> Path:
    """Return the folder of the winner."""
    return study_folder / "final"


def spot_check_folder(study_folder: Path, place: str) -> Path:
    """Return the folder of the trial that was trained again before the study continued in this place."""
    return study_folder / "spot_checks" / place


def test_predictions(study_folder: Path) -> Path:
    """Return the file of the winner's predictions on the test rows."""
    return final_folder(study_folder) / "test_predictions.npz"


def explained_rows_file(study_folder: Path) -> Path:
    """Return the file of rows with the parts of the winner's predictions."""
    return final_folder(study_folder) / EXPLAINED_ROWS


def study_blend_file(study_folder: Path) -> Path:
    """Return the file of the out-of-fold predictions of the blend over the study."""
    return study_folder / "study_blend.npz"


def model_dir(folder: Path) -> Path:
    """Return the folder of the bundle of a trial in ``folder``."""
    return folder / "model"


def output_data_dir(folder: Path) -> Path:
    """Return the folder of the metrics and predictions of a trial in ``folder``."""
    return folder / "output" / "data"


def scored_model_dir(folder: Path) -> Path:
    """Return the folder of the bundle of a trial's scored models, where those of its bundle are fitted on more rows."""
    return output_data_dir(folder) / SCORED_FOLDER


def log_path(folder: Path) -> Path:
    """Return the file of the output of a trial in ``folder``."""
    return folder / "log.txt"


def failure_path(folder: Path) -> Path:
    """Return the file with the reason why a trial in ``folder`` failed, at SageMaker's path."""
    return folder / "output" / "failure"


def prepare(trial: TrialSpec, spec: StudySpec) -> dict[str, str]:
    """Create the trial's folder, replacing an old one, and return the environment that SageMaker would give its script.

    Raises:
        StorageError: It cannot be written.
    """
    config = trial.folder / "input" / "config"
    with storage_errors(trial.folder):
        shutil.rmtree(trial.folder, ignore_errors=True)
        config.mkdir(parents=True)
        output_data_dir(trial.folder).mkdir(parents=True)
        (config / "hyperparameters.json").write_text(json.dumps(dict(trial.hyperparameters)))
    environ = {
        "SM_INPUT_CONFIG_DIR": str(config),
        **{f"SM_CHANNEL_{name.upper()}": str(folder) for name, folder in spec.channels.for_jobs().items()},
        "SM_OUTPUT_DIR": str(trial.folder / "output"),
        "SM_OUTPUT_DATA_DIR": str(output_data_dir(trial.folder)),
        "SM_NUM_CPUS": str(trial.threads),
    }
    if trial.hyperparameters.get("final_rows") == "all" and spec.channels.test is not None:
        environ["SM_CHANNEL_TEST"] = str(spec.channels.test)
    if spec.search.vary == "one_member":  # the other members have been fitted before
        environ[FITS_VARIABLE] = str(spec.folder / FITS_FOLDER)
    if trial.keep_model:
        environ["SM_MODEL_DIR"] = str(model_dir(trial.folder))
    return environ


def read_result(trial: TrialSpec, started: float, finished: float, exit_code: int | None) -> TrialResult:
    """Return the result of the trial in this folder.

    Args:
        trial: The trial that was run.
        started: Seconds since the epoch.
        finished: Seconds since the epoch.
        exit_code: Exit code of its script; negative for a signal, None if unknown.

    Raises:
        StorageError: It failed on a full disk.
        InputError: Another version of byoe has written its metrics, which does not make it a failed trial.
    """
    reason = None
    document: Mapping[str, Any] = {}
    try:
        if exit_code == 0:
            path = output_data_dir(trial.folder) / METRICS_FILE
            found = read_json(path)
            _check_version(found, path)
            wrong = _what_is_wrong(found, trial)
            if wrong is None:
                document = found
            else:
                reason = f"its {METRICS_FILE} is not valid: {wrong}"
        else:
            reason = _reason(trial.folder, exit_code)
    except (OSError, ValueError) as error:
        reason = f"its {METRICS_FILE} cannot be read: {error}"
    info = {key: value for key, value in document.items() if key != "metrics"}
    if reason is not None and _disk_was_full(trial.folder, reason):
        raise StorageError.at(trial.folder, "the disk is full, no space is left")
    metrics = document.get("metrics", {})
    state: TrialState = "failed" if reason is not None else "pruned" if "pruned" in info else "complete"
    return TrialResult(trial.index, state, dict(trial.params), started, finished, metrics, info, reason)


def is_written(folder: Path) -> bool:
    """Return whether the training in this folder has written its results, even if it still fits further models."""
    return (output_data_dir(folder) / METRICS_FILE).exists()


def check_rows(result: TrialResult, channels: Channels, place: str) -> TrialResult:
    """Return a trial's result, as failed if the trial read other rows than the study's.

    Args:
        result: The result, with the hashes of what the trial read.
        channels: The study's data.
        place: Where the trial read it, for the message.
    """
    other = [name for name, known in channels.hashes.items() if result.info.get(f"{name}_hash", known) != known]
    if result.state == "failed" or not other:
        return result
    return result.failing(
        f"its {listed(other)} rows are not those of the study: {place} has changed since. Restore the rows, or "
        "start another study with the new ones."
    )


def _check_version(document: Any, path: Path) -> None:
    """Raise InputError if ``metrics.json`` has another version of its format."""
    version = document.get("version", METRICS_VERSION) if isinstance(document, dict) else METRICS_VERSION
    if version != METRICS_VERSION:
        raise InputError(
            f"{path} has version {version}, and this release of byoe reads version {METRICS_VERSION}: continue the "
            "study with the release that wrote it, or start another one with study=<name>."
        )


def _what_is_wrong(document: Any, trial: TrialSpec) -> str | None:
    """Return what ``metrics.json`` lacks or has in a form that cannot be read; None if it is valid."""
    if not isinstance(document, dict) or not isinstance(document.get("metrics"), dict):
        return "it has no metrics"
    pruned = document.get("pruned")
    tables = {name: document.get(name, {}) for name in ("weights", "fit_seconds", "versions", "rounds", "left_out")}
    for name, table in tables.items():
        if not isinstance(table, dict):
            return f"its {name} are {table!r}"
    recipe = decode_recipe({name: text for name, text in trial.hyperparameters.items() if name not in DATA_PARAMETERS})
    members = [member.name for member in recipe.members if member.name not in tables["left_out"]]
    needed: dict[str, list[str]] = {"metrics": [recipe.objective]}
    main = main_score(task_of(document.get("classes", ())))
    needed["metrics"] += [f"cv_{main}_{name}" for name in (*members, BLENDED)]
    needed |= {"weights": members, "fit_seconds": members}
    if pruned is not None:
        if not isinstance(pruned, dict):
            return f"its pruned is {pruned!r}"
        needed = {"pruned": ["folds", "expected"]}
    tables |= {"metrics": document["metrics"], "pruned": pruned or {}}
    for table, names in needed.items():
        for name in names:
            if name not in tables[table]:
                return f"it has no {name} in {table}"
    for table in ("metrics", "pruned", "weights", "fit_seconds", "rounds"):
        for name, value in tables[table].items():
            if not _is_number(value):
                return f"{name} in {table} is {value!r}, which is not a finite number"
    return None


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number that fits a float."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _disk_was_full(folder: Path, reason: str) -> bool:
    return os.strerror(errno.ENOSPC) in reason or shutil.disk_usage(folder).free < FULL_DISK_BYTES


def _reason(folder: Path, exit_code: int | None) -> str:
    failure = failure_path(folder)
    if failure.is_file() and not failure.is_symlink():
        return failure.read_text(encoding="utf-8", errors="replace")
    if exit_code is not None and exit_code < 0:
        hint = "; was there enough memory?" if exit_code == -9 else ""
        return f"its process was killed by signal {-exit_code}{hint}"
    return f"its process ended with exit code {exit_code}"
