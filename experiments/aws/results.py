"""A finished training job of SageMaker's, brought home as a trial: its folder, its result and what it has cost."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble.cli import METRICS_FILE, OUT_OF_FOLD_FILE
from experiments.aws.account import error_code
from experiments.aws.jobs import COMPLETED, STOPPED
from experiments.aws.pricing import Price
from experiments.aws.storage import Storage
from experiments.errors import BackendUnavailable, StorageError, StudyFailed, listed, storage_errors
from experiments.sagemaker_requests.parameter_ranges import decode_point
from experiments.study.folder import (
    failure_path,
    log_path,
    model_dir,
    output_data_dir,
    read_result,
    trial_folder,
)
from experiments.study.predictions import Predictions
from experiments.study.spec import StudySpec, TrialResult, TrialSpec
from experiments.system.archives import DAMAGED, MODEL_ARCHIVE, names_that_fit, unpack

OUTPUT_ARCHIVE = "output.tar.gz"
# AWS keeps an objective in single precision.
_SINGLE = 1e-6
_LOG_LINES = 200
# What reading a file raises that is no archive of arrays, or a damaged one.
_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, MemoryError),
    *(zlib.error, zipfile.BadZipFile),
)
# What a job's output or model may take on this disk.
_MOST_BYTES = 10 * 10**9


@dataclass(frozen=True)
class ResultsImporter:
    """How the jobs of one study are brought home.

    Attributes:
        study: The study.
        storage: Where artifacts are.
        price: Of an instance, or None where that is not known.
    """

    study: StudySpec
    storage: Storage
    price: Price | None

    def import_results(
        self,
        job: Mapping[str, Any],
        index: int,
        log: Iterable[str],
        objective: float | None,
        early: str | None = None,
    ) -> TrialResult:
        """Return a finished training job as a trial, with what it left in the trial's folder.

        Args:
            job: What ``DescribeTrainingJob`` says of it.
            index: Number of the trial.
            log: The lines of its log, read if it has no score.
            objective: What SageMaker has read of the objective in its log.
            early: Why it was stopped, if it was by no limit of its own, and that is no failure.

        Raises:
            BackendUnavailable: Its artifacts could not be fetched.
            StorageError: The folder cannot be written.
        """
        study, folder = self.study, trial_folder(self.study.folder, index)
        hyperparameters = {name: text for name, text in job["HyperParameters"].items() if not name.startswith("_")}
        params = decode_point(study.space, hyperparameters) if study.points is None else study.points[index]
        trial = TrialSpec(index, params, hyperparameters, folder)
        started, finished = _times(job)
        completed = job["TrainingJobStatus"] == COMPLETED
        given_up = early if job["TrainingJobStatus"] == job.get("SecondaryStatus") == STOPPED else None
        with storage_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            config = folder / "input" / "config"
            config.mkdir(parents=True)
            (config / "hyperparameters.json").write_text(json.dumps(job["HyperParameters"]))
            output_data_dir(folder).mkdir(parents=True)
            if completed:
                failure = _fetch_output(self.storage, artifact(job, OUTPUT_ARCHIVE), folder)
            else:
                failure = given_up or _reason(job)
            if failure is not None:
                log_path(folder).write_text("\n".join([*log][-_LOG_LINES:]))
                failure_path(folder).write_text(failure)
            result = read_result(trial, started, finished, 0 if failure is None else 1)
        if given_up is not None:
            pruned = {} if objective is None else {"expected": objective}
            result = replace(result, state="pruned", info={**result.info, "pruned": pruned})
        result = replace(result, info={**result.info, "cloud": self._bill(job) | {"objective_in_log": objective}})
        return self._of_our_data(_checked(_predicted(result, folder), objective, study.objective))

    def _of_our_data(self, result: TrialResult) -> TrialResult:
        """Return the result, failed if its job has read other rows than the study's."""
        channels = self.study.channels
        other = [name for name, known in channels.hashes.items() if result.info.get(f"{name}_hash", known) != known]
        if result.state != "complete" or not other:
            return result
        place = "what was uploaded" if channels.in_place is None else f"what lies at {channels.in_place.location}/"
        return result.failing(
            f"its {listed(other)} rows are not those of the study: {place} has changed since. Put the rows back, or "
            "begin a study of the new ones."
        )

    def _bill(self, job: Mapping[str, Any]) -> dict[str, Any]:
        seconds = job.get("BillableTimeInSeconds")
        bill = {
            "job": job["TrainingJobName"],
            "created": job["CreationTime"].timestamp(),
            "billable_seconds": seconds,
        }
        if seconds is not None and self.price is not None:
            bill["cost_usd"] = self.price.of(seconds)
        return bill


