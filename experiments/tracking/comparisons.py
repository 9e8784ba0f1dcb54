"""A comparison in MLflow: a run with the page, and a child run for each study, with the names that studies use."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.tracking.runs import LONGEST_PARAM, git_commit, log_in_parts
from experiments.tracking.store import open_experiment, open_store, quiet, store_exists, store_problem
from experiments.tracking.views import compare_page

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = "report.html"
_HASH = "byoe.comparison_hash"
_LONGEST_NAME = 200


@dataclass(frozen=True)
class ComparedStudy:
    """What is recorded of one study.

    Attributes:
        name: Its name.
        label: Its name in the comparison.
        tags: Tags with the names that its own runs use.
        params: Its winner's parameters.
        metrics: Metrics with the names that its own runs use.
        best_so_far: The end of each trial, in seconds since the epoch, and the best objective then.
        began: When it started, in seconds since the epoch.
        ended: When its last trial ended, in seconds since the epoch.
    """

    name: str
    label: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    best_so_far: Sequence[tuple[float, float]]
    began: float
    ended: float


@dataclass(frozen=True)
class Comparison:
    """What is recorded of a comparison.

    Attributes:
        page: The report page, as HTML.
        digest: A hash of what was compared; the same comparison is recorded once.
        dataset: The data's display name.
        tags: Tags of the comparison.
        metrics: Metrics of the comparison.
        studies: The studies, in order.
    """

    page: str
    digest: str
    dataset: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    studies: Sequence[ComparedStudy]


@dataclass(frozen=True)
class Recorded:
    """A comparison in MLflow.

    Attributes:
        page: The place of MLflow's compare view of its studies; None if it could not be recorded.
        problem: Why it could not be recorded; None if it was.
    """

    page: str | None = None
    problem: str | None = None


def record_comparison(comparison: Comparison, uri: str, root: Path, experiment: str | None) -> Recorded:
    """Record a comparison, unless it is recorded already.

    Args:
        comparison: What to record.
        uri: Tracking URI.
        root: Folder of the store's artifacts, for a local store.
        experiment: Name of the experiment; None for that of the first study's runs.
    """
    if not store_exists(uri):
        problem = f"there is no store at {uri}; the command of a study creates it and records its trials there"
        return Recorded(problem=problem)
    quiet()
    try:
        client = open_store(uri, root)
        name = experiment or _experiment_of(client, comparison.studies[0].name) or f"byoe-{comparison.dataset}"
        client, experiment_id = open_experiment(uri, root, name)
        runs = _record(client, experiment_id, comparison)
    except Exception as error:  # any error of the store: the page has been written
        return Recorded(problem=store_problem(error, uri))
    return Recorded(compare_page(experiment_id, runs))


def _experiment_of(client: MlflowClient, study: str) -> str | None:
    """Return the name of the experiment that has a study's own run, or None."""
    ids = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(ids, f"tags.`byoe.study` = '{study}' and tags.`byoe.role` = 'study'", max_results=1)
    return str(client.get_experiment(runs[0].info.experiment_id).name) if runs else None


def _record(client: MlflowClient, experiment_id: str, comparison: Comparison) -> list[str]:
    """Record a comparison, unless it is recorded already; return the runs of its studies."""
    from mlflow.entities import Metric, Param

    known = client.search_runs([experiment_id], f"tags.`{_HASH}` = '{comparison.digest}'")
    for run in known:
        if run.data.tags["byoe.role"] == "comparison" and run.info.status == "FINISHED":
            client.log_text(run.info.run_id, comparison.page, PAGE)
            compared = [run for run in known if run.data.tags["byoe.role"] == "compared"]
            places = {study.label: place for place, study in enumerate(comparison.studies)}
            compared.sort(key=lambda run: places.get(str(run.info.run_name), 0))
            return [str(run.info.run_id) for run in compared]
    for run in known:  # left by a process that died while it recorded this comparison
        client.delete_run(run.info.run_id)
    common = {"mlflow.source.name": "run.py", "mlflow.source.type": "LOCAL", _HASH: comparison.digest}
    commit = git_commit()
    if commit is not None:
        common["mlflow.source.git.commit"] = commit
    names = [study.name for study in comparison.studies]
    tags = {**common, **comparison.tags, "byoe.role": "comparison", "byoe.studies": ",".join(names)}
    title = f"compare {' '.join(names)}"[:_LONGEST_NAME]
    parent = client.create_run(experiment_id, tags=tags, run_name=title).info.run_id
    children = []
    for study in comparison.studies:
        own = {**common, **study.tags, "byoe.role": "compared", "byoe.study": study.name, "mlflow.parentRunId": parent}
        began, ended = round(1000 * study.began), round(1000 * study.ended)
        run = client.create_run(experiment_id, start_time=began, tags=own, run_name=study.label)
        run_id = run.info.run_id
        children.append(run_id)
        metrics = [Metric(name, value, ended, 0) for name, value in study.metrics.items()]
        metrics += [
            Metric("best_so_far", value, round(1000 * moment), step)
            for step, (moment, value) in enumerate(study.best_so_far, start=1)
        ]
        log_in_parts(client, run_id, metrics, [Param(n, text[:LONGEST_PARAM]) for n, text in study.params.items()])
        client.set_terminated(run_id, "FINISHED", end_time=ended)
    stamp = round(time.time() * 1000)
    client.log_batch(parent, metrics=[Metric(name, value, stamp, 0) for name, value in comparison.metrics.items()])
    client.log_text(parent, comparison.page, PAGE)
    client.set_terminated(parent, "FINISHED")
    return children
