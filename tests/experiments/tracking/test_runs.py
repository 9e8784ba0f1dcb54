"""A study's runs: each trial is logged once, and a broken store never stops the study.

Winners, figures and a real store are tested by the command suites, ``actions/test_tune`` and ``actions/test_crash``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.errors import StudyFailed
from experiments.study.learning import Learned, ScoredTrial
from experiments.study.spec import StudySpec, TrialResult
from experiments.tracking import runs
from experiments.tracking.runs import LONGEST_PARAM, Tracker, Winner, log_in_parts
from tests.experiments.tracking.client import FakeClient
from tests.support.studies import study as planned

COMPLETE = TrialResult(0, "complete", {"xgboost__eta": 0.25}, 0.0, 1.0, {"cv_rmse_blended": 1.5})


@pytest.fixture(scope="module")
def study() -> StudySpec:
    learned = (Learned("a", "study a", (ScoredTrial({}, 1.0),), (), outside=1),)
    return dataclasses.replace(planned("search.n_trials=3"), learned=learned)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    found = FakeClient()
    monkeypatch.setattr(runs, "open_experiment", lambda *_: (found, "1"))
    return found


@pytest.fixture
def track(study: StudySpec, client: FakeClient) -> Callable[..., Tracker]:
    def run(*results: TrialResult) -> Tracker:
        tracker = Tracker(study, "sqlite:///mlflow.db", "byoe-diabetes", Path(), "the configuration")
        for result in results:
            tracker.log(result)
        tracker.drain()
        return tracker

    return run


def test_a_study_is_one_run_and_each_trial_a_child(track: Callable[..., Tracker], client: FakeClient) -> None:
    info = {
        "weights": {"ridge": 0.5},
        "fit_seconds": {"ridge": 2.0},
        "rounds": {"deep": 40},
        "recipe_hash": "abc",
        "versions": {"numpy": "2"},
    }
    pruned = TrialResult(1, "pruned", {}, 0.0, 1.0, info={"pruned": {"folds": 2, "expected": 9.0}})
    failed = TrialResult(2, "failed", {}, 0.0, 1.0, failure="no luck")
    tracker = track(dataclasses.replace(COMPLETE, info=info), pruned, failed)
    assert tracker.problem is None
    (parent,) = client.role("study")
    assert parent.texts == {"config.yaml": "the configuration"}
    trials = client.role("trial")
    assert [(run.name, run.info.status) for run in trials] == [
        ("trial-0000", "FINISHED"),
        ("trial-0001", "FINISHED"),
        ("trial-0002", "FAILED"),
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    first, second, third = (run.data for run in trials)
    assert first.metrics == {"cv_rmse_blended": 1.5, "weight_ridge": 0.5, "fit_seconds": 2.0, "rounds_deep": 40}
    assert first.params["xgboost__eta"] == "0.25"
    assert (first.tags["byoe.params_hash"], first.tags["byoe.version.numpy"]) == ("abc", "2")
    assert second.tags["byoe.pruned_after_folds"] == "2"
    assert second.tags["mlflow.note.content"] == "Pruned after 2 folds: it could not become the best trial."
    assert [run.data.tags["byoe.state"] for run in trials] == ["complete", "pruned", "failed"]
    digest = parent.data.tags["byoe.data_hash"][:16]
    assert [run.datasets for run in (parent, *trials)] == [[digest]] * 4
    assert third.tags["byoe.failure"] == "no luck"
    tracker.close("FINISHED")
    assert parent.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("raised", "status"), [(None, "FINISHED"), (StudyFailed("no score"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_the_studys_run_ends_as_its_block_does(
    raised: BaseException | None, status: str, study: StudySpec, client: FakeClient
) -> None:
    with suppress(StudyFailed, KeyboardInterrupt), Tracker(study, "sqlite:///mlflow.db", "byoe", Path(), "") as tracker:
        tracker.log(COMPLETE)
        if raised is not None:
            raise raised
    assert client.role("study")[0].info.status == status
    assert len(client.role("trial")) == 1


def test_a_resumed_study_logs_only_what_is_missing(track: Callable[..., Tracker], client: FakeClient) -> None:
    track(COMPLETE).close("KILLED")
    cut = client.create_run("1", tags={**client.role("trial")[0].data.tags, "byoe.trial": "1"})
    track(COMPLETE, dataclasses.replace(COMPLETE, index=1))
    assert cut.info.run_id not in client.runs
    assert [run.data.tags["byoe.trial"] for run in client.role("trial")] == ["0", "1"]
    (parent,) = client.role("study")
    assert parent.info.status == "RUNNING"


def test_cost_and_job_of_a_trial_on_sagemaker_are_logged(track: Callable[..., Tracker], client: FakeClient) -> None:
    cloud = {"job": "study-001", "billable_seconds": 60, "cost_usd": None}
    track(dataclasses.replace(COMPLETE, info={"cloud": cloud}))
    (run,) = client.role("trial")
    assert run.data.tags["byoe.job"] == "study-001"
    assert run.data.metrics == {"cv_rmse_blended": 1.5, "billable_seconds": 60}


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The registered versions of a model that MLflow does not get, because that takes seconds."""
    registered: list[str] = []

    def register(client: FakeClient, run_id: str, *_: object) -> SimpleNamespace:
        registered.append(run_id)
        return SimpleNamespace(version=str(len(registered)), run_id=run_id)

    monkeypatch.setattr(runs, "bundle_hash", str)
    monkeypatch.setattr(runs, "log_model", lambda *_: "m-1")
    monkeypatch.setattr(runs, "model_of", lambda *_: "m-1")
    monkeypatch.setattr(runs, "find_version", lambda *_: None)
    monkeypatch.setattr(runs, "register_model", register)
    monkeypatch.setattr(FakeClient, "set_registered_model_alias", lambda *_: None, raising=False)
    return registered


