"""A study's jobs on SageMaker: the results of those that have ended, and a tuning job that is followed."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from experiments.errors import BackendUnavailable, StudyFailed, storage_errors
from experiments.reporting.console import dollars
from experiments.sagemaker_requests.jobs import objective_regex
from experiments.study.folder import final_folder, output_data_dir, trial_folder
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult
from experiments.system import clock, crash_points

# What is done about the other jobs when too many have failed.
REST_STOPPED = "; the rest was stopped"
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


class FinishedJobs:
    """Imports the results of training jobs that have ended. Methods are safe in any thread."""

    def __init__(self, study: StudySpec, source: Source) -> None:
        """Read nothing yet."""
        self._study = study
        self._jobs = source.jobs
        self._storage = source.storage
        self._importer = ResultsImporter(study, source.storage, source.price)
        self._seen_ended: dict[str, float] = {}

    def result(
        self, job: TrainingJobSummary, folder: Path, *, direct: bool, early_stop: str | None = None
    ) -> TrialResult | None:
        """Import a job's results; return None if it has no objective yet, and may have one soon.

        Args:
            job: The job, which has ended.
            folder: The folder of its trial.
            direct: Whether byoe has started it, and SageMaker may report its objective later than its log.
            early_stop: Why a job was stopped by neither its limits nor byoe, where that is not a failure.

        Raises:
            StudyFailed: The job was deleted.
        """
        described = self.described(job.name)
        objective = job.objective
        if objective is None:
            values = {metric["MetricName"]: metric["Value"] for metric in described.get("FinalMetricDataList", ())}
            objective = values.get(self._study.objective)
        if job.status == COMPLETED and objective is None:
            objective = self._objective_in_log(described) if direct else None
            if objective is None and self._may_be_late(job):
                return None
        log = self._jobs.log(job.name)
        return self._importer.import_results(described, job.index, folder, log, objective, early_stop)

    def described(self, name: str) -> dict[str, Any]:
        """Return AWS's description of a training job that exists.

        Raises:
            StudyFailed: It was deleted, or is being deleted.
        """
        described = self._jobs.training_job(name)
        if described is None or described["TrainingJobStatus"] == DELETING:
            how = "no longer exists" if described is None else "is being deleted"
            raise StudyFailed(f"training job {name} {how} on SageMaker, and its results were not imported.")
        return described

    def final(self, result: TrialResult) -> TrialResult:
        """Place the output and the model of a trial's job in the study's ``final`` folder; return the trial."""
        job = self._jobs.training_job(result.info["cloud"]["job"])
        if job is None:
            raise StudyFailed(
                f"training job {result.info['cloud']['job']} no longer exists on SageMaker, and neither does its model."
            )
        folder = final_folder(self._study.folder)
        _copy(output_data_dir(trial_folder(self._study.folder, result.index)), output_data_dir(folder))
        fetch_model(job, self._storage, folder)
        return result

    def fetch_model(self, name: str, folder: Path) -> None:
        """Download the model of a job into the folder of its training."""
        fetch_model(self.described(name), self._storage, folder)

    def _objective_in_log(self, job: Mapping[str, Any]) -> float | None:
        """Return the last value that the request's regular expression finds in the job's log."""
        regex = objective_regex(job, self._study.objective)
        found = [match[1] for line in self._jobs.log(job["TrainingJobName"]) for match in re.finditer(regex, line)]
        try:
            return float(found[-1])
        except (IndexError, ValueError):
            return None

    def _may_be_late(self, job: TrainingJobSummary) -> bool:
        """Whether SageMaker may still find the objective of a job that has ended."""
        since = self._seen_ended.setdefault(job.name, clock.now())
        return job.pending and clock.now() - since < SECONDS


def state_note(counts: Mapping[str, int], results: Iterable[TrialResult], price: Price | None) -> str:
    """Return jobs by state, and what those with a result have cost.

    Args:
        counts: Number of jobs by SageMaker's status.
        results: The study's finished trials.
        price: Of an instance, or None where that is not known.
    """
    parts = [f"{count} {_STATES[status]}" for status, count in counts.items() if status in _STATES]
    spent = sum(result.info.get("cloud", {}).get("cost_usd", 0.0) for result in results)
    if price is not None:
        parts.append(f"{dollars(spent)} so far")
    return ", ".join(parts)


class TuningHandle(StudyHandle):
    """Follows a tuning job, which picks and starts its training jobs itself; imports each once, when it has ended."""

    final_status = "downloading the model of the best trial"

    def __init__(self, study: StudySpec, ledger: Ledger, source: Source) -> None:
        """Follow the tuning job of this name, and record its trials in an open ledger."""
        self._study = study
        self._ledger = ledger
        self._source = source
        self._jobs = source.jobs
        self._finished = FinishedJobs(study, source)
        self._results = {result.index: result for result in ledger.results()}
        self._failures = FailureLimit(study)
        for result in self._results.values():
            self._failures.count(result)
        self._counts = Counter[str]()
        self._reason = ""
        self._early_stop: str | None = None

    def results(self) -> Iterator[TrialResult]:
        """Yield recorded trials, then each new one as its job ends; returns when no job is left."""
        yield from list(self._results.values())
        while True:
            ended = self._ended()  # asked before the jobs, so that none is missed in between
            seen = self._jobs.training_jobs(self._study.name)
            self._counts = Counter(job.status for job in seen)
            recorded = False
            for job in seen:
                ended_or_deleted = job.ended or job.status == DELETING
                if ended_or_deleted and job.index not in self._results and (result := self._record(job)) is not None:
                    recorded = True
                    yield result
            if ended and all(job.index in self._results for job in seen):
                if not self._results:
                    raise StudyFailed(f"tuning job {self._study.name} has ended without a training job. {self._reason}")
                return
            self._check_failures()
            if not recorded:  # else it may have been the last
                clock.sleep(self._source.poll_seconds)

    def note(self) -> str:
        """Return jobs by state, and what they have cost."""
        return state_note(self._counts, list(self._results.values()), self._source.price)

    def run_final(self, index: int, recipe: Mapping[str, str] | None = None) -> TrialResult:
        """Download the model of the trial's job, which is the model that was scored there."""
        return self._finished.final(self._results[index])

    def cancel(self) -> None:
        """Let the jobs on SageMaker continue: they are paid for, and the next run imports their results."""

    def _ended(self) -> bool:
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

    def _record(self, job: TrainingJobSummary) -> TrialResult | None:
        """Import a job's results and record them; return None if it has no objective yet, and may have one soon."""
        folder = trial_folder(self._study.folder, job.index)
        found = self._finished.result(job, folder, direct=False, early_stop=self._early_stop)
        if found is None:
            return None
        result = found.ran_in(self._study.mode)
        crash_points.point("trial_finished")
        self._ledger.record_asked({result.index: result.params})
        crash_points.point("trials_asked")
        self._ledger.record(result)
        crash_points.point("trial_recorded")
        self._results[result.index] = result
        self._failures.count(result)
        return result

    def _check_failures(self) -> None:
        """Stop the tuning job and raise StudyFailed if more trials failed than the study allows."""
        if (reason := self._failures.exceeded(REST_STOPPED)) is not None:
            with suppress(BackendUnavailable):  # it may have ended meanwhile, and the failures are what to report
                self._jobs.stop_tuning(self._study.name)
            raise StudyFailed(reason)


def _copy(source: Path, target: Path) -> None:
    with storage_errors(target):
        shutil.copytree(source, target, dirs_exist_ok=True)
