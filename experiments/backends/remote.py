"""``mode=remote``: a study as one tuning job of SageMaker's, or as its training jobs; results come home as they end."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments import faults
from experiments.aws.account import Account
from experiments.aws.bring_home import Homecoming, fetch_model
from experiments.aws.cloud_jobs import ENDED, CloudJobs, Seen
from experiments.aws.cost import Bound, check_budget
from experiments.aws.documents import CODE_ARCHIVE, CloudOptions, Placement, training_job, tuning_job
from experiments.aws.prices import Price
from experiments.aws.storage import Storage
from experiments.aws.validation import check_document
from experiments.backends.base import Backend, StudyHandle
from experiments.backends.optuna_loop import FEWEST_TRIALS_TO_JUDGE
from experiments.backends.trial_folder import final_folder, output_data_dir, trial_folder
from experiments.errors import BackendUnavailable, ConfigError, StorageError, StudyFailed, StudyTaken
from experiments.ledger import Ledger
from experiments.source_dir import check_dependencies
from experiments.study import StudySpec, TrialResult

REQUEST_FILE = "request.json"
TUNING, TRAINING = "CreateHyperParameterTuningJob", "CreateTrainingJob"
CONFIG_TAG = "byoe:config_hash"
# How a job's state that is no result yet is shown.
_WORDS = {"InProgress": "running", "Stopping": "stopping", "Stopped": "stopped"}


@dataclass(frozen=True)
class RemoteSettings:
    """How SageMaker runs a study.

    Attributes:
        account: The account and region.
        image: The container image.
        role: ARN of the role that jobs take on.
        bucket: The bucket.
        prefix: What everything of ours in the bucket begins with, without slashes at its ends.
        requirements: Whether jobs install their requirements as they start.
        instance_type: Kind of machine.
        volume_gb: Size of its disk.
        max_runtime_seconds: After so long a job is stopped.
        isolated: Whether containers have no network.
        price: Of an instance; None where it is not known.
        budget_usd: What a new launch may cost at most.
        poll_seconds: How often AWS is asked.
        command: The command as typed, for messages.
        cloud: What the documents have on SageMaker only; its checkpoints are set here, below the study's prefix.
    """

    account: Account
    image: str
    role: str
    bucket: str
    prefix: str
    requirements: bool
    instance_type: str
    volume_gb: int
    max_runtime_seconds: int
    isolated: bool
    price: Price | None
    budget_usd: float | None
    poll_seconds: float
    command: str
    cloud: CloudOptions = field(default_factory=CloudOptions)

    def location(self, *parts: str) -> str:
        """Return ``s3://bucket/prefix/...``."""
        return "s3://" + "/".join([self.bucket, *filter(None, [self.prefix]), *parts])

    def bound(self, study: StudySpec) -> Bound:
        """Return what a study can be billed for at most."""
        seconds = self.max_runtime_seconds + self.cloud.keep_alive_seconds
        return Bound(study.n_trials, seconds, self.instance_type, self.price)


