"""``mode=remote``: a study as a tuning job on SageMaker, or as training jobs, whose results are imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from experiments.aws.budget import Bound, check_budget
from experiments.aws.jobs import SageMakerJobs
from experiments.aws.storage import Storage
from experiments.backends.base import Backend, StudyHandle
from experiments.backends.job_loop import JobRunner, JobsLoop, check_same_job
from experiments.backends.launch import Launch
from experiments.backends.remote_jobs import Source, TuningHandle
from experiments.backends.remote_requests import RemoteRequests
from experiments.errors import BackendUnavailable, ConfigError, StudyTaken
from experiments.sagemaker_requests.jobs import TRAINING, TUNING, job_name
from experiments.sagemaker_requests.study_requests import write_requests
from experiments.sagemaker_requests.tags import CONFIG_TAG
from experiments.study.continuing import SPOT_CHECKS, due_spot_check
from experiments.study.ledger import Ledger, peek
from experiments.study.source_dir import check_dependencies
from experiments.study.spec import StudySpec, TrialResult, best_of
from experiments.system import clock, crash_points
from experiments.system.project import COMMAND

# The ledger's fact of the launch that was within a budget.
_APPROVED = "approved"
# A new tuning job may not be visible at once: how often it is looked up, and the longest pause in between, in seconds.
_LOOKUPS = 5
_LONGEST_PAUSE = 2.0


class RemoteBackend(Backend):
    """Sends the study's requests to SageMaker, each once, and imports the results of its jobs."""

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
        """Check the requests as AWS would, and the budget and the account for jobs that are still to be launched."""
        check_dependencies(study.dependencies)
        requests = self._requests.build(study)
        known = peek(study)
        done = [] if known is None else known.results
        approved = None if known is None else known.facts.get(_APPROVED)
        left = self._left(study, requests, done, {} if known is None else known.facts)
        self._check_budget(study, left, approved)
        if left.jobs:
            self._launch.check(study, left, _first(requests))

    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Launch the jobs that do not exist yet, and follow all of them."""
        requests = self._requests.build(study)
        jobs = SageMakerJobs(self._settings.account)
        write_requests(study, requests)
        left = self._left(study, requests, ledger.results(), {SPOT_CHECKS: ledger.noted(SPOT_CHECKS)})
        if left.jobs:
            self._check_budget(study, left, ledger.noted(_APPROVED))
            self._launch.prepare(study, _first(requests))
            if self._settings.budget_usd is not None:
                ledger.note(_APPROVED, self._terms(study, left))
            crash_points.point("uploaded")
        storage = Storage(self._settings.account.client("s3"))
        source = Source(jobs, storage, self._settings.price, self._settings.poll_seconds, self._launch.report)
        if not study.tuned_by_amt:
            return JobsLoop(study, ledger, JobRunner(study, source, partial(self._requests.job, study)), source)
        (document,) = requests[TUNING]
        if left.jobs:
            jobs.create(TUNING, document, self._launch.report)
            crash_points.point("launched")
        self._check_own(study, jobs)
        return TuningHandle(study, ledger, source)

    def _left(
        self,
        study: StudySpec,
        requests: Mapping[str, list[dict[str, Any]]],
        results: Collection[TrialResult],
        facts: Mapping[str, Any],
    ) -> Bound:
        """Return the upper bound of the cost of the jobs that are still to be launched.

        Args:
            study: The study.
            requests: Its requests.
            results: The trials that are recorded.
            facts: The facts that its ledger has.

        Raises:
            StudyTaken: Another study's job has the name of one of this study's.
        """
        jobs = SageMakerJobs(self._settings.account)
        if study.tuned_by_amt:
            return self._settings.bound(study, study.n_trials if jobs.tuning_job(study.name) is None else 0)
        done = {result.index for result in results}
        left = [index for index in range(study.n_trials) if index not in done]
        launched = set[int]()
        for index in left:
            # Jobs are launched in order, as many at a time as the window has, so the others do not exist either.
            if index - max(launched, default=left[0] - 1) > study.search.window:
                break
            job = jobs.training_job(job_name(study, index))
            if job is not None:
                check_same_job(job, requests[TRAINING][0 if study.points is None else index], study.space.ranges)
                launched.add(index)
        more = _beside_trials(study, results, facts, searching=bool(left))
        return self._settings.bound(study, len(left) - len(launched) + more)

    def _check_budget(self, study: StudySpec, left: Bound, approved: Mapping[str, Any] | None) -> None:
        """Raise ConfigError unless the jobs to launch are within the budget, or within an approved launch."""
        if left.jobs == 0:
            return
        if (
            self._settings.budget_usd is None
            and approved is not None
            and _is_within(self._terms(study, left), approved)
        ):
            return
        check_budget(left, self._settings.budget_usd, self._settings.command)

    def _terms(self, study: StudySpec, bound: Bound) -> dict[str, Any]:
        """Return what a launch is approved for; the role names the account."""
        return {
            "region": self._settings.account.region,
            "role": self._settings.role,
            "instance_type": bound.instance_type,
            "jobs": bound.jobs,
            "trials": study.n_trials,
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


def _first(requests: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return next(iter(requests.values()))[0]


def _beside_trials(
    study: StudySpec, results: Collection[TrialResult], facts: Mapping[str, Any], *, searching: bool
) -> int:
    """Return how many jobs a study that began elsewhere needs besides its trials.

    One trains a trial again before the study continues, and one the winner, if it ran elsewhere.

    Args:
        study: The study.
        results: Its finished trials.
        facts: The facts that its ledger has.
        searching: Whether it has trials left to run, so that any of them may win.
    """
    elsewhere = {result.index for result in results if result.state == "complete" and "cloud" not in result.info}
    best = best_of(results, study.objective)
    wins = bool(elsewhere) if searching else best is not None and best.index in elsewhere
    return (due_spot_check(study, results, facts) is not None) + wins


def _is_within(terms: Mapping[str, Any], approved: Mapping[str, Any]) -> bool:
    """Whether a launch is part of one that was approved: in the same account, on the same machine, and no longer.

    A study that was given more trials since is not: they were not approved.
    """
    approved = {"trials": terms["trials"], **approved}  # points that were approved by an earlier version stay the same
    same = all(terms[key] == approved[key] for key in ("region", "role", "instance_type"))
    return same and all(terms[key] <= approved[key] for key in ("jobs", "trials", "seconds_each"))
