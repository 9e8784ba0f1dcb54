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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.bundle import bundle_hash
from ensemble.evaluation import main_score
from ensemble.parameters import encode
from experiments.study.spec import WINNER_ALIAS, StudySpec, TrialResult, TrialState
from experiments.system import crash_points
from experiments.system.project import PROJECT
from experiments.tracking.datasets import dataset_input
from experiments.tracking.registry import BUNDLE_HASH, Described, find_version, log_model, model_of, register_model
from experiments.tracking.scores import Number, trial_numbers, winner_numbers, winner_scores
from experiments.tracking.store import open_experiment, quiet, store_problem
from experiments.tracking.views import Columns, run_page, save_views, trials_page

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Param, Run

# MLflow refuses a longer parameter value.
LONGEST_PARAM = 6000
_METRICS_A_CALL = 1000
_PARAMS_A_CALL = 100
# A longer one is cut in the description of a study's run, since MLflow refuses tags of more than 8000 characters.
_LONGEST_SUMMARY = 7000
_NOTE = "mlflow.note.content"
_PARENT = "mlflow.parentRunId"
# The tag of a study's run that takes the place of another, which has parameters that do not hold any more.
_REPLACES = "byoe.replaces"
# MLflow's status for each state. A pruned trial did not fail; as KILLED, MLflow would show it in red.
_STATUS: dict[TrialState, str] = {"complete": "FINISHED", "failed": "FAILED", "pruned": "FINISHED"}


@dataclass(frozen=True)
class Winner:
    """The winner of a study.

    Attributes:
        result: Its metrics, test scores included.
        bundle: Folder of the saved ensemble.
        figures: Its Matplotlib figures, by file name.
        texts: Its further files, by file name.
    """

    result: TrialResult
    bundle: Path
    figures: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict)


class TrackingError(Exception):
    """MLflow could not record something; trials are safe in the ledger."""