class RemoteBackend(Backend):
    """Sends the study's request to SageMaker, once, and brings home what its jobs leave."""

    def __init__(self, settings: RemoteSettings, source: str, prepare: Callable[[StudySpec], None]) -> None:
        """Use settings that were checked; nothing is sent yet.

        Args:
            settings: Where and how.
            source: Digest of what jobs run, which names its archive.
            prepare: Does what is to be done once before a launch: proves the study on this machine, checks the
                account and uploads what the request names.
        """
        self._settings = settings
        self._source = source
        self._prepare = prepare

    def preflight(self, study: StudySpec) -> None:
        """Check the requests as AWS would; where nothing of the study runs yet, the budget too."""
        check_dependencies(study.dependencies)
        self.requests(study)
        if self._launched(study):
            return
        check_budget(self._settings.bound(study), self._settings.budget_usd, self._settings.command)

    def requests(self, study: StudySpec) -> dict[str, list[dict[str, Any]]]:
        """Return the study's requests by operation, checked.

        Raises:
            InvalidDocument: AWS would refuse one.
        """
        placement = self.placement(study)
        if study.points is None:
            found = {TUNING: [tuning_job(study, placement)]}
        else:
            found = {TRAINING: [training_job(study, placement, i, point) for i, point in enumerate(study.points)]}
        for operation, documents in found.items():
            for document in documents:
                check_document(operation, document, local=False)
        return found

    def placement(self, study: StudySpec) -> Placement:
        """Return where the study's jobs run and where their files are."""
        settings = self._settings
        data = ("data", study.channels.data_hash[:16])
        code = settings.location("code", self._source)
        output = settings.location("studies", study.name)
        cloud = settings.cloud
        if cloud.spot_wait_seconds is not None:
            # Every job has a folder of its own there, by its name.
            cloud = replace(cloud, checkpoints=f"{output}/checkpoints")
        return Placement(
            image=settings.image,
            role=settings.role,
            train=f"{settings.location(*data)}/train/",
            validation=f"{settings.location(*data)}/validation/",
            code=f"{code}/{CODE_ARCHIVE}",
            code_channel=f"{code}/" if settings.isolated else None,
            output=output,
            instance_type=settings.instance_type,
            max_runtime_seconds=settings.max_runtime_seconds,
            isolated=settings.isolated,
            volume_gb=settings.volume_gb,
            cloud=cloud,
        )

    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Launch what is not launched yet, or attach to it."""
        requests = self.requests(study)
        jobs = CloudJobs(self._settings.account)
        try:
            (study.folder / REQUEST_FILE).write_text(json.dumps(requests, indent=1))
        except OSError as error:
            raise StorageError.at(study.folder, error.strerror or str(error)) from error
        if not self._launched(study):
            check_budget(self._settings.bound(study), self._settings.budget_usd, self._settings.command)
            self._prepare(study)
            faults.point("uploaded")
        storage = Storage(self._settings.account.client("s3"))
        source = Source(jobs, storage, self._settings.price, self._settings.poll_seconds)
        if study.points is not None:
            return TrainingHandle(study, ledger, source, requests[TRAINING])
        (document,) = requests[TUNING]
        if jobs.tuning_job(study.name) is None:
            jobs.create(TUNING, document)
            faults.point("launched")
        self._check_own(study, jobs)
        return TuningHandle(study, ledger, source)

    def _launched(self, study: StudySpec) -> bool:
        """Whether a job of the study is there already."""
        jobs = CloudJobs(self._settings.account)
        if study.points is None:
            return jobs.tuning_job(study.name) is not None
        (first, *_) = self.requests(study)[TRAINING]
        return jobs.training_job(first["TrainingJobName"]) is not None

    def _check_own(self, study: StudySpec, jobs: CloudJobs) -> None:
        """Raise unless the tuning job of this name is this study's."""
        job = jobs.tuning_job(study.name) or {}
        theirs = jobs.tags(job["HyperParameterTuningJobArn"]).get(CONFIG_TAG)
        if theirs != study.identity_hash():
            raise StudyTaken(
                f"tuning job {study.name} is there already, of another configuration (tag {CONFIG_TAG} is {theirs}): "
                "give another name with study=<name>."
            )
        jobs_at_most = job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
        if study.n_trials > jobs_at_most:
            raise ConfigError(
                f"search.n_trials={study.n_trials}: tuning job {study.name} has {jobs_at_most} training jobs, and a "
                f"tuning job cannot be extended. Begin another that learns from it: study=<name> "
                f"mode.warm_start=[{study.name}]."
            )


@dataclass(frozen=True)
class Source:
    """Where a study's results come from.

    Attributes:
        jobs: The account's jobs.
        storage: Where their artifacts are.
        price: Of an instance, or None where that is not known.
        poll_seconds: How often AWS is asked.
    """

    jobs: CloudJobs
    storage: Storage
    price: Price | None
    poll_seconds: float


