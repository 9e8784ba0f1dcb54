"""The records of a study, read without the code that wrote them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any


def ledger_rows(project: Path, study: str) -> list[tuple[int, str | None, str | None]]:
    """Return (index, state, result) of every trial that was asked."""
    with contextlib.closing(sqlite3.connect(project / "studies" / study / "ledger.sqlite")) as connection:
        return connection.execute("SELECT number, state, result FROM trials ORDER BY number").fetchall()


def recorded_trials(project: Path, study: str) -> list[dict[str, Any]]:
    """Return every finished trial of a ledger."""
    return [json.loads(result) for _, _, result in ledger_rows(project, study) if result is not None]


def client_of(project: Path) -> Any:
    """Return a client of a project's MLflow store."""
    from experiments.tracking.store import quiet

    quiet()
    from mlflow import MlflowClient

    uri = f"sqlite:///{project}/mlflow.db"
    return MlflowClient(uri, uri)


def logged_runs(project: Path, experiment: str, role: str) -> list[Any]:
    """Return MLflow's runs of one role."""
    client = client_of(project)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], f"tags.`byoe.role` = '{role}'", max_results=1000))


def logged_trials(project: Path, experiment: str) -> list[Any]:
    """Return MLflow's runs of trials."""
    return logged_runs(project, experiment, "trial")


def winner_scores(project: Path, run: Any) -> dict[str, float]:
    """Return all scores of a winner's run: MLflow has those of the members that are not metrics in a file of the run."""
    path = client_of(project).download_artifacts(run.info.run_id, "metrics.json")
    scores: dict[str, float] = json.loads(Path(path).read_text())
    return scores
