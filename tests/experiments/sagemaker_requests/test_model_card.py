"""Model cards: Markdown, and SageMaker's request (``study.card``, ``sagemaker_requests.model_card``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.bundle import bundle_hash, read_manifest
from experiments.sagemaker_requests.model_card import CONTENT, card_content, card_request, content_problems
from experiments.sagemaker_requests.validation import InvalidRequest
from experiments.study.card import Card, as_markdown, licence
from experiments.study.predictions import Predictions
from experiments.study.spec import TrialResult
from tests.support.models import save_model_of_classes, save_two_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a quantity, ``one``, and one of classes, ``classes/model``."""
    found = tmp_path_factory.mktemp("models")
    save_two_models(found)
    save_model_of_classes(found / "classes")
    return found


def card(bundle: Path, **more: Any) -> Card:
    return Card("mine", read_manifest(bundle), bundle_hash(bundle), **more)


def known(bundle: Path) -> Card:
    """Return a card of which everything is known."""
    manifest = read_manifest(bundle)
    metrics = {**manifest["metrics"], "test_rmse_blended": 2.5}
    coverage = {"level": 0.9, "share": 0.91, "low": 0.8, "high": 0.97, "rows": 40.0, "size": 3.25}
    info = {"recipe": {"folds": {"k": 2}}, "classes": manifest.get("classes", []), "coverage": coverage}
    final = TrialResult(0, "complete", {}, 0.0, 1.0, metrics, info)
    target = np.arange(20.0)
    predictions = Predictions(target, target[:, None], target + 1, None, ("ridge",))
    return card(
        bundle,
        final=final,
        importance={"b": 0.1, "a|x": 2.0},
        out_of_fold=predictions,
        tested=predictions,
        parity=["parity: PASS (1 of 1)"],
    )


def test_a_card_has_data_scores_parity_versions_licences_and_what_it_is_not_for(folder: Path) -> None:
    text = as_markdown(known(folder / "one"))
    manifest = read_manifest(folder / "one")
    for part in (
        manifest["data_hash"],
        f"- Rows that the served models learnt from: {manifest['rows']}",
        "a (number), b (number)",
        "kfold, k=2",
        f"| cv | rmse | {manifest['metrics']['cv_rmse_blended']:.6g} |",
        " to ",
        "| test | rmse | 2.5 | 1 to 1 |",
        "Intervals of 90% hold 91.0% of the test rows (95% interval 80.0% to 97.0%); their mean size is 3.25.",
        "predictions are 1 too high on average",
        "- a\\|x: 2",
        "parity: PASS",
        "## What it is not for",
        f"| scikit-learn | {manifest['versions']['scikit-learn']} | BSD",
    ):
        assert part in text, part
    assert text.index("a\\|x") < text.index("- b: 0.1")
    listed = [
        line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.count(" | ") == 2 and "==" not in line
    ]
    members = {member["kind"] for member in manifest["members"]}
    assert members == {"ridge"}
    assert listed[listed.index("python") :] == ["python", "numpy", "scikit-learn", "scipy", "skops"]


def test_a_card_of_a_bundle_alone_says_what_is_not_known(folder: Path) -> None:
    text = as_markdown(card(folder / "classes" / "model"))
    assert "Multiclass Classification" in text
    assert "## Intervals" not in text
    assert "The importance of the columns is not known." in text
    assert "No other run of the same trials is on this machine." in text


@pytest.mark.parametrize("name", ["one", "classes/model"])
def test_the_request_is_what_sagemaker_takes(name: str, folder: Path) -> None:
    from sagemaker.core.shapes.model_card_shapes import ModelCardContent

    for found in (card(folder / name), known(folder / name)) if name == "one" else (card(folder / name),):
        request = card_request(found, "mine")
        content = json.loads(request["Content"])
        assert content == card_content(found)
        parsed = ModelCardContent.model_validate(content, extra="forbid")
        assert parsed.model_overview.problem_type == found.problem
        assert request["ModelCardStatus"] == "Draft"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"model_overview": {"model_name": "x"}}, "model_name is unknown"),
        ({"intended_uses": {"risk_rating": "None"}}, "must be one of High"),
        ({"model_overview": {"model_description": "x" * 1025}}, "1025 characters, and AWS allows at most 1024"),
        ({"evaluation_details": [{"metric_groups": []}]}, "evaluation_details[0].name is missing"),
        ({"evaluation_details": {}}, "must be a list"),
        ({"model_overview": []}, "must be an object"),
        ({"model_overview": {"model_artifact": ["x"] * 16}}, "16 entries, and AWS allows at most 15"),
    ],
)
def test_what_sagemaker_would_refuse_is_named(content: dict[str, Any], problem: str) -> None:
    (found,) = content_problems(content, CONTENT, "Content")
    assert problem in found


def test_a_card_with_a_score_that_is_no_number_is_refused(folder: Path) -> None:
    final = TrialResult(0, "complete", {}, 0.0, 1.0, {"cv_rmse_blended": float("nan")}, {})
    with pytest.raises(InvalidRequest, match="must be a number"):
        card_request(card(folder / "one", final=final), "mine")


def test_licences_are_those_that_the_libraries_declare() -> None:
    assert licence("catboost").startswith("Apache")
    assert licence("nowhere") == "unknown"
