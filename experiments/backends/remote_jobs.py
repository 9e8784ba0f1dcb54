"""Follow a study's jobs on SageMaker, and import the results of each when it has ended."""

from __future__ import annotations

import abc
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.aws.jobs import COMPLETED, DELETING, ENDED, SageMakerJobs, TrainingJobSummary
from experiments.aws.pricing import Price
from experiments.aws.results import ResultsImporter, fetch_model
from experiments.aws.storage import Storage
from experiments.aws.visibility import SECONDS
from experiments.backends.base import StudyHandle
from experiments.backends.failure_limit import FailureLimit
from experiments.errors import BackendUnavailable, StudyFailed, StudyTaken, storage_errors
from experiments.reporting.console import dollars
from experiments.sagemaker_requests.jobs import TRAINING, objective_regex
from experiments.study.folder import final_folder, output_data_dir, trial_folder
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult
from experiments.system import clock, crash_points
from experiments.system.project import COMMAND

# How the state of a job without a result is shown.
_STATES = {"InProgress": "running", "Stopping": "stopping", "Stopped": "stopped"}


@dataclass(frozen=True)
class Source:
    """Where a study's results come from.

    Attributes:
        jobs: The account's jobs.
        storage: Where their artifacts are.
        price: Of an instance, or None where that is not known.
        poll_seconds: How often AWS is asked.
        report: Called with a sentence for the user.
    """

    jobs: SageMakerJobs
    storage: Storage
    price: Price | None
    poll_seconds: float
    report: Callable[[str], None]


class _JobsHandle(StudyHandle):
    """Imports the results of each job once, when it has ended."""

    final_status = "downloading the model of the best trial"

    def __init__(self, study: StudySpec, ledger: Ledger, source: Source) -> None:
        self._study = study
        self._ledger = ledger
        self._source = source
        self._jobs = source.jobs
        self._importer = ResultsImporter(study, source.storage, source.price)
        self._results = {result.index: result for result in ledger.results()}
        self._failures = FailureLimit(study)
        for result in self._results.values():
            self._failures.count(result)
        self._counts = Counter[str]()
        self._seen_ended: dict[int, float] = {}

    def results(self) -> Iterator[TrialResult]:
        """Yield recorded trials, then each new one as its job ends; returns when no job is left."""
        yield from list(self._results.values())
        while True:
            ended = self.ended()
            seen = self.poll()
            self._counts = Counter(job.status for job in seen)
            recorded = False
            for job in seen:
                ended_or_deleted = job.ended or job.status == DELETING
                if ended_or_deleted and job.index not in self._results and (result := self._record(job)) is not None:
                    recorded = True
                    yield result
            if ended and all(job.index in self._results for job in seen):
                self._check_begun()
                return
            self._check_failures()
            if not recorded:  # else it may have been the last, or there is room for the next
                clock.sleep(self._source.poll_seconds)

    def _check_begun(self) -> None:
        """Raise StudyFailed if the study has ended before any of its jobs began."""

    @abc.abstractmethod
    def ended(self) -> bool:
        """Whether no further job will begin; asked before ``poll``, so that none is missed in between."""

    @abc.abstractmethod
    def poll(self) -> list[TrainingJobSummary]:
        """Return every job, in order of index; start those that are due."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop what runs on SageMaker."""

    def early_stop_reason(self) -> str | None:
        """Return why a job was stopped by neither its limits nor byoe, where that is not a failure."""
        return None

    def note(self) -> str:
        """Return jobs by state, and what they have cost."""
        parts = [f"{count} {_STATES[status]}" for status, count in self._counts.items() if status in _STATES]
        spent = sum(result.info["cloud"].get("cost_usd", 0.0) for result in self._results.values())
        if self._source.price is not None:
            parts.append(f"{dollars(spent)} so far")
        return ", ".join(parts)

    def run_final(self, index: int, recipe: Mapping[str, str] | None = None) -> TrialResult:
        """Download the model of the trial's job, which is the model that was scored there."""
        result = self._results[index]
        job = self._jobs.training_job(result.info["cloud"]["job"])
        if job is None:
            raise StudyFailed(
                f"training job {result.info['cloud']['job']} no longer exists on SageMaker, and neither does its model."
            )
        final = final_folder(self._study.folder)
        _copy(output_data_dir(trial_folder(self._study.folder, index)), output_data_dir(final))
        fetch_model(job, self._source.storage, final)
        return result

    def cancel(self) -> None:
        """Let the jobs on SageMaker continue: they are paid for, and the next run imports their results."""

    def _record(self, job: TrainingJobSummary) -> TrialResult | None:
        """Import a job's results and record them; return None if it has no objective yet, and may have one soon."""
        described = self._described(job.name)
        objective = job.objective
        if objective is None:
            values = {metric["MetricName"]: metric["Value"] for metric in described.get("FinalMetricDataList", ())}
            objective = values.get(self._study.objective)
        if job.status == COMPLETED and objective is None:
            objective = self.objective_in_log(described)
            if objective is None and self._may_be_late(job):
                return None
        log = self._jobs.log(job.name)
        result = self._importer.import_results(described, job.index, log, objective, self.early_stop_reason())
        crash_points.point("trial_finished")
        self._ledger.record_asked({result.index: result.params})
        crash_points.point("trials_asked")
        self._ledger.record(result)
        crash_points.point("trial_recorded")
        self._results[result.index] = result
        self._failures.count(result)
        return result

    def _described(self, name: str) -> dict[str, Any]:
        """Return AWS's description of a training job that exists.

        Raises:
            StudyFailed: It was deleted, or is being deleted.
        """
        described = self._jobs.training_job(name)
        if described is None or described["TrainingJobStatus"] == DELETING:
            how = "no longer exists" if described is None else "is being deleted"
            raise StudyFailed(f"training job {name} {how} on SageMaker, and its results were not imported.")
        return described

    def objective_in_log(self, job: Mapping[str, Any]) -> float | None:
        """Return the objective in a completed job's log, where SageMaker may report it later than the log."""
        return None

    def _may_be_late(self, job: TrainingJobSummary) -> bool:
        """Whether SageMaker may still find the objective of a job that has ended."""
        since = self._seen_ended.setdefault(job.index, clock.now())
        return job.pending and clock.now() - since < SECONDS

    def _check_failures(self) -> None:
        """Stop the jobs and raise StudyFailed if more trials failed than the study allows."""
        if (reason := self._failures.exceeded("; the rest was stopped")) is not None:
            with suppress(BackendUnavailable):  # it may have ended meanwhile, and the failures are what to report
                self.stop()
            raise StudyFailed(reason)


