"""A study in MLflow: one run for the study, one for each trial, and one for the winner.

A separate thread logs trials, so that a slow or broken store never delays or loses one. The ledger has every trial, and
the next run of the study logs what is missing.
"""

from __future__ import annotations

import functools
import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.bundle import bundle_hash
from ensemble.parameters import encode
from experiments.study.spec import WINNER_ALIAS, StudySpec, TrialResult, TrialState
from experiments.system import crash_points
from experiments.system.project import PROJECT
from experiments.tracking.registry import find_version, register_model
from experiments.tracking.store import open_experiment, quiet, store_problem

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run

# MLflow refuses a longer parameter value.
LONGEST_PARAM = 6000
_METRICS_A_CALL = 1000
_PARAMS_A_CALL = 100
# MLflow's status for each state; a pruned trial has no score, but did not fail.
_STATUS: dict[TrialState, str] = {"complete": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}


@dataclass(frozen=True)
class Winner:
    """The winner of a study.

    Attributes:
        result: Its metrics, test scores included.
        bundle: Folder of the saved ensemble.
        figures: Its Matplotlib figures, by file name.
    """

    result: TrialResult
    bundle: Path
    figures: Mapping[str, Any]


class TrackingError(Exception):
    """MLflow could not record something; trials are safe in the ledger."""