class _Following(StudyHandle):
    """Brings home each job once, when it has ended."""

    def __init__(self, study: StudySpec, ledger: Ledger, source: Source) -> None:
        self._study = study
        self._ledger = ledger
        self._source = source
        self._jobs = source.jobs
        self._homecoming = Homecoming(study, source.storage, source.price)
        self._results = {result.index: result for result in ledger.results()}
        self._counts: dict[str, int] = {}

    def results(self) -> Iterator[TrialResult]:
        """Yield recorded trials, then each new one as its job ends; returns when no job is left."""
        yield from list(self._results.values())
        while True:
            over = self.over()
            seen = self.look()
            self._counts = _counted(seen)
            for job in seen:
                if job.ended and job.index not in self._results:
                    yield self._record(job)
            if over and all(job.ended for job in seen):
                self._check_begun()
                return
            self._judge()
            if not all(job.index in self._results for job in seen) or not over:
                time.sleep(self._source.poll_seconds)

    def _check_begun(self) -> None:
        """Raise StudyFailed if the study has ended before any of its jobs began."""

    def over(self) -> bool:
        """Whether no further job will begin; asked before ``look``, so that none is missed in between."""
        raise NotImplementedError

    def look(self) -> list[Seen]:
        """Return every job there is, in order of index; starts what is to be started."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop what runs on SageMaker."""
        raise NotImplementedError

    def note(self) -> str:
        """Return jobs by state, and what they have cost."""
        words = [f"{count} {_WORDS[status]}" for status, count in self._counts.items() if status in _WORDS]
        spent = sum(result.info["cloud"].get("cost_usd", 0.0) for result in self._results.values())
        if self._source.price is not None:
            words.append(f"${spent:.2f} so far")
        return ", ".join(words)

    def run_final(self, index: int) -> TrialResult:
        """Fetch the model that the trial's job has left: it is the one that was scored there."""
        result = self._results[index]
        job = self._jobs.training_job(result.info["cloud"]["job"])
        if job is None:
            raise StudyFailed(
                f"training job {result.info['cloud']['job']} is gone from SageMaker, and its model with it."
            )
        final = final_folder(self._study.folder)
        _copy(output_data_dir(trial_folder(self._study.folder, index)), output_data_dir(final))
        fetch_model(job, self._source.storage, final)
        return result

    def cancel(self) -> None:
        """Leave the jobs on SageMaker to themselves: they were paid for, and the next run goes on from there."""

    def _record(self, job: Seen) -> TrialResult:
        described = self._jobs.training_job(job.name)
        if described is None:
            raise StudyFailed(f"training job {job.name} is gone from SageMaker before its result was brought home.")
        objective = job.objective
        if objective is None:
            values = {metric["MetricName"]: metric["Value"] for metric in described.get("FinalMetricDataList", ())}
            objective = values.get(self._study.objective)
        log = self._jobs.log(job.name)
        result = self._homecoming.bring(described, job.index, log, objective)
        faults.point("trial_finished")
        self._ledger.record_asked({result.index: result.params})
        faults.point("trials_asked")
        self._ledger.record(result)
        faults.point("trial_recorded")
        self._results[result.index] = result
        return result

    def _judge(self) -> None:
        done = len(self._results)
        failed = [result for result in self._results.values() if result.state == "failed"]
        if done < min(FEWEST_TRIALS_TO_JUDGE, self._study.n_trials):
            return
        if len(failed) > self._study.max_failure_rate * done:
            with suppress(BackendUnavailable):  # it may have ended meanwhile, and what is said is why
                self.stop()
            last = max(failed, key=lambda result: result.index)
            raise StudyFailed(
                f"{len(failed)} of {done} trials failed, more than search.max_failure_rate="
                f"{self._study.max_failure_rate:g} allows; the rest was stopped. The last reason: trial {last.index}: "
                f"{last.reason} ({trial_folder(self._study.folder, last.index)})"
            )


class TuningHandle(_Following):
    """Follows a tuning job, which picks and starts its training jobs itself."""

    _reason = ""

    def over(self) -> bool:
        """Whether the tuning job has ended."""
        job = self._jobs.tuning_job(self._study.name)
        if job is None:
            raise StudyFailed(f"tuning job {self._study.name} is gone from SageMaker.")
        self._reason = f"{job['HyperParameterTuningJobStatus']}: {job.get('FailureReason', 'it gave no reason')}"
        return job["HyperParameterTuningJobStatus"] in ENDED

    def _check_begun(self) -> None:
        if not self._results:
            raise StudyFailed(f"tuning job {self._study.name} has ended without a training job. {self._reason}")

    def look(self) -> list[Seen]:
        """Return the training jobs that the tuner has started."""
        return self._jobs.trials(self._study.name)

    def stop(self) -> None:
        """Stop the tuning job."""
        self._jobs.stop_tuning(self._study.name)


class TrainingHandle(_Following):
    """Starts the training jobs of given points, so many at a time."""

    def __init__(self, study: StudySpec, ledger: Ledger, source: Source, requests: list[dict[str, Any]]) -> None:
        super().__init__(study, ledger, source)
        self._requests = requests

    def over(self) -> bool:
        """Whether every point's job is recorded."""
        return len(self._results) == len(self._requests)

    def look(self) -> list[Seen]:
        """Start jobs as there is room, and return those that there are."""
        seen = []
        for index, request in enumerate(self._requests):
            name = request["TrainingJobName"]
            if index in self._results:
                seen.append(Seen(index, name, "Completed", None))
                continue
            if sum(not job.ended for job in seen) >= self._study.parallel:
                break
            job = self._jobs.training_job(name)
            if job is None:
                self._jobs.create(TRAINING, request)
                faults.point("launched")
                job = self._jobs.training_job(name) or {"TrainingJobStatus": "InProgress"}
            elif _runs(job) != _runs(request):
                raise StudyTaken(
                    f"training job {name} is there already, of another configuration or other data: give another name "
                    "with study=<name>."
                )
            seen.append(Seen(index, name, job["TrainingJobStatus"], None))
        return seen

    def stop(self) -> None:
        """Stop every job that runs."""
        for job in self.look():
            if job.status == "InProgress":
                self._jobs.stop_training(job.name)


def _runs(job: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what decides a training job's numbers: its hyperparameters, code among them, and where its data are."""
    locations = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"]]
    return job["HyperParameters"], locations


def _counted(seen: list[Seen]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for job in seen:
        counts[job.status] = counts.get(job.status, 0) + 1
    return counts


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except OSError as error:
        raise StorageError.at(target, error.strerror or str(error)) from error