class TuningHandle(_JobsHandle):
    """Follows a tuning job, which picks and starts its training jobs itself."""

    _reason = ""
    _early_stop: str | None = None

    def ended(self) -> bool:
        """Whether the tuning job has ended."""
        job = self._jobs.tuning_job(self._study.name)
        if job is None:
            raise StudyFailed(f"tuning job {self._study.name} no longer exists on SageMaker.")
        if job["HyperParameterTuningJobStatus"] == DELETING:
            raise StudyFailed(f"tuning job {self._study.name} is being deleted on SageMaker.")
        self._reason = f"{job['HyperParameterTuningJobStatus']}: {job.get('FailureReason', 'it gave no reason')}"
        if job["HyperParameterTuningJobConfig"].get("TrainingJobEarlyStoppingType") == "Auto":
            stopped = job["HyperParameterTuningJobStatus"] in ("Stopping", "Stopped")
            self._early_stop = "AMT stopped it early" + (", or with its tuning job" if stopped else "")
        return job["HyperParameterTuningJobStatus"] in ENDED

    def early_stop_reason(self) -> str | None:
        """Return that AMT stopped the job early, where the tuning job lets it."""
        return self._early_stop

    def _check_begun(self) -> None:
        if not self._results:
            raise StudyFailed(f"tuning job {self._study.name} has ended without a training job. {self._reason}")

    def poll(self) -> list[TrainingJobSummary]:
        """Return the training jobs that the tuner has started."""
        return self._jobs.training_jobs(self._study.name)

    def stop(self) -> None:
        """Stop the tuning job."""
        self._jobs.stop_tuning(self._study.name)


class TrainingHandle(_JobsHandle):
    """Starts the training jobs of given points, up to the study's parallelism at a time."""

    def __init__(self, study: StudySpec, ledger: Ledger, source: Source, requests: list[dict[str, Any]]) -> None:
        super().__init__(study, ledger, source)
        self._requests = requests

    def ended(self) -> bool:
        """Whether every point's job is recorded."""
        return len(self._results) == len(self._requests)

    def poll(self) -> list[TrainingJobSummary]:
        """Start jobs up to the study's parallelism, and return those that exist."""
        seen = []
        for index, request in enumerate(self._requests):
            name = request["TrainingJobName"]
            if index in self._results:
                seen.append(TrainingJobSummary(index, name, COMPLETED, None))
                continue
            if sum(not job.ended for job in seen) >= self._study.parallel:
                break
            job = self._jobs.training_job(name)
            if job is not None and job["TrainingJobStatus"] == DELETING:
                raise StudyFailed(
                    f"training job {name} is being deleted on SageMaker, and its results were not imported."
                )
            if job is None:
                self._create(request, sum(not job.ended for job in seen))
                job = self._jobs.training_job(name) or {"TrainingJobStatus": "InProgress"}
            else:
                check_same_job(job, request)
            # The description of a direct job does not say whether its objective is still to come.
            seen.append(TrainingJobSummary(index, name, job["TrainingJobStatus"], None, pending=True))
        return seen

    def objective_in_log(self, job: Mapping[str, Any]) -> float | None:
        """Return the last value that the request's regular expression finds in the job's log."""
        regex = objective_regex(job, self._study.objective)
        found = [match[1] for line in self._jobs.log(job["TrainingJobName"]) for match in re.finditer(regex, line)]
        try:
            return float(found[-1])
        except (IndexError, ValueError):
            return None

    def _create(self, request: Mapping[str, Any], running: int) -> None:
        try:
            self._jobs.create(TRAINING, request, self._source.report)
        except BackendUnavailable as error:
            if not running:
                raise
            raise BackendUnavailable(
                f"{error} {running} {'job continues' if running == 1 else 'jobs continue'} on SageMaker, and you pay "
                f"for {'it' if running == 1 else 'them'}: the same command follows and starts the rest, "
                f"{COMMAND} mode=remote action=clean stops what runs."
            ) from error
        crash_points.point("launched")

    def stop(self) -> None:
        """Stop every job that runs, and start no other."""
        for index, request in enumerate(self._requests):
            job = None if index in self._results else self._jobs.training_job(request["TrainingJobName"])
            if job is not None and job["TrainingJobStatus"] == "InProgress":
                self._jobs.stop_training(request["TrainingJobName"])


def check_same_job(job: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Raise StudyTaken unless a training job is the one that is requested."""
    if _runs(job) != _runs(request):
        raise StudyTaken(
            f"training job {request['TrainingJobName']} already exists, with another configuration or other data: give "
            "another name with study=<name>."
        )


def _runs(job: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what decides a training job's numbers: its hyperparameters, code among them, and where its data are."""
    locations = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"]]
    return job["HyperParameters"], locations


def _copy(source: Path, target: Path) -> None:
    with storage_errors(target):
        shutil.copytree(source, target, dirs_exist_ok=True)
