"""The saved views of an experiment, as MLflow's page reads them; ``test_page`` opens them in a browser."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, cast
from urllib.parse import unquote

from experiments.sagemaker_requests.limits import STUDY_NAME_LENGTH
from experiments.tracking.views import LONGEST_STUDY, STUDIES, TRIALS, Columns, save_views, trials_page
from tests.experiments.tracking.client import FakeClient

COLUMNS = Columns("rmse", ["xgboost", "ridge"], ["xgboost__eta", "ridge__alpha"], "cv_rmse_blended")


def state(client: FakeClient, key: str) -> dict[str, Any]:
    """Return a view's state as MLflow's page unpacks it."""
    envelope = json.loads(client.experiment_tags[f"mlflow.sharedViewState.{key}"])
    assert envelope["name"].startswith("byoe: ")
    kind, _, packed = envelope["state"].partition(";")
    assert kind == "deflate"
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))


def saved(*columns: Columns) -> FakeClient:
    client = FakeClient()
    for one in columns:
        save_views(cast("Any", client), "1", one)
    return client


def test_the_view_of_studies_has_their_scores_and_no_trials() -> None:
    found = state(saved(COLUMNS), STUDIES)
    assert [column for column in found["selectedColumns"] if column.startswith("metrics.")] == [
        "metrics.`cv_rmse_blended`",
        "metrics.`validation_rmse_blended`",
        "metrics.`test_rmse_blended`",
        "metrics.`cv_rmse_xgboost`",
        "metrics.`cv_rmse_ridge`",
        "metrics.`trials`",
    ]
    assert "attributes.`Dataset`" in found["selectedColumns"]
    assert found["searchFilter"] == "tags.`byoe.role` != 'trial' and tags.`byoe.role` != 'superseded'"
    assert found["orderByKey"] == "attributes.start_time"  # MLflow shows runs below their parents in this order only


def test_the_view_of_trials_has_what_was_searched_and_the_best_first() -> None:
    found = state(saved(COLUMNS), TRIALS)
    assert {"params.`xgboost__eta`", "params.`ridge__alpha`", "tags.`byoe.study`"} <= set(found["selectedColumns"])
    assert (found["searchFilter"], found["orderByKey"]) == ("tags.`byoe.role` = 'trial'", "metrics.`cv_rmse_blended`")
    assert found["orderByAsc"]
    of_classes = Columns("logloss", ["ridge"], [], "cv_auc_blended")
    assert not state(saved(of_classes), TRIALS)["orderByAsc"]


def test_a_column_is_as_wide_as_its_name() -> None:
    found = state(saved(COLUMNS), STUDIES)
    assert set(found["columnWidths"]) == {*found["selectedColumns"], "attributes.`Run Name`"}
    for column, width in found["columnWidths"].items():
        assert width >= 7 * len(column.partition("`")[2])
    assert LONGEST_STUDY == STUDY_NAME_LENGTH
    assert found["columnWidths"]["attributes.`Run Name`"] > 6.7 * LONGEST_STUDY + 55  # and what is beside the name
    assert state(saved(COLUMNS), TRIALS)["columnWidths"]["tags.`byoe.study`"] > 7 * LONGEST_STUDY


def test_members_of_earlier_studies_keep_their_columns() -> None:
    later = Columns("rmse", ["svr"], [], "cv_rmse_blended")
    shown = state(saved(COLUMNS, later), STUDIES)["selectedColumns"]
    members = [column for column in shown if column.startswith("metrics.`cv_rmse_") and "blended" not in column]
    assert members == ["metrics.`cv_rmse_svr`", "metrics.`cv_rmse_xgboost`", "metrics.`cv_rmse_ridge`"]
    assert "metrics.`cv_rmse_xgboost`" not in state(saved(COLUMNS, later), TRIALS)["selectedColumns"]


def test_a_view_that_is_there_is_not_written_again() -> None:
    client = saved(COLUMNS)
    before = dict(client.experiment_tags)
    client.set_experiment_tag = None  # type: ignore[method-assign, assignment]
    save_views(cast("Any", client), "1", COLUMNS)
    assert client.experiment_tags == before


def test_a_view_of_the_widest_ensemble_fits_into_a_tag_of_earlier_servers() -> None:
    members = [f"hist_gradient_boosting_{number}" for number in range(10)]
    wide = Columns(
        "rmse", members, [f"{member}__learning_rate_{i}" for member in members for i in range(4)], "cv_rmse_blended"
    )
    client = saved(wide)
    assert max(map(len, client.experiment_tags.values())) <= 5000
    old = json.loads(client.experiment_tags[f"mlflow.sharedViewState.{TRIALS}"])
    assert old["selectedColumns"] == state(client, TRIALS)["selectedColumns"]  # where earlier versions look for them


def test_a_view_that_cannot_be_read_is_replaced() -> None:
    client = FakeClient()
    client.experiment_tags[f"mlflow.sharedViewState.{STUDIES}"] = "deflate;not byoe's"
    save_views(cast("Any", client), "1", COLUMNS)
    assert "metrics.`cv_rmse_ridge`" in state(client, STUDIES)["selectedColumns"]


def test_the_trials_of_one_study_have_an_address() -> None:
    place, _, query = trials_page("7", "mine", "cv_auc_blended").partition("?")
    assert place == "#/experiments/7/runs"
    assert unquote(query) == (
        "workflowType=machine_learning&searchFilter=tags.`byoe.study` = 'mine' and tags.`byoe.role` = 'trial'&orderByKey=metrics.`cv_auc_blended`"
        "&orderByAsc=false"
    )