class Tracker:
    """Record one study in MLflow. The main thread creates and closes it; ``log`` does not block.

    As a context manager, it logs what is queued and closes the study's run when the block ends, as ``KILLED`` after an
    interruption and as ``FAILED`` after an error.
    """

    def __init__(self, study: StudySpec, uri: str, experiment: str, root: Path, sources: str) -> None:
        """Start the thread that connects and logs.

        Args:
            study: The study to record.
            uri: Tracking URI.
            experiment: Name of the MLflow experiment.
            root: Folder of the store's artifacts, for a local store.
            sources: The resolved configuration with each value's source, kept as an artifact.
        """
        quiet()
        self._study = study
        self._uri = uri
        self._experiment = experiment
        self._root = root
        self._sources = sources
        self._queue: queue.SimpleQueue[TrialResult | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._logged: dict[int, str] = {}
        self._client: MlflowClient | None = None
        self._parent: Run | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.drain()
        self.close("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    @property
    def problem(self) -> str | None:
        """What went wrong with the store; None if nothing did."""
        return self._problem

    def log(self, result: TrialResult) -> None:
        """Queue a finished trial; one that MLflow has already is skipped."""
        self._queue.put(result)

    def drain(self) -> None:
        """Wait until every queued trial has been logged, or could not be."""
        self._queue.put(None)
        self._thread.join()

    def finish(self, winner: Winner, figures: Mapping[str, Any], summary: str, numbers: Mapping[str, float]) -> None:
        """Log the winner, its model, the figures and the summary; call after ``drain``.

        Args:
            winner: The winner.
            figures: Matplotlib figures of the study, by file name.
            summary: The summary as text.
            numbers: Metrics of the study's own run.
        """
        if self._problem is not None:
            return
        try:
            self._finish(winner, figures, summary, numbers)
        except Exception as error:  # any error of the store: the ledger has the trials
            self._fail(error)

    def close(self, status: str) -> None:
        """End the study's run as ``FINISHED``, ``FAILED`` or ``KILLED``."""
        if self._client is None or self._parent is None or self._problem is not None:
            return
        try:
            self._client.set_terminated(self._parent.info.run_id, status)
        except Exception as error:  # as in finish
            self._fail(error)

    def _work(self) -> None:
        try:
            self._connect()
        except Exception as error:  # as in finish; the queue is still emptied, so that ``drain`` returns
            self._fail(error)
        while (result := self._queue.get()) is not None:
            if self._problem is not None:
                continue
            try:
                self._log_trial(result)
            except Exception as error:  # as in finish
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._problem = store_problem(error, self._uri)

    def _connect(self) -> None:
        client, experiment_id = open_experiment(self._uri, self._root, self._experiment)
        found = self._search(client, experiment_id, "study")
        if found:
            self._parent = found[0]
            client.update_run(self._parent.info.run_id, status="RUNNING")
        else:
            self._parent = client.create_run(experiment_id, tags=self._tags("study"), run_name=self._study.name)
            client.log_text(self._parent.info.run_id, self._sources, "config.yaml")
        for run in self._search(client, experiment_id, "trial"):
            if run.info.status != "RUNNING":
                self._logged[int(run.data.tags["byoe.trial"])] = run.info.run_id
            else:
                # A process died while it logged this run; it is logged again.
                client.delete_run(run.info.run_id)
        self._client = client

    def _search(self, client: MlflowClient, experiment_id: str, role: str) -> list[Run]:
        runs: list[Run] = []
        token = None
        while True:
            page = client.search_runs(
                [experiment_id],
                f"tags.`byoe.study` = '{self._study.name}' and tags.`byoe.role` = '{role}' "
                f"and tags.`byoe.config_hash` = '{self._study.identity_hash()}'",
                page_token=token,
            )
            runs.extend(page)
            token = page.token
            if not token:
                return runs

    def _tags(self, role: str) -> dict[str, str]:
        study = self._study
        tags = {
            "byoe.role": role,
            "byoe.study": study.name,
            "byoe.mode": study.mode,
            "byoe.action": study.action,
            "byoe.data_hash": study.channels.data_hash,
            "byoe.config_hash": study.identity_hash(),
            "byoe.dataset": study.dataset,
            "mlflow.source.name": "run.py",
            "mlflow.source.type": "LOCAL",
        }
        if study.replay_of is not None:
            tags["byoe.replay_of"] = study.replay_of
        commit = git_commit()
        return tags | ({"mlflow.source.git.commit": commit} if commit else {})

    def _log_trial(self, result: TrialResult) -> None:
        if result.index in self._logged:
            return
        run_id = self._log_run(result, "trial", f"trial-{result.index:04d}")
        self._logged[result.index] = run_id
        crash_points.point("mlflow_trial_logged")

    def _log_run(self, result: TrialResult, role: str, name: str) -> str:
        from mlflow.entities import Metric, Param

        client, parent = self._connected()
        cloud = result.info.get("cloud", {})
        tags = {
            **self._tags(role),
            "mlflow.parentRunId": parent.info.run_id,
            "byoe.trial": str(result.index),
            "byoe.mode": self._study.place_of(result) if role == "trial" else self._study.mode,
            **{f"byoe.version.{name}": text for name, text in result.info.get("versions", {}).items()},
        }
        if "recipe_hash" in result.info:
            tags["byoe.params_hash"] = result.info["recipe_hash"]
        if "folds" in result.info.get("pruned", {}):
            tags["byoe.pruned_after_folds"] = str(result.info["pruned"]["folds"])
        if "job" in cloud:
            tags["byoe.job"] = cloud["job"]
        if result.failure is not None:
            tags["byoe.failure"] = result.failure[:LONGEST_PARAM]
        run = client.create_run(
            parent.info.experiment_id, start_time=round(result.started * 1000), tags=tags, run_name=name
        )
        run_id: str = run.info.run_id
        if role == "trial":
            crash_points.point("mlflow_run_created")
        numbers = {
            **result.metrics,
            **{f"weight_{member}": weight for member, weight in result.info.get("weights", {}).items()},
            **{f"rounds_{member}": rounds for member, rounds in result.info.get("rounds", {}).items()},
            **{f"fit_seconds_{member}": seconds for member, seconds in result.info.get("fit_seconds", {}).items()},
            **{name: cloud[name] for name in ("billable_seconds", "cost_usd") if cloud.get(name) is not None},
        }
        stamp = round(result.finished * 1000)
        metrics = [Metric(key, value, stamp, 0) for key, value in numbers.items()]
        params = [Param(key, text[:LONGEST_PARAM]) for key, text in self._study.trained(result).items()]
        log_in_parts(client, run_id, metrics, params)
        client.set_terminated(run_id, _STATUS[result.state], end_time=stamp)
        return run_id

    def _connected(self) -> tuple[MlflowClient, Run]:
        if self._client is None or self._parent is None:
            raise TrackingError("not connected")
        return self._client, self._parent

    def _finish(self, winner: Winner, figures: Mapping[str, Any], summary: str, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        client, parent = self._connected()
        run_id = parent.info.run_id
        for name, figure in figures.items():
            client.log_figure(run_id, figure, name)
        client.log_text(run_id, summary, "summary.txt")
        self._log_winner(winner)
        best = {name: encode(value) for name, value in winner.result.params.items()}
        client.log_text(run_id, json.dumps(best, indent=1), "best_params.json")
        stamp = round(winner.result.finished * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, stamp, 0) for key, value in numbers.items()],
            params=[Param("objective", self._study.objective)],
            tags=[RunTag("byoe.best_trial", str(winner.result.index))],
        )

    def _log_winner(self, winner: Winner) -> None:
        client, parent = self._connected()
        name, content_hash = self._study.name, bundle_hash(winner.bundle)
        registered = find_version(client, name, content_hash)
        for run in self._search(client, parent.info.experiment_id, "final"):
            if registered is not None and run.info.run_id == registered.run_id:
                client.set_registered_model_alias(name, WINNER_ALIAS, registered.version)
                return
            if "byoe.bundle_hash" in run.data.tags:
                client.set_tag(run.info.run_id, "byoe.role", "superseded")
            else:  # a process died before it registered this run's model
                client.delete_run(run.info.run_id)
        run_id = self._log_run(winner.result, "final", "winner")
        for file, figure in winner.figures.items():
            client.log_figure(run_id, figure, file)
        packages = self._study.dependencies
        version = register_model(client, run_id, winner.bundle, name, content_hash, packages)
        crash_points.point("model_registered")
        client.set_registered_model_alias(name, WINNER_ALIAS, version)
        client.set_tag(run_id, "byoe.bundle_hash", content_hash)


def log_in_parts(client: MlflowClient, run_id: str, metrics: Sequence[Metric], params: Sequence[Param]) -> None:
    """Log to a run in as few calls as MLflow allows."""
    for start in range(0, max(len(metrics), 1), _METRICS_A_CALL):
        part = params[:_PARAMS_A_CALL] if start == 0 else ()
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_A_CALL], params=part)
    for start in range(_PARAMS_A_CALL, len(params), _PARAMS_A_CALL):
        client.log_batch(run_id, params=params[start : start + _PARAMS_A_CALL])


@functools.cache
def git_commit() -> str | None:
    """Return the commit of this project's code, or None."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(PROJECT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
