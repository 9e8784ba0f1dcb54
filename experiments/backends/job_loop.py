"""The loop of ask, run and tell over training jobs on SageMaker: created, polled, and imported when they have ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.aws.jobs import DELETING, TrainingJobSummary
from experiments.backends.optuna_loop import LoopHandle
from experiments.backends.remote_jobs import REST_STOPPED, FinishedJobs, Source, state_note
from experiments.errors import BackendUnavailable, RunnerClosed, StudyFailed, StudyTaken
from experiments.sagemaker_requests.jobs import TRAINING
from experiments.study.continuing import JOBS
from experiments.study.folder import final_folder
from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult, TrialSpec
from experiments.system import clock, crash_points
from experiments.system.project import COMMAND

# Returns the checked ``CreateTrainingJob`` request of a training. Its name depends on study and trial only, so that a
# command that is run again finds the job.
MakeRequest = Callable[[TrialSpec], dict[str, Any]]


class JobRunner:
    """Runs trainings as training jobs. A job that exists already is followed, and not created again."""

    def __init__(self, study: StudySpec, source: Source, make_request: MakeRequest) -> None:
        """Start nothing."""
        self._jobs = source.jobs
        self._source = source
        self._make_request = make_request
        self._finished = FinishedJobs(study, source)
        self._closed = threading.Event()
        self._states: dict[str, str] = {}
        self._names: dict[Path, str] = {}

    def name(self, trial: TrialSpec) -> str:
        """Return the name of the job of a training that was launched."""
        return self._names[trial.folder]

    def launch(self, trial: TrialSpec) -> None:
        """Create the job of a training, unless it exists.

        Raises:
            StudyTaken: The job of this name trains something else.
            StudyFailed: It is being deleted.
            BackendUnavailable: AWS refuses to create it.
        """
        request = self._make_request(trial)
        name = self._names[trial.folder] = request["TrainingJobName"]
        job = self._jobs.training_job(name)
        if job is None:
            self._jobs.create(TRAINING, request, self._source.report)
            crash_points.point("launched")
        elif job["TrainingJobStatus"] == DELETING:
            raise StudyFailed(f"training job {name} is being deleted on SageMaker, and its results were not imported.")
        else:
            check_same_job(job, request)
        self._states[name] = "InProgress" if job is None else job["TrainingJobStatus"]

    def run(self, trial: TrialSpec) -> TrialResult:
        """Follow the job of a training that was launched to its end, and import its results."""
        name = self.name(trial)
        while True:
            if self._closed.is_set():
                raise RunnerClosed
            self._states[name] = status = self._finished.described(name)["TrainingJobStatus"]
            # The description of a direct job does not say whether its objective is still to come.
            job = TrainingJobSummary(trial.index, name, status, None, pending=True)
            if job.ended and (result := self._finished.result(job, trial.folder, direct=True)) is not None:
                return result
            clock.wait(self._closed, self._source.poll_seconds)

    def final(self, trial: TrialSpec) -> TrialResult:
        """Run a training as a job, and download its model."""
        self.launch(trial)
        result = self.run(trial)
        if result.state == "complete":
            self._finished.fetch_model(self.name(trial), trial.folder)
        return result

    def model(self, result: TrialResult) -> TrialResult:
        """Download the model of a trial's job into the study's ``final`` folder."""
        return self._finished.final(result)

    def counts(self) -> Counter[str]:
        """Return the number of jobs by SageMaker's status."""
        return Counter(list(self._states.values()))

    def stop(self, trials: Iterator[TrialSpec]) -> None:
        """Stop the jobs of trainings that run."""
        for name in map(self.name, trials):
            with suppress(BackendUnavailable):  # it may have ended meanwhile
                self._jobs.stop_training(name)

    def interrupt(self) -> None:
        """Follow no job any longer. All continue: they are paid for, and the next command imports their results."""
        self._closed.set()

    def close(self) -> None:
        """Follow no job any longer."""
        self._closed.set()