def winner(index: int, eta: float) -> Winner:
    point = {"xgboost__eta": eta}
    metrics = {"cv_rmse_blended": 1.5, "test_rmse_blended": 1.6}
    return Winner(TrialResult(index, "complete", point, 0.0, 1.0, metrics), Path(f"bundle{index}"), {"a.png": "drawn"})


def test_the_run_of_a_study_has_its_parameters_its_summary_and_one_winner(
    track: Callable[..., Tracker], client: FakeClient, bundle: list[str]
) -> None:
    tracker = track(COMPLETE)
    tracker.finish(winner(0, 0.25), {"b.png": "drawn"}, "the summary", {"trials": 1})
    assert tracker.problem is None
    (study,), (final,) = client.role("study"), client.role("final")
    wanted = {
        "members": "xgboost,catboost,ridge",
        "blend": "weighted",
        "folds_k": "5",
        "n_trials": "3",
        "sampler": "tpe",
        "learned_from": "1 of 2 trials of study a",
        "xgboost__eta": "0.25",
    }
    assert wanted.items() <= study.data.params.items()
    note = study.data.tags["mlflow.note.content"]
    assert note.endswith("```\nthe summary\n```")
    assert f"(#/experiments/1/runs/{final.info.run_id})" in note
    assert "(#/experiments/1/runs?workflowType=" in note
    assert (final.name, final.info.status, final.datasets) == ("winner", "FINISHED", study.datasets)
    assert (
        json.loads(final.texts["metrics.json"])["test_rmse_blended"] == final.data.metrics["test_rmse_blended"] == 1.6
    )
    assert bundle == [final.info.run_id]
    tracker.finish(winner(0, 0.25), {}, "the summary", {"trials": 1})  # the same winner
    assert client.role("final") == [final]


@pytest.mark.parametrize("cut", [False, True])
def test_a_study_with_another_best_trial_gets_another_run_with_all_its_trials(
    cut: bool, track: Callable[..., Tracker], client: FakeClient, bundle: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    track(COMPLETE).finish(winner(0, 0.25), {}, "first", {})
    (old,) = client.role("study")
    if cut:
        with monkeypatch.context() as patch:
            patch.setattr(FakeClient, "set_tag", lambda *_: 1 / 0)
            broken = track(COMPLETE, dataclasses.replace(COMPLETE, index=1))
            broken.finish(winner(1, 0.5), {}, "second", {})
        assert "ZeroDivisionError" in str(broken.problem)
        assert len(client.role("study")) == 2
    track(COMPLETE, dataclasses.replace(COMPLETE, index=1)).finish(winner(1, 0.5), {}, "second", {})
    (study,), (final,), (earlier,) = (client.role(role) for role in ("study", "final", "superseded"))
    assert study.info.run_id != old.info.run_id
    assert study.data.params["xgboost__eta"] == "0.5"
    assert (final.name, earlier.name) == ("winner", "earlier winner")
    children = [*client.role("trial"), final, earlier]
    assert len(children) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {study.info.run_id}


def test_a_model_that_is_not_to_be_registered_is_logged_only(
    study: StudySpec, client: FakeClient, bundle: list[str]
) -> None:
    for register in (False, True):
        tracker = Tracker(study, "sqlite:///mlflow.db", "byoe", Path(), "", register=register)
        tracker.drain()
        tracker.finish(winner(0, 0.25), {}, "", {})
        assert tracker.problem is None
        assert len(client.role("final")) == 1
        assert len(bundle) == register  # later, from the same run


def test_a_store_that_cannot_be_opened_is_a_problem_and_not_an_error(
    track: Callable[..., Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise OSError("no store")

    monkeypatch.setattr(runs, "open_experiment", closed)
    tracker = track(COMPLETE, COMPLETE)
    assert tracker.problem == "OSError: no store"
    tracker.close("FINISHED")


def test_a_store_that_breaks_is_left_alone_afterwards(track: Callable[..., Tracker], client: FakeClient) -> None:
    client.broken = OSError("disk full")
    tracker = track(COMPLETE, dataclasses.replace(COMPLETE, index=1))
    assert tracker.problem == "OSError: disk full"
    assert len(client.role("trial")) == 1
    tracker.close("FINISHED")
    assert client.role("study")[0].info.status == "RUNNING"


def test_a_long_failure_is_cut_to_mlflows_limit(track: Callable[..., Tracker], client: FakeClient) -> None:
    track(TrialResult(0, "failed", {}, 0.0, 1.0, failure="x" * 10_000))
    assert len(client.role("trial")[0].data.tags["byoe.failure"]) == LONGEST_PARAM


@pytest.mark.parametrize(
    ("metrics", "params", "calls"),
    [
        (0, 0, [(0, 0)]),
        (1000, 100, [(1000, 100)]),
        (2001, 250, [(1000, 100), (1000, 0), (1, 0), (0, 100), (0, 50)]),
    ],
)
def test_many_numbers_are_logged_in_as_few_calls_as_allowed(
    client: FakeClient, metrics: int, params: int, calls: list[tuple[int, int]]
) -> None:
    from mlflow.entities import Metric, Param

    run_id = client.create_run("1").info.run_id
    log_in_parts(
        client,  # type: ignore[arg-type]
        run_id,
        [Metric(f"m{number}", 1.0, 0, 0) for number in range(metrics)],
        [Param(f"p{number}", "x") for number in range(params)],
    )
    assert client.calls == calls
    assert (len(client.runs[run_id].data.metrics), len(client.runs[run_id].data.params)) == (metrics, params)