def fetch_model(job: Mapping[str, Any], storage: Storage, folder: Path) -> None:
    """Fetch a job's model into a trial's folder, as archive and unpacked.

    Raises:
        BackendUnavailable: It could not be fetched.
        StudyFailed: It cannot be unpacked.
        StorageError: The folder cannot be written.
    """
    archive, location = folder / MODEL_ARCHIVE, job["ModelArtifacts"]["S3ModelArtifacts"]
    try:
        storage.download(location, archive)
        unpack(archive, model_dir(folder), _MOST_BYTES)
    except DAMAGED as error:
        raise StudyFailed(f"{location} cannot be unpacked: {error}") from None
    except OSError as error:
        raise StorageError.at(folder, error) from error


def artifact(job: Mapping[str, Any], name: str) -> str:
    """Return where a job has left an archive."""
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output/{name}"


def _times(job: Mapping[str, Any]) -> tuple[float, float]:
    """Return when a job was at work, in seconds since 1970; one that never was has its creation for both."""
    started = job.get("TrainingStartTime", job["CreationTime"])
    return started.timestamp(), job.get("TrainingEndTime", started).timestamp()


def _fetch_output(storage: Storage, location: str, folder: Path) -> str | None:
    """Fetch what a script has left; return why there is nothing of it, if so."""
    archive, data = folder / OUTPUT_ARCHIVE, output_data_dir(folder)
    try:
        storage.download(location, archive)
        unpack(archive, data, _MOST_BYTES)
        nested = data / "data"  # as the SDK's local mode packs it
        if not (data / METRICS_FILE).exists() and (nested / METRICS_FILE).exists():
            with names_that_fit(archive):
                for path in nested.iterdir():
                    path.replace(data / path.name)
                nested.rmdir()
    except DAMAGED as error:
        return f"{location} cannot be unpacked: {error}"
    except BackendUnavailable as error:
        if error_code(error) != "NoSuchKey":
            raise
        return f"its script has left nothing: there is no {location}"
    finally:
        archive.unlink(missing_ok=True)
    return None


def _reason(job: Mapping[str, Any]) -> str:
    if job.get("FailureReason"):
        return str(job["FailureReason"])
    second = job.get("SecondaryStatus", "")
    if second == "MaxRuntimeExceeded":
        seconds = job["StoppingCondition"]["MaxRuntimeInSeconds"]
        return f"it ran longer than mode.max_runtime_seconds={seconds} and was stopped"
    if second == "MaxWaitTimeExceeded":
        seconds = job["StoppingCondition"]["MaxWaitTimeInSeconds"]
        return f"there was no spare instance within mode.max_wait_seconds={seconds}"
    return f"SageMaker ended it as {job['TrainingJobStatus']} ({second or 'no reason given'})"


def _predicted(result: TrialResult, folder: Path) -> TrialResult:
    """Return the result, failed if its predictions, which the winner's pictures are made of, cannot be read."""
    if result.state != "complete":
        return result
    try:
        found = Predictions.read(output_data_dir(folder) / OUT_OF_FOLD_FILE)
        shapes = {found.target.shape, found.blended.shape, found.members[:, 0].shape}
        if len(shapes) == 1 and found.members.shape[1] == len(found.names) and found.target.ndim == 1:
            return result
        reason = "its arrays have other shapes"
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
    return result.failing(f"it left no readable {OUT_OF_FOLD_FILE}: {reason}")


def _checked(result: TrialResult, read: float | None, objective: str) -> TrialResult:
    """Return the result, failed if its objective is not what SageMaker itself has read in the log."""
    if result.state != "complete":
        return result
    written = result.metrics[objective]
    if read is not None and math.isclose(read, written, rel_tol=_SINGLE):
        return result
    said = "SageMaker has read none in the log" if read is None else f"SageMaker has read {read!r} in the log"
    return result.failing(
        f"the objective {objective} cannot be trusted: {said}, and metrics.json has {written!r}. The entry script "
        "prints it once, by ensemble.wire.metric_line."
    )
