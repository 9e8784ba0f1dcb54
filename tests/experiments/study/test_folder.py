"""The files of a trial are read as they are, or the trial fails with the reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import InputError
from experiments.study.folder import output_data_dir, read_result
from experiments.study.spec import TrialResult, TrialSpec

HYPERPARAMETERS = {"members": "ridge", "target": "y", "rival": "{}", "sagemaker_program": "train.py"}


def document(**changes: Any) -> dict[str, Any]:
    metrics = {"cv_rmse_ridge": 2.0, "cv_rmse_blended": 1, "r2_blended": 0.5}
    return {"metrics": metrics, "weights": {"ridge": 1.0}, "fit_seconds": {"ridge": 0.1}, **changes}


def read(folder: Path, text: str) -> TrialResult:
    place = output_data_dir(folder)
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(text)
    return read_result(TrialSpec(0, {}, HYPERPARAMETERS, folder), 0.0, 1.0, 0)


def test_a_complete_and_a_pruned_training_are_read(tmp_path: Path) -> None:
    result = read(tmp_path / "whole", json.dumps(document()))
    assert (result.state, result.failure) == ("complete", None)
    assert result.metrics == document()["metrics"]
    del (fewer := document(left_out={"ridge": "slow"}))["metrics"]["cv_rmse_ridge"]
    assert read(tmp_path / "fewer", json.dumps(fewer)).state == "complete"
    lost = {"metrics": {"cv_rmse_ridge_fold_0": 2.0}, "pruned": {"folds": 1, "expected": 2.5}}
    assert read(tmp_path / "lost", json.dumps(lost)).state == "pruned"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "it has no metrics"),
        ({}, "it has no metrics"),
        ({"metrics": [1]}, "it has no metrics"),
        (document(metrics={}), "it has no cv_rmse_blended in metrics"),
        (document(metrics={"cv_rmse_blended": 1.0}), "it has no cv_rmse_ridge in metrics"),
        (document(metrics={"cv_rmse_blended": "1", "cv_rmse_ridge": 1.0}), "cv_rmse_blended in metrics is '1'"),
        (document(metrics={"cv_rmse_blended": 1.0, "cv_rmse_ridge": math.nan}), "cv_rmse_ridge in metrics is nan"),
        (document(metrics={"cv_rmse_blended": 10**400, "cv_rmse_ridge": 1}), "is not a finite number"),
        (document(metrics={"cv_rmse_blended": True, "cv_rmse_ridge": 1}), "cv_rmse_blended in metrics is True"),
        (document(weights=[1.0]), "its weights are [1.0]"),
        (document(left_out=["ridge"]), "its left_out are ['ridge']"),
        (document(rounds={"ridge": "many"}), "ridge in rounds is 'many'"),
        (document(weights={}), "it has no ridge in weights"),
        (document(fit_seconds={"ridge": None}), "ridge in fit_seconds is None"),
        (document(versions="1"), "its versions are '1'"),
        (document(pruned=3), "its pruned is 3"),
        (document(pruned={"folds": 2}), "it has no expected in pruned"),
    ],
    ids=str,
)
def test_a_document_that_is_not_of_a_training_is_a_failed_trial(found: Any, reason: str, tmp_path: Path) -> None:
    result = read(tmp_path, json.dumps(found))
    assert (result.state, result.metrics) == ("failed", {})
    assert result.failure is not None
    assert result.failure.startswith("its metrics.json is not valid: ")
    assert reason in result.failure


def test_metrics_of_another_version_stop_the_command_and_do_not_fail_the_trial(tmp_path: Path) -> None:
    assert read(tmp_path / "same", json.dumps(document(version=1))).state == "complete"
    with pytest.raises(InputError, match="with the release that wrote it") as error:
        read(tmp_path / "other", json.dumps(document(version=2)))
    path = output_data_dir(tmp_path / "other") / "metrics.json"
    assert str(error.value).startswith(f"{path} has version 2, and this release of byoe reads version 1")
    assert error.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "none", "[" * 100_000], ids=["empty", "no JSON", "deep"])
def test_a_file_that_cannot_be_read_is_a_failed_trial(text: str, tmp_path: Path) -> None:
    result = read(tmp_path, text)
    assert result.state == "failed"
    assert "its metrics.json cannot be read" in str(result.failure)
