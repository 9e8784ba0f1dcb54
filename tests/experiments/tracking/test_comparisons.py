"""A comparison is a run with the page and a child for each study, recorded once.

A real store, and one that is missing or of another version, are tested by ``actions/test_compare``.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from experiments.tracking import comparisons
from experiments.tracking.comparisons import PAGE, ComparedStudy, Comparison, record_comparison
from tests.experiments.tracking.client import FakeClient

URI = "https://mlflow.example"


class Client(FakeClient):
    """A client that also knows one experiment."""

    def search_experiments(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(experiment_id="7")]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, opened: list[str]) -> Client:
    found = Client()

    def open_experiment(uri: str, root: Path, name: str) -> tuple[Client, str]:
        opened.append(name)
        return found, "7"

    monkeypatch.setattr(comparisons, "open_store", lambda *_: found)
    monkeypatch.setattr(comparisons, "open_experiment", open_experiment)
    return found


def comparison(page: str = "<html>") -> Comparison:
    studies = [
        ComparedStudy(
            name=name,
            label=f"label of {name}",
            tags={"byoe.mode": "local"},
            params={"seed": "0"},
            metrics={"trials": 2.0},
            best_so_far=[(1.0, 3.0), (2.0, 2.5)],
            began=0.0,
            ended=2.0,
        )
        for name in ("laptop", "containers")
    ]
    return Comparison(page, "digest", "diabetes", {"byoe.parity": "PASS"}, {"parity_pairs": 1}, studies)


def test_it_has_the_page_and_a_run_for_each_study(client: Client, opened: list[str]) -> None:
    recorded = record_comparison(comparison(), URI, Path(), None)
    assert recorded.problem is None
    assert opened == ["byoe-diabetes"]
    (parent,) = client.role("comparison")
    assert parent.name == "compare laptop containers"
    assert (parent.info.status, parent.texts, parent.data.metrics) == (
        "FINISHED",
        {PAGE: "<html>"},
        {"parity_pairs": 1},
    )
    assert (parent.data.tags["byoe.parity"], parent.data.tags["byoe.studies"]) == ("PASS", "laptop,containers")
    children = client.role("compared")
    assert [(run.name, run.data.tags["byoe.study"]) for run in children] == [
        ("label of laptop", "laptop"),
        ("label of containers", "containers"),
    ]
    assert children[0].data.metrics == {"trials": 2.0, "best_so_far": 2.5}
    assert children[0].data.params == {"seed": "0"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    runs = [run.info.run_id for run in children]
    assert recorded.page is not None
    assert unquote(recorded.page) == f"#/compare-runs?runs={json.dumps(runs)}&experiments={json.dumps(['7'])}"
    assert record_comparison(comparison(), URI, Path(), None) == recorded


def test_the_same_comparison_is_recorded_once_with_its_latest_page(client: Client) -> None:
    record_comparison(comparison(), URI, Path(), None)
    record_comparison(comparison("<html>later"), URI, Path(), None)
    assert len(client.runs) == 3
    assert client.role("comparison")[0].texts == {PAGE: "<html>later"}


def test_an_incomplete_comparison_of_a_killed_process_is_replaced(client: Client) -> None:
    record_comparison(comparison(), URI, Path(), None)
    client.role("comparison")[0].info.status = "RUNNING"
    record_comparison(comparison(), URI, Path(), None)
    assert len(client.runs) == 3
    assert client.role("comparison")[0].info.status == "FINISHED"


@pytest.mark.parametrize(("given", "expected"), [(None, "experiment 7"), ("mine", "mine")])
def test_it_is_recorded_in_the_experiment_of_the_first_study_by_default(
    client: Client, opened: list[str], given: str | None, expected: str
) -> None:
    client.create_run("7", tags={"byoe.study": "laptop", "byoe.role": "study"})
    record_comparison(comparison(), URI, Path(), given)
    assert opened == [expected]


def test_a_missing_store_is_not_created(client: Client, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert str(record_comparison(comparison(), uri, tmp_path, None).problem).startswith(f"there is no store at {uri}")
    assert not client.runs
    assert not list(tmp_path.iterdir())


def test_any_error_of_the_store_is_returned(client: Client) -> None:
    client.broken = RuntimeError("no answer")
    assert record_comparison(comparison(), URI, Path(), None).problem == "RuntimeError: no answer"
