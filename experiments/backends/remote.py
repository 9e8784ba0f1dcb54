"""``mode=remote``: a study as a tuning job on SageMaker, or as training jobs, whose results are imported."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from experiments.aws.budget import Bound, check_budget
from experiments.aws.jobs import SageMakerJobs
from experiments.aws.storage import Storage
from experiments.backends.base import Backend, StudyHandle
from experiments.backends.launch import Launch
from experiments.backends.remote_jobs import Source, TrainingHandle, TuningHandle, check_same_job
from experiments.backends.remote_requests import RemoteRequests
from experiments.errors import BackendUnavailable, ConfigError, StudyTaken
from experiments.sagemaker_requests.jobs import TRAINING, TUNING
from experiments.sagemaker_requests.study_requests import write_requests
from experiments.sagemaker_requests.tags import CONFIG_TAG
from experiments.study.ledger import Ledger, peek
from experiments.study.source_dir import check_dependencies
from experiments.study.spec import StudySpec
from experiments.system import clock, crash_points
from experiments.system.project import COMMAND

# The ledger's fact of the launch that was within a budget.
_APPROVED = "approved"
# A new tuning job may not be visible at once: how often it is looked up, and the longest pause in between, in seconds.
_LOOKUPS = 5
_LONGEST_PAUSE = 2.0


class RemoteBackend(Backend):
    """Sends the study's request to SageMaker, once, and imports the results of its jobs."""

    can_extend = False
    after_interrupt = (
        "the jobs on SageMaker continue, and you pay for them: the same command follows them again, "
        f"{COMMAND} mode=remote action=clean stops them."
    )

    def __init__(self, requests: RemoteRequests, launch: Launch) -> None:
        """Send nothing yet.

        Args:
            requests: Builds the requests of a study.
            launch: Prepares its launch.
        """
        self._settings = requests.settings
        self._requests = requests
        self._launch = launch

    @classmethod
    def serving_arguments(cls, arguments: Sequence[str]) -> list[str]:
        """Return the account's settings, and no budget: an endpoint has one of its own."""
        kept = [text for text in arguments if text.startswith(("paths.", "mode."))]
        return ["mode=remote", *(text for text in kept if not text.startswith("mode.budget_usd="))]

    def preflight(self, study: StudySpec) -> None:
        """Check the requests as AWS would, and the budget of jobs that are still to be launched."""
        check_dependencies(study.dependencies)
        requests = self._requests.build(study)
        known = peek(study)
        done = () if known is None else [result.index for result in known.results]
        self._check_budget(self._left(study, requests, done), None if known is None else known.facts.get(_APPROVED))

    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Launch the jobs that do not exist yet, and follow all of them."""
        requests = self._requests.build(study)
        jobs = SageMakerJobs(self._settings.account)
        write_requests(study, requests)
        left = self._left(study, requests, [result.index for result in ledger.results()])
        if left.jobs:
            self._check_budget(left, ledger.noted(_APPROVED))
            (first, *_) = next(iter(requests.values()))
            self._launch.prepare(study, left, first)
            if self._settings.budget_usd is not None:
                ledger.note(_APPROVED, self._terms(left))
            crash_points.point("uploaded")
        storage = Storage(self._settings.account.client("s3"))
        source = Source(jobs, storage, self._settings.price, self._settings.poll_seconds, self._launch.report)
        if study.points is not None:
            return TrainingHandle(study, ledger, source, requests[TRAINING])
        (document,) = requests[TUNING]
        if left.jobs:
            jobs.create(TUNING, document, self._launch.report)
            crash_points.point("launched")
        self._check_own(study, jobs)
        return TuningHandle(study, ledger, source)

    def _left(self, study: StudySpec, requests: Mapping[str, list[dict[str, Any]]], done: Container[int]) -> Bound:
        """Return the upper bound of the cost of the jobs that are still to be launched.

        Args:
            study: The study.
            requests: Its requests.
            done: The trials that are recorded.

        Raises:
            StudyTaken: Another study's job has the name of one of this study's.
        """
        jobs, left = SageMakerJobs(self._settings.account), 0
        if study.points is None:
            left = study.n_trials if jobs.tuning_job(study.name) is None else 0
        for index, request in enumerate(requests.get(TRAINING, ())):
            job = None if index in done else jobs.training_job(request["TrainingJobName"])
            if job is not None:
                check_same_job(job, request)
            left += job is None and index not in done
        return self._settings.bound(study, left)

    def _check_budget(self, left: Bound, approved: Mapping[str, Any] | None) -> None:
        """Raise ConfigError unless the jobs to launch are within the budget, or within an approved launch."""
        if left.jobs == 0:
            return
        if self._settings.budget_usd is None and approved is not None and _is_within(self._terms(left), approved):
            return
        check_budget(left, self._settings.budget_usd, self._settings.command)

    def _terms(self, bound: Bound) -> dict[str, Any]:
        """Return what a launch is approved for; the role names the account."""
        return {
            "region": self._settings.account.region,
            "role": self._settings.role,
            "instance_type": bound.instance_type,
            "jobs": bound.jobs,
            "seconds_each": bound.seconds_each,
        }

    def _check_own(self, study: StudySpec, jobs: SageMakerJobs) -> None:
        """Raise unless the tuning job of this name is this study's."""
        job = jobs.tuning_job(study.name)
        for _ in range(_LOOKUPS):
            if job is not None:
                break
            clock.sleep(min(self._settings.poll_seconds, _LONGEST_PAUSE))
            job = jobs.tuning_job(study.name)
        if job is None:
            raise BackendUnavailable(
                f"tuning job {study.name} was started, and SageMaker does not show it yet, but you pay for it. Run the "
                "same command again, which follows it."
            )
        arn, created = job["HyperParameterTuningJobArn"], job["CreationTime"]
        found = jobs.tags_when_visible(arn, created).get(CONFIG_TAG)
        if found != study.identity_hash():
            raise StudyTaken(
                f"tuning job {study.name} already exists, with another configuration (tag {CONFIG_TAG} is {found}): "
                "give another name with study=<name>."
            )
        jobs_at_most = job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
        if study.n_trials > jobs_at_most:
            raise ConfigError(
                f"search.n_trials={study.n_trials}: tuning job {study.name} has {jobs_at_most} training jobs, and a "
                f"tuning job cannot be extended. Begin another that learns from it: study=<name> "
                f"mode.warm_start=[{study.name}]."
            )


def _is_within(terms: Mapping[str, Any], approved: Mapping[str, Any]) -> bool:
    """Whether a launch is part of one that was approved: in the same account, on the same machine, and no longer."""
    same = all(terms[key] == approved[key] for key in ("region", "role", "instance_type"))
    return same and all(terms[key] <= approved[key] for key in ("jobs", "seconds_each"))