class Tracker:
    """Record one study in MLflow. The main thread creates and closes it; ``log`` does not block.

    As a context manager, it logs what is queued and closes the study's run when the block ends, as ``KILLED`` after an
    interruption and as ``FAILED`` after an error.
    """

    def __init__(
        self, study: StudySpec, uri: str, experiment: str, root: Path, sources: str, *, register: bool = True
    ) -> None:
        """Start the thread that connects and logs.

        Args:
            study: The study to record.
            uri: Tracking URI.
            experiment: Name of the MLflow experiment.
            root: Folder of the store's artifacts, for a local store.
            sources: The resolved configuration with each value's source, kept as an artifact.
            register: Whether the winner becomes a version of the registered model with the study's name.
        """
        quiet()
        self._study = study
        self._uri = uri
        self._experiment = experiment
        self._root = root
        self._sources = sources
        self._register = register
        self._members = [member.name for member in study.recipe({}).members]
        self._main = main_score(study.task)
        self._queue: queue.SimpleQueue[TrialResult | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._logged: dict[int, str] = {}
        self._client: MlflowClient | None = None
        self._parent: Run | None = None
        self._dataset: DatasetInput
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

    @property
    def experiment_id(self) -> str | None:
        """The experiment's id; None as long as the store has not been opened."""
        return None if self._parent is None else str(self._parent.info.experiment_id)

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
        self._dataset = dataset_input(self._study.dataset, self._study.channels)
        self._parent = self._found_parent(client, experiment_id)
        if self._parent is not None:
            client.update_run(self._parent.info.run_id, status="RUNNING")
        else:
            self._parent = self._create_parent(client, experiment_id)
        for run in self._search(client, experiment_id, "trial"):
            if run.info.status != "RUNNING":
                self._logged[int(run.data.tags["byoe.trial"])] = run.info.run_id
            else:
                # A process died while it logged this run; it is logged again.
                client.delete_run(run.info.run_id)
        columns = Columns(self._main, self._members, list(self._study.space.describe()), self._study.objective)
        save_views(client, experiment_id, columns)
        self._client = client

    def _found_parent(self, client: MlflowClient, experiment_id: str) -> Run | None:
        """Return the study's own run, and finish its replacement if a process died during that."""
        found = self._search(client, experiment_id, "study")
        replaced = {run.data.tags[_REPLACES] for run in found if _REPLACES in run.data.tags}
        for run in found:
            if run.info.run_id not in replaced:
                for old in replaced & {other.info.run_id for other in found}:
                    self._adopt(client, experiment_id, old, run.info.run_id)
                return run
        return None

    def _create_parent(self, client: MlflowClient, experiment_id: str, replaces: Run | None = None) -> Run:
        """Create the study's own run, with what is the same however many trials it has."""
        replaced = {} if replaces is None else {_REPLACES: replaces.info.run_id}
        began = None if replaces is None else replaces.info.start_time
        tags = self._tags("study") | replaced
        run = client.create_run(experiment_id, start_time=began, tags=tags, run_name=self._study.name)
        self._log_dataset(client, run.info.run_id)
        client.log_text(run.info.run_id, self._sources, "config.yaml")
        return run

    def _log_dataset(self, client: MlflowClient, run_id: str) -> None:
        """Log the study's rows as a run's input."""
        from mlflow import MlflowException

        try:
            client.log_inputs(run_id, [self._dataset])
        except MlflowException as error:
            if "IntegrityError" not in str(error):
                raise
            # A study that began at the same moment has added the same rows since MLflow looked.
            client.log_inputs(run_id, [self._dataset])

    def _adopt(self, client: MlflowClient, experiment_id: str, old: str, new: str) -> None:
        """Move all runs below one run of the study to another, and delete the first."""
        for run in _all_runs(client, experiment_id, f"tags.`{_PARENT}` = '{old}'"):
            client.set_tag(run.info.run_id, _PARENT, new)
        client.delete_run(old)

    def _search(self, client: MlflowClient, experiment_id: str, role: str) -> list[Run]:
        return _all_runs(
            client,
            experiment_id,
            f"tags.`byoe.study` = '{self._study.name}' and tags.`byoe.role` = '{role}' "
            f"and tags.`byoe.config_hash` = '{self._study.identity_hash()}'",
        )

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
        client, _ = self._connected()
        run_id = self._create_run(result, "trial", f"trial-{result.index:04d}")
        crash_points.point("mlflow_run_created")
        numbers = trial_numbers(result, self._members, self._main, self._study.objective)
        self._log_numbers(client, run_id, result, numbers)
        client.set_terminated(run_id, _STATUS[result.state], end_time=round(result.finished * 1000))
        self._logged[result.index] = run_id
        crash_points.point("mlflow_trial_logged")

    def _create_run(self, result: TrialResult, role: str, name: str) -> str:
        """Create the run of a trial or of the winner, with its tags and its data."""
        client, parent = self._connected()
        cloud = result.info.get("cloud", {})
        tags = {
            **self._tags(role),
            _PARENT: parent.info.run_id,
            "byoe.trial": str(result.index),
            "byoe.mode": self._study.place_of(result) if role == "trial" else self._study.mode,
            "byoe.state": result.state,
            **{f"byoe.version.{name}": text for name, text in result.info.get("versions", {}).items()},
        }
        if "recipe_hash" in result.info:
            tags["byoe.params_hash"] = result.info["recipe_hash"]
        if "folds" in result.info.get("pruned", {}):
            folds = result.info["pruned"]["folds"]
            tags["byoe.pruned_after_folds"] = str(folds)
            tags[_NOTE] = f"Pruned after {folds} fold{'' if folds == 1 else 's'}: it could not become the best trial."
        if "job" in cloud:
            tags["byoe.job"] = cloud["job"]
        if result.failure is not None:
            tags["byoe.failure"] = result.failure[:LONGEST_PARAM]
        run = client.create_run(
            parent.info.experiment_id, start_time=round(result.started * 1000), tags=tags, run_name=name
        )
        run_id: str = run.info.run_id
        self._log_dataset(client, run_id)
        return run_id

    def _log_numbers(
        self,
        client: MlflowClient,
        run_id: str,
        result: TrialResult,
        numbers: Sequence[Number],
        model_id: str | None = None,
    ) -> None:
        """Log what a trial or the winner was trained with, and its numbers, also as those of its model."""
        from mlflow.entities import Metric, Param

        stamp, data = round(result.finished * 1000), self._dataset.dataset
        of_model = {} if model_id is None else {"model_id": model_id, "dataset_name": data.name}
        of_model |= {"dataset_digest": data.digest} if of_model else {}
        metrics = [Metric(number.name, number.value, stamp, number.step, **of_model) for number in numbers]
        params = [Param(key, text[:LONGEST_PARAM]) for key, text in self._study.trained(result).items()]
        log_in_parts(client, run_id, metrics, params)

    def _connected(self) -> tuple[MlflowClient, Run]:
        if self._client is None or self._parent is None:
            raise TrackingError("not connected")
        return self._client, self._parent

    def _finish(self, winner: Winner, figures: Mapping[str, Any], summary: str, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        best = {name: encode(value) for name, value in winner.result.params.items()}
        params = {**self._study.static, "n_trials": str(self._study.n_trials), **best}
        if self._study.points is None:
            params["sampler"] = self._study.search.sampler
        if self._study.learned:
            params["learned_from"] = "; ".join(source.told for source in self._study.learned)
        client, parent = self._parent_for(params)
        run_id = parent.info.run_id
        for name, figure in figures.items():
            client.log_figure(run_id, figure, name)
        client.log_text(run_id, summary, "summary.txt")
        final = self._log_winner(winner)
        client.log_text(run_id, json.dumps(best, indent=1), "best_params.json")
        stamp = round(winner.result.finished * 1000)
        experiment_id = parent.info.experiment_id
        ranking = trials_page(experiment_id, self._study.name, self._study.objective)
        links = f"[The trials, best first]({ranking}), and [the winner]({run_page(experiment_id, final)})"
        note = f"{links}\n\n```\n{summary.strip()[:_LONGEST_SUMMARY]}\n```"
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, stamp, 0) for key, value in numbers.items()],
            params=[Param(key, text[:LONGEST_PARAM]) for key, text in params.items()],
            tags=[RunTag("byoe.best_trial", str(winner.result.index)), RunTag(_NOTE, note)],
        )

    def _parent_for(self, params: Mapping[str, str]) -> tuple[MlflowClient, Run]:
        """Return the study's own run, as another one if it has parameters that do not hold any more.

        MLflow does not change a parameter, and a study that is extended has more trials and another best one.
        """
        client, parent = self._connected()
        known = client.get_run(parent.info.run_id).data.params
        if known.items() <= {name: text[:LONGEST_PARAM] for name, text in params.items()}.items():
            return client, parent
        renewed = self._create_parent(client, parent.info.experiment_id, replaces=parent)
        self._adopt(client, parent.info.experiment_id, parent.info.run_id, renewed.info.run_id)
        self._parent = renewed
        return client, renewed

    def _log_winner(self, winner: Winner) -> str:
        """Log the winner and register its model, unless that is done; return the id of its run."""
        client, parent = self._connected()
        name, content_hash = self._study.name, bundle_hash(winner.bundle)
        run_id = None
        for run in self._search(client, parent.info.experiment_id, "final"):
            known = run.data.tags.get(BUNDLE_HASH)
            if known == content_hash:
                run_id = run.info.run_id
            elif known is not None:
                client.set_tag(run.info.run_id, "byoe.role", "superseded")
                client.update_run(run.info.run_id, name="earlier winner")
            else:  # a process died before it had logged this run's model
                client.delete_run(run.info.run_id)
        if run_id is None:
            run_id = self._log_final(winner, content_hash)
        if not self._register:
            return run_id
        version = find_version(client, name, content_hash)
        if version is None or version.run_id != run_id:
            result, place = winner.result, run_page(parent.info.experiment_id, run_id)
            scores = winner_scores(result.metrics, self._winners(result), self._main, self._study.objective)
            described = Described(self._study.dataset, {score.name: score.value for score in scores}, place)
            version = register_model(client, run_id, model_of(client, run_id), name, content_hash, described)
            crash_points.point("model_registered")
        client.set_registered_model_alias(name, WINNER_ALIAS, version.version)
        return run_id

    def _log_final(self, winner: Winner, content_hash: str) -> str:
        """Log the winner's run with its model; return the run's id."""
        client, _ = self._connected()
        result = winner.result
        run_id = self._create_run(result, "final", "winner")
        for file, figure in winner.figures.items():
            client.log_figure(run_id, figure, file)
        for file, text in winner.texts.items():
            client.log_text(run_id, text, file)
        client.log_text(run_id, json.dumps(dict(result.metrics), indent=1, sort_keys=True), "metrics.json")
        params = self._study.trained(result)
        model_id = log_model(run_id, winner.bundle, self._study.name, params, self._study.dependencies)
        numbers = winner_numbers(result, self._winners(result), self._main, self._study.objective)
        self._log_numbers(client, run_id, result, numbers, model_id)
        client.set_terminated(run_id, "FINISHED", end_time=round(result.finished * 1000))
        client.set_tag(run_id, BUNDLE_HASH, content_hash)
        return run_id

    def _winners(self, result: TrialResult) -> list[str]:
        """Return the members of the winner, which a blend over the study names after their trials."""
        return list(result.info.get("weights", self._members))


def _all_runs(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], filter_string, page_token=token)
        runs.extend(page)
        token = page.token
        if not token:
            return runs


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
