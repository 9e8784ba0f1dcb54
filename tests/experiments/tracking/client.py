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
        info: ``run_id``, ``experiment_id`` and ``status``.
        data: ``tags``, ``params`` and ``metrics``, as MLflow's runs have them.
        name: Its name.
        texts: Its text artifacts by file name.
    """

    info: SimpleNamespace
    data: SimpleNamespace
    name: str | None
    texts: dict[str, str] = field(default_factory=dict)


class FakePage(list[FakeRun]):
    """One page of a search, which is the last one."""

    token = None


class FakeClient:
    """The methods of ``MlflowClient`` that byoe calls for runs.

    Attributes:
        runs: Every run by its id, in the order of creation.
        calls: The sizes of each ``log_batch``: metrics and params.
        broken: The error that ``log_batch`` raises, if any.
    """

    def __init__(self) -> None:
        """Start without runs."""
        self.runs: dict[str, FakeRun] = {}
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
        run = FakeRun(info, SimpleNamespace(tags=dict(tags), params={}, metrics={}), run_name)
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
        data.metrics.update({metric.key: metric.value for metric in metrics})
        data.params.update({param.key: param.value for param in params})
        data.tags.update({tag.key: tag.value for tag in tags})

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Keep a text."""
        self.runs[run_id].texts[artifact_file] = text

    def update_run(self, run_id: str, status: str) -> None:
        """Set a run's status."""
        self.runs[run_id].info.status = status

    def set_terminated(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """End a run."""
        self.runs[run_id].info.status = status

    def delete_run(self, run_id: str) -> None:
        """Delete a run."""
        del self.runs[run_id]

    def role(self, role: str) -> list[FakeRun]:
        """Return the runs with this ``byoe.role``."""
        return [run for run in self.runs.values() if run.data.tags["byoe.role"] == role]
