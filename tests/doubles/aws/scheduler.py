"""The threads that run training jobs, and those that start the training jobs of tuning jobs, a few at a time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

from tests.doubles.aws.execution import Execution
from tests.doubles.aws.faults import Faults
from tests.doubles.aws.points import Point
from tests.doubles.aws.records import TrainingJob, TuningJob, training_arn, tuning_arn
from tests.doubles.aws.state import State
from tests.doubles.aws.transfers import Site

# AMT gives up after this many training jobs without an objective.
JOBS_WITHOUT_OBJECTIVE = 5


class Scheduler:
    """Starts each job in its own thread, stops jobs, and joins all threads when it closes."""

    def __init__(self, state: State, faults: Faults, site: Site) -> None:
        """Keep the state; nothing is started yet.

        Args:
            state: What the double knows.
            faults: What is to go wrong.
            site: Where jobs run.
        """
        self._state = state
        self._faults = faults
        self._site = site
        self._threads: list[threading.Thread] = []
        self._executions: dict[str, Execution] = {}

    def train(
        self, document: Mapping[str, Any], tuning: Mapping[str, Any] | None = None, tuned: Point | None = None
    ) -> TrainingJob:
        """Start a training job; called with the state's lock held.

        Args:
            document: Its request.
            tuning: The request of its tuning job.
            tuned: Its tuned hyperparameters.
        """
        job = TrainingJob(document, len(self._state.training), tuning, tuned or {})
        self._state.training[job.name] = job
        self._state.tag(training_arn(job.name), document.get("Tags", ()))
        execution = Execution(job, self._state, self._faults, self._site)
        self._executions[job.name] = execution
        self._start(execution.run, job.name)
        return job

    def tune(self, document: Mapping[str, Any], points: list[Point]) -> TuningJob:
        """Start a tuning job; called with the state's lock held.

        Args:
            document: Its request.
            points: The tuned hyperparameters of each of its training jobs.
        """
        tuning = TuningJob(document, points)
        self._state.tuning[tuning.name] = tuning
        self._state.tag(tuning_arn(tuning.name), document.get("Tags", ()))
        self._start(lambda: self._tune(tuning), tuning.name)
        return tuning

    def stop(self, job: TrainingJob) -> None:
        """Ask a training job to stop; called with the state's lock held."""
        self._executions[job.name].stop()

    def stop_tuning(self, tuning: TuningJob) -> None:
        """Ask a tuning job to stop, with its training jobs; called with the state's lock held."""
        tuning.stopping, tuning.status = True, "Stopping"
        for trial in tuning.running:
            self.stop(trial)
        self._state.changed.notify_all()

    def close(self) -> None:
        """Kill all jobs and wait for all threads."""
        with self._state.changed:
            self._state.closing = True
            for execution in self._executions.values():
                execution.kill()
            self._state.changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _start(self, run: Any, name: str) -> None:
        thread = threading.Thread(target=run, name=name)
        self._threads.append(thread)
        thread.start()

    def _tune(self, tuning: TuningJob) -> None:
        parallel = tuning.config["ResourceLimits"]["MaxParallelTrainingJobs"]
        seconds = tuning.config["ResourceLimits"].get("MaxRuntimeInSeconds")
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._state.changed:
            while not self._state.closing:
                if deadline is not None and time.monotonic() >= deadline and not tuning.stopping:
                    self.stop_tuning(tuning)
                failure = None if tuning.stopping else _failure(tuning)
                more = not tuning.stopping and failure is None and len(tuning.trials) < len(tuning.points)
                if more and len(tuning.running) < parallel:
                    self._start_trial(tuning)
                elif not more and not tuning.running:
                    status = "Stopped" if tuning.stopping else "Completed" if failure is None else "Failed"
                    tuning.end(status, failure)
                    self._state.changed.notify_all()
                    return
                else:
                    left = None if deadline is None or tuning.stopping else max(0.0, deadline - time.monotonic())
                    self._state.changed.wait(left)

    def _start_trial(self, tuning: TuningJob) -> None:
        name = f"{tuning.name}-{len(tuning.trials) + 1:03d}-{secrets.token_hex(4)}"
        document = {"TrainingJobName": name, **tuning.next_document()}
        tuning.trials.append(self.train(document, tuning.document, tuning.points[len(tuning.trials)]))
        self._state.changed.notify_all()


def _failure(tuning: TuningJob) -> str | None:
    """Return the reason why AMT gives up a tuning job, or None."""
    ended = [trial for trial in tuning.trials if trial.has_ended]
    if any(trial.objective_status == "Succeeded" for trial in ended):
        return None
    if len(ended) == len(tuning.points) and all(trial.status == "Failed" for trial in ended):
        return "All training jobs failed. Please take a look at the training jobs failures to get more details."
    if sum(trial.status == "Completed" for trial in ended) >= JOBS_WITHOUT_OBJECTIVE:
        return (
            f"No objective metrics found after running {JOBS_WITHOUT_OBJECTIVE} training jobs. Please ensure that the "
            "custom algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    return None
