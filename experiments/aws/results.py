"""Import a finished SageMaker training job as a trial: its folder, its result and its cost."""

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

from ensemble.finished_trainings import METRICS_FILE, OUT_OF_FOLD_FILE
from experiments.aws.account import error_code
from experiments.aws.jobs import COMPLETED, STOPPED
from experiments.aws.pricing import Price
from experiments.aws.storage import Storage
from experiments.errors import BackendUnavailable, StorageError, StudyFailed, storage_errors
from experiments.sagemaker_requests.jobs import time_limit_failure
from experiments.sagemaker_requests.parameter_ranges import decode_point
from experiments.study.folder import (
    check_rows,
    failure_path,
    log_path,
    model_dir,
    output_data_dir,
    read_result,
)
from experiments.study.predictions import Predictions
from experiments.study.spec import SINGLE_PRECISION, StudySpec, TrialResult, TrialSpec
from experiments.system.archives import MODEL_ARCHIVE, DamagedArchive, archive_errors, unpack

OUTPUT_ARCHIVE = "output.tar.gz"
_LOG_LINES = 200
# Raised when a file that should be an archive of arrays is something else, or damaged.
_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, MemoryError),
    *(zlib.error, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class ResultsImporter:
    """Imports the results of one study's jobs.

    Attributes:
        study: The study.
        storage: The storage that has the artifacts.
        price: The price of an instance, or None if it is unknown.
    """

    study: StudySpec
    storage: Storage
    price: Price | None

    def import_results(
        self,
        job: Mapping[str, Any],
        index: int,
        folder: Path,
        log: Iterable[str],
        objective: float | None,
        pruned_reason: str | None = None,
    ) -> TrialResult:
        """Download the output of a finished training job into its trial's folder, and return its result.

        Args:
            job: The answer of ``DescribeTrainingJob``.
            index: The trial's index.
            folder: The trial's folder.
            log: The lines of the job's log, read only if the job has no score.
            objective: The objective that SageMaker read from the log, or None.
            pruned_reason: The reason to record if AMT stopped the job early; None if such a job is a failure.

        Raises:
            BackendUnavailable: The artifacts cannot be downloaded.
            StorageError: The folder cannot be written.
        """
        study = self.study
        hyperparameters = {name: text for name, text in job["HyperParameters"].items() if not name.startswith("_")}
        params = decode_point(study.space, hyperparameters) if study.points is None else study.points[index]
        trial = TrialSpec(index, params, hyperparameters, folder)
        started, finished = _times(job)
        completed = job["TrainingJobStatus"] == COMPLETED
        stopped_early = job["TrainingJobStatus"] == job.get("SecondaryStatus") == STOPPED
        pruned = pruned_reason if stopped_early else None
        with storage_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            config = folder / "input" / "config"
            config.mkdir(parents=True)
            (config / "hyperparameters.json").write_text(json.dumps(job["HyperParameters"]))
            output_data_dir(folder).mkdir(parents=True)
            if completed:
                failure = _fetch_output(self.storage, artifact(job, OUTPUT_ARCHIVE), folder)
            else:
                failure = pruned or _reason(job)
            if failure is not None:
                log_path(folder).write_text("\n".join([*log][-_LOG_LINES:]), encoding="utf-8")
                failure_path(folder).write_text(failure, encoding="utf-8")
            result = read_result(trial, started, finished, 0 if failure is None else 1)
        if pruned is not None:
            expected = {} if objective is None else {"expected": objective}
            result = replace(result, state="pruned", info={**result.info, "pruned": expected})
        result = replace(result, info={**result.info, "cloud": self._bill(job) | {"objective_in_log": objective}})
        channels = study.channels
        place = "the uploaded data" if channels.in_place is None else f"the data at {channels.in_place.location}/"
        checked = _check_objective(_check_predictions(result, folder), objective, study.objective)
        return check_rows(checked, channels, place)

    def _bill(self, job: Mapping[str, Any]) -> dict[str, Any]:
        seconds = billed_seconds(job)
        bill = {
            "job": job["TrainingJobName"],
            "created": job["CreationTime"].timestamp(),
            "billable_seconds": seconds,
        }
        if seconds is not None and self.price is not None:
            bill["cost_usd"] = self.price.cost(seconds)
        return bill


def fetch_model(job: Mapping[str, Any], storage: Storage, folder: Path) -> None:
    """Download a job's model into a trial's folder, as an archive and unpacked.

    Raises:
        BackendUnavailable: The model cannot be downloaded.
        StudyFailed: The archive cannot be unpacked.
        StorageError: The folder cannot be written.
    """
    archive, location = folder / MODEL_ARCHIVE, job["ModelArtifacts"]["S3ModelArtifacts"]
    try:
        storage.download(location, archive)
        unpack(archive, model_dir(folder))
    except DamagedArchive as error:
        raise StudyFailed(f"{location} cannot be unpacked: {error}") from None
    except OSError as error:
        raise StorageError.at(folder, error) from error


def billed_seconds(job: Mapping[str, Any]) -> int | None:
    """Return the seconds that a job and its warm pool have been billed for so far; None if AWS does not say yet.

    The pool's are ``ResourceRetainedBillableTimeInSeconds``, in addition to those of the job (WarmPoolStatus in AWS's
    API reference).
    """
    retained = job.get("WarmPoolStatus", {}).get("ResourceRetainedBillableTimeInSeconds", 0)
    seconds = job.get("BillableTimeInSeconds")
    return None if seconds is None else int(seconds) + int(retained)


def artifact(job: Mapping[str, Any], name: str) -> str:
    """Return the location of an archive that a job wrote."""
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output/{name}"


def _times(job: Mapping[str, Any]) -> tuple[float, float]:
    """Return when a job started and ended, in seconds since 1970; if it never started, both are its creation."""
    started = job.get("TrainingStartTime", job["CreationTime"])
    return started.timestamp(), job.get("TrainingEndTime", started).timestamp()


def _fetch_output(storage: Storage, location: str, folder: Path) -> str | None:
    """Download a script's output; return the reason if there is none."""
    archive, data = folder / OUTPUT_ARCHIVE, output_data_dir(folder)
    try:
        storage.download(location, archive)
        unpack(archive, data)
        nested = data / "data"  # the SDK's local mode packs it this way
        if not (data / METRICS_FILE).exists() and (nested / METRICS_FILE).exists():
            with archive_errors(archive):
                for path in nested.iterdir():
                    path.replace(data / path.name)
                nested.rmdir()
    except DamagedArchive as error:
        return f"{location} cannot be unpacked: {error}"
    except BackendUnavailable as error:
        if error_code(error) != "NoSuchKey":
            raise
        return f"its script wrote no output: {location} does not exist"
    finally:
        archive.unlink(missing_ok=True)
    return None


def _reason(job: Mapping[str, Any]) -> str:
    if job.get("FailureReason"):
        return str(job["FailureReason"])
    second = job.get("SecondaryStatus", "")
    if second == "MaxRuntimeExceeded":
        return time_limit_failure(job)
    if second == "MaxWaitTimeExceeded":
        seconds = job["StoppingCondition"]["MaxWaitTimeInSeconds"]
        return f"no spot instance was available within mode.max_wait_seconds={seconds}"
    return f"SageMaker ended it as {job['TrainingJobStatus']} ({second or 'no reason given'})"


def _check_predictions(result: TrialResult, folder: Path) -> TrialResult:
    """Return the result, as failed if its predictions cannot be read; the winner's figures need them."""
    if result.state != "complete":
        return result
    try:
        found = Predictions.read(output_data_dir(folder) / OUT_OF_FOLD_FILE)
        rows, outputs = len(found.target), ((len(result.classes),) if result.classes else ())
        shapes = [array.shape for array in (found.target, found.blended, found.members)]
        if shapes == [(rows,), (rows, *outputs), (rows, len(found.names), *outputs)]:
            return result
        reason = "the shapes of its arrays do not match"
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
    return result.failing(f"its {OUT_OF_FOLD_FILE} cannot be read: {reason}")


def _check_objective(result: TrialResult, read: float | None, objective: str) -> TrialResult:
    """Return the result, as failed if SageMaker read another objective from the log."""
    if result.state != "complete":
        return result
    written = result.metrics[objective]
    if read is not None and math.isclose(read, written, rel_tol=SINGLE_PRECISION):
        return result
    found = "SageMaker found no value in the log" if read is None else f"SageMaker read {read!r} from the log"
    return result.untrusted(objective, found)
