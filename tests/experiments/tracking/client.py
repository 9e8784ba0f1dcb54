"""A stand-in for MLflow's client that keeps runs in memory, so that no store has to be created."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class FakeRun:
    """A run.

    Attributes:
        info: ``run_id``, ``run_name``, ``experiment_id``, ``start_time`` and ``status``.
        data: ``tags``, ``params`` and ``metrics``, as MLflow's runs have them.
        steps: Each metric's values by step.
        datasets: The digests of its data.
        texts: Its text artifacts by file name.
    """

    info: SimpleNamespace
    data: SimpleNamespace
    steps: dict[str, dict[int, float]] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """Its name."""
        return self.info.run_name


class FakePage(list[FakeRun]):
    """One page of a search, which is the last one."""

    token = None


class FakeClient:
    """The methods of ``MlflowClient`` that byoe calls for runs.

    Attributes:
        runs: Every run by its id, in the order of creation.
        experiment_tags: The tags of the only experiment.
        calls: The sizes of each ``log_batch``: metrics and params.
        broken: The error that ``log_batch`` raises, if any.
    """

    def __init__(self) -> None:
        """Start without runs."""
        self.runs: dict[str, FakeRun] = {}
        self.experiment_tags: dict[str, str] = {}
        self.calls: list[tuple[int, int]] = []
        self.broken: Exception | None = None
        self._numbers = itertools.count()

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, str] = {},
        run_name: str | None = None,
    ) -> FakeRun:
        """Create a run that is still running."""
        info = SimpleNamespace(run_id=f"run{next(self._numbers)}", experiment_id=experiment_id, status="RUNNING")
        info.run_name, info.start_time = run_name, start_time
        run = FakeRun(info, SimpleNamespace(tags=dict(tags), params={}, metrics={}))
        self.runs[info.run_id] = run
        return run

    def search_runs(self, experiment_ids: Sequence[str], filter_string: str, **_: Any) -> FakePage:
        """Return the runs whose tags equal those of the filter."""
        wanted = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", filter_string))
        return FakePage(
            run
            for run in self.runs.values()
            if run.info.experiment_id in experiment_ids and wanted.items() <= run.data.tags.items()
        )

    def log_batch(self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Any = ()) -> None:
        """Log what MLflow allows in one call."""
        if self.broken is not None:
            raise self.broken
        assert len(metrics) <= 1000
        assert len(params) <= 100
        self.calls.append((len(metrics), len(params)))
        data = self.runs[run_id].data
        for metric in metrics:  # MLflow shows the value of the last step
            data.metrics[metric.key] = metric.value
            self.runs[run_id].steps.setdefault(metric.key, {})[metric.step] = metric.value
        for param in params:
            assert data.params.setdefault(param.key, param.value) == param.value, "MLflow changes no parameter"
        data.tags.update({tag.key: tag.value for tag in tags})

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Keep a text."""
        self.runs[run_id].texts[artifact_file] = text

    def log_inputs(self, run_id: str, datasets: Sequence[Any]) -> None:
        """Keep the digests of datasets."""
        self.runs[run_id].datasets.extend(found.dataset.digest for found in datasets)

    def log_figure(self, run_id: str, figure: str, artifact_file: str) -> None:
        """Keep a figure, which is a text here."""
        self.runs[run_id].texts[artifact_file] = figure

    def get_run(self, run_id: str) -> FakeRun:
        """Return a run."""
        return self.runs[run_id]

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Set a run's tag."""
        self.runs[run_id].data.tags[key] = value

    def get_experiment(self, experiment_id: str) -> SimpleNamespace:
        """Return the only experiment."""
        return SimpleNamespace(name=f"experiment {experiment_id}", tags=self.experiment_tags)

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set a tag of the only experiment."""
        self.experiment_tags[key] = value

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        """Set a run's status or name."""
        info = self.runs[run_id].info
        info.status, info.run_name = status or info.status, name or info.run_name

    def set_terminated(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """End a run."""
        self.runs[run_id].info.status = status

    def delete_run(self, run_id: str) -> None:
        """Delete a run."""
        del self.runs[run_id]

    def role(self, role: str) -> list[FakeRun]:
        """Return the runs with this ``byoe.role``."""
        return [run for run in self.runs.values() if run.data.tags["byoe.role"] == role]
