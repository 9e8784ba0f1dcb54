"""The entry of a comparison in MLflow: names of studies and trials, and one digest for each state of the studies."""

from __future__ import annotations

from pathlib import Path

from experiments.comparison.measures import measure
from experiments.comparison.mlflow_entry import comparison_of
from experiments.comparison.parity import compare_trials
from experiments.comparison.recorded_study import RecordedStudy
from experiments.tracking.comparisons import Comparison
from tests.experiments.comparison.builder import POINTS, add_study, failed, scored


def entry(*studies: RecordedStudy, tolerance: float = 1e-9, page: str = "<html>") -> Comparison:
    return comparison_of(measure(studies), compare_trials(studies, tolerance), page)


def test_the_entry_uses_the_names_of_studies_and_trials(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0]), scored(1, POINTS[2]), failed(2, POINTS[1])])
    server = add_study(folder, "server", [scored(0, POINTS[0])], mode="sagemaker", given=True)
    found = entry(laptop, server)
    assert found.dataset == "toy"
    assert found.tags == {"byoe.action": "compare", "byoe.parity": "PASS", "byoe.data_hash": laptop.data_hash}
    assert found.metrics == {"parity_pairs": 1, "parity_equal": 1, "parity_exact": 1}
    first, second = found.studies
    assert (first.name, first.label, second.label) == ("laptop", "local", "sagemaker")
    assert next(iter(first.metrics)) == "cv_rmse_blended"
    assert (first.metrics["trials"], first.metrics["failed"]) == (3.0, 1.0)
    assert {"lift_mean", "lift_low", "lift_high", "test_rmse_blended"} <= set(first.metrics)
    assert not [name for name in first.metrics if "_fold_" in name]
    assert laptop.best is not None
    assert first.tags["byoe.best_trial"] == str(laptop.best.index)
    assert first.params["xgboost__eta"] == str(laptop.best.params["xgboost__eta"])
    assert [moment for moment, _ in first.best_so_far] == [result.finished for result in laptop.results]


def test_a_study_without_a_score_has_no_winner(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    bare = entry(laptop, add_study(folder, "bare", [failed(0, POINTS[0])])).studies[1]
    assert "byoe.best_trial" not in bare.tags
    assert bare.best_so_far == []
    assert "lift_mean" not in bare.metrics


def test_the_digest_depends_on_studies_and_tolerance_and_not_on_the_page(folder: Path) -> None:
    laptop = add_study(folder, "laptop", [scored(0, POINTS[0])])
    server = add_study(folder, "server", [scored(0, POINTS[0])])
    other = add_study(folder, "other", [scored(0, POINTS[0], shift=1.0)])
    digest = entry(laptop, server).digest
    assert entry(laptop, server, page="another").digest == digest
    changed = [entry(laptop, other), entry(server, laptop), entry(laptop, server, tolerance=0.0)]
    assert digest not in {found.digest for found in changed}