class JobsLoop(LoopHandle):
    """Runs each trial as a training job, as many at a time as the study allows, and imports its results."""

    final_status = "downloading the model of the best trial"
    when_failed = REST_STOPPED

    def __init__(self, spec: StudySpec, ledger: Ledger, runner: JobRunner, source: Source) -> None:
        """Use an open ledger, and start nothing yet."""
        super().__init__(spec, ledger, runner)
        self._jobs = runner
        self._source = source
        self._launched: dict[int, TrialSpec] = {}

    def results(self) -> Iterator[TrialResult]:
        """Yield recorded trials, then each new one as its job ends."""
        try:
            yield from super().results()
        except StudyFailed:
            self._jobs.stop(iter(self._in_progress()))
            raise
        left = len(self._in_progress())
        if left:
            jobs, verb = ("job", "continues") if left == 1 else ("jobs", "continue")
            self._source.report(
                f"search.timeout={self._spec.timeout or 0:g}: {left} {jobs} {verb} on SageMaker, and you pay for "
                f"{'it' if left == 1 else 'them'}. The same command imports the results, "
                f"{COMMAND} mode=remote action=clean stops what runs."
            )

    def run_final(self, index: int, recipe: Mapping[str, str] | None = None) -> TrialResult:
        """Download the model of the trial's job, or train a trial that ran elsewhere in a job."""
        result = self._results[index]
        if "cloud" in result.info:
            return self._jobs.model(result)
        folder, params = final_folder(self._spec.folder), result.params
        final = TrialSpec(index, params, self._spec.hyperparameters(params), folder, keep_model=True)
        return self._checked(self._jobs.final(final))

    def run_again(self, trial: TrialSpec) -> TrialResult:
        """Train a trial of another place once more, in a job."""
        self._jobs.launch(trial)
        return super().run_again(trial)

    def run_beside(self, trial: TrialSpec, seconds: float | None = None) -> Callable[[], TrialResult | None] | None:
        """Return None: a job would cost money."""
        return None

    def note(self) -> str:
        """Return jobs by state, and what they have cost."""
        return state_note(self._jobs.counts(), list(self._results.values()), self._source.price)

    def _startable(self, waiting: Mapping[int, TrialSpec]) -> list[int]:
        """Return the trials that are recorded, and those for which there is room."""
        free = self._spec.parallel - len(self._in_progress())
        due = []
        for index in sorted(waiting):
            recorded = index in self._results
            if recorded or free > 0:
                due.append(index)
                free -= not recorded
        return due

    def _start(self, trial: TrialSpec) -> futures.Future[TrialResult]:
        """Launch a trial's job in this thread, so that jobs are created in order, and follow it in another."""
        running = len(self._in_progress())
        begun = sorted({*(other.index for other in self._in_progress()), trial.index})
        self._ledger.note(JOBS, {"mode": self._spec.mode, "trials": begun})  # before, since a kill may come in between
        try:
            self._jobs.launch(trial)
        except BackendUnavailable as error:
            if not running:
                raise
            raise BackendUnavailable(
                f"{error} {running} {'job continues' if running == 1 else 'jobs continue'} on SageMaker, and you pay "
                f"for {'it' if running == 1 else 'them'}: the same command follows and starts the rest, "
                f"{COMMAND} mode=remote action=clean stops what runs."
            ) from error
        self._launched[trial.index] = trial
        return super()._start(trial)

    def _in_progress(self) -> list[TrialSpec]:
        """Return the trials whose jobs were launched and have no result yet."""
        return [trial for index, trial in self._launched.items() if index not in self._results]

    @property
    def _final_trials(self) -> float:
        """Zero: the winner's model is downloaded."""
        return 0.0


def check_same_job(job: Mapping[str, Any], request: Mapping[str, Any], searched: Container[str] = ()) -> None:
    """Raise StudyTaken unless a training job is the one that is requested.

    Args:
        job: AWS's description of it.
        request: The request.
        searched: Hyperparameters that are not compared.
    """
    if _runs(job, searched) != _runs(request, searched):
        raise StudyTaken(
            f"training job {job['TrainingJobName']} already exists, with another configuration or other data: give "
            "another name with study=<name>."
        )


def _runs(job: Mapping[str, Any], searched: Container[str]) -> tuple[Any, Any]:
    """Return what decides a training job's numbers: its hyperparameters, code among them, and where its data are."""
    hyperparameters = {name: text for name, text in job["HyperParameters"].items() if name not in searched}
    locations = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"]]
    return hyperparameters, locations
