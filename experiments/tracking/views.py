"""The saved views of an experiment's page in MLflow: which runs it lists, in which order and with which columns.

MLflow keeps a view as a tag of the experiment, and an address opens it. Without one, its page lists all runs, newest
first, and shows no metric, so that the trials of one study hide all other studies.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDIES, TRIALS = "byoe-studies", "byoe-trials"
# Where MLflow looks for a view, and the prefix of compressed text, in MLflow's page.
_TAG = "mlflow.sharedViewState."
_COMPRESSED = "deflate;"
# Without it MLflow's page has the menu of language models.
_TRAINING = "workflowType=machine_learning"
# MLflow's page asks for the envelope's time; a fixed one keeps an unchanged view unchanged.
_CREATED = 1_700_000_000_000
# Pixels of a letter of a column's name, and of what is beside it.
_LETTER, _MARGIN, _NARROWEST = 7.2, 40, 90
_RUN_NAME, _DATASET, _MODELS = ("attributes.`Run Name`", "attributes.`Dataset`", "attributes.`Models`")
# Letters of the longest name of a study.
LONGEST_STUDY = 32
# Names of studies differ at their end, so that the longest must fit: beside a run's name are what opens it and a dot.
_STUDY = "tags.`byoe.study`"
_WIDTHS = {
    _RUN_NAME: round(_LETTER * LONGEST_STUDY) + 55,
    _STUDY: round(_LETTER * LONGEST_STUDY) + 20,
    _DATASET: 220,
    _MODELS: 160,
}
# What MLflow's page did not know before it had the envelope.
_LATER_KEYS = ("columnOrder", "columnWidths")
# Parameters of the newest study that the view of trials shows; MLflow's page gets slow with more columns.
_MOST_PARAMS = 30


@dataclass(frozen=True)
class Columns:
    """What an experiment's views show.

    Attributes:
        main: The main score of the studies' task.
        members: Names of the members.
        params: Names of the searched parameters.
        objective: The metric that decides.
    """

    main: str
    members: Sequence[str]
    params: Sequence[str]
    objective: str


def save_views(client: MlflowClient, experiment_id: str, columns: Columns) -> None:
    """Save the views of studies and of trials with a study's columns, and those of the members of earlier studies.

    Args:
        client: A client of the store.
        experiment_id: The experiment.
        columns: The columns of the newest study.
    """
    tags = client.get_experiment(experiment_id).tags
    earlier = _selected(tags.get(f"{_TAG}{STUDIES}"))
    for key, name, state in (
        (STUDIES, "byoe: studies", _studies(columns, earlier)),
        (TRIALS, "byoe: trials", _trials(columns)),
    ):
        text = _view(name, state)
        if tags.get(f"{_TAG}{key}") != text:
            client.set_experiment_tag(experiment_id, f"{_TAG}{key}", text)


def runs_page(experiment_id: str, view: str) -> str:
    """Return the place of a view in MLflow's page."""
    return f"#/experiments/{experiment_id}/runs?{_TRAINING}&viewStateShareKey={view}"


def run_page(experiment_id: str, run_id: str) -> str:
    """Return the place of a run in MLflow's page."""
    return f"#/experiments/{experiment_id}/runs/{run_id}"


def compare_page(experiment_id: str, runs: Sequence[str]) -> str:
    """Return the place of MLflow's compare view of some runs."""
    query = {"runs": json.dumps(list(runs)), "experiments": json.dumps([experiment_id])}
    return f"#/compare-runs?{urlencode(query, quote_via=quote)}"


def trials_page(experiment_id: str, study: str, objective: str) -> str:
    """Return the place of a study's trials in MLflow's page, best first."""
    query = {
        "searchFilter": f"tags.`byoe.study` = '{study}' and tags.`byoe.role` = 'trial'",
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": "false" if MetricName.parse(objective).maximised else "true",
    }
    return f"#/experiments/{experiment_id}/runs?{_TRAINING}&{urlencode(query, quote_via=quote)}"


def _studies(columns: Columns, earlier: Iterable[str]) -> dict[str, Any]:
    main = columns.main
    # Names of members that earlier studies had, so that each study's row has its scores.
    prefix, blend = f"metrics.`cv_{main}_", f"metrics.`cv_{main}_{BLENDED}`"
    known = [column for column in earlier if column.startswith(prefix) and column != blend]
    shown = [
        "tags.`byoe.mode`",
        *(f"metrics.`{split}_{main}_{BLENDED}`" for split in ("cv", "validation", "test")),
        *dict.fromkeys([*(f"metrics.`cv_{main}_{member}`" for member in columns.members), *known]),
        "metrics.`trials`",
        "params.`blend`",
        _DATASET,
        _MODELS,
    ]
    return _state(shown, "tags.`byoe.role` != 'trial' and tags.`byoe.role` != 'superseded'", None)


def _trials(columns: Columns) -> dict[str, Any]:
    main = columns.main
    shown = [
        _STUDY,
        f"metrics.`{columns.objective}`",
        f"metrics.`cv_{main}_{BLENDED}`",
        *(f"metrics.`cv_{main}_{member}`" for member in columns.members),
        f"metrics.`validation_{main}_{BLENDED}`",
        *(f"params.`{name}`" for name in list(columns.params)[:_MOST_PARAMS]),
        "tags.`byoe.mode`",
    ]
    return _state(list(dict.fromkeys(shown)), "tags.`byoe.role` = 'trial'", columns.objective)


def _state(shown: Sequence[str], runs: str, order: str | None) -> dict[str, Any]:
    """Return the state of MLflow's page.

    Args:
        shown: Its columns in order.
        runs: A filter of the runs.
        order: The metric by which they are sorted, best first; None for the newest first, each below its parent.
    """
    widths = {column: _WIDTHS.get(column) or _width(column) for column in (_RUN_NAME, *shown)}
    return {
        "searchFilter": runs,
        "orderByKey": "attributes.start_time" if order is None else f"metrics.`{order}`",
        "orderByAsc": order is not None and not MetricName.parse(order).maximised,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(shown),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }


def _width(column: str) -> int:
    name = column.partition("`")[2].rstrip("`")
    return max(_NARROWEST, round(_LETTER * len(name)) + _MARGIN)


def _view(name: str, state: Mapping[str, Any]) -> str:
    """Return a view as MLflow 3.17's page reads it, and, by the names beside the envelope, as earlier ones do."""
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    envelope = {"name": name, "createdAt": _CREATED, "state": f"{_COMPRESSED}{packed}"}
    return json.dumps({**envelope, **{key: value for key, value in state.items() if key not in _LATER_KEYS}})


def _selected(view: str | None) -> list[str]:
    """Return the columns of a saved view; none if it does not exist, or is not byoe's."""
    try:
        found = json.loads(view or "{}").get("selectedColumns", [])
    except (ValueError, AttributeError):
        return []
    return [column for column in found if isinstance(column, str)]
