"""``action=list``: every study in a line, and the best models of those on the same folds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.comparison.leaderboard import age
from tests.conftest import Ended
from tests.experiments.comparison.builder import POINTS, add_study, scored, splits, table

Run = Callable[..., Ended]


def test_studies_are_listed_with_a_leaderboard_of_the_newest_ones_data(folder: Path, byoe: Run) -> None:
    trials = [scored(index, point) for index, point in enumerate(POINTS)]
    add_study(folder, "laptop", trials)
    add_study(folder, "other", trials[:1], data=splits(table(12).take(slice(1, None)), "b" * 64), mode="remote")
    add_study(folder, "server", [scored(0, POINTS[0], shift=-1.0)], mode="sagemaker")
    (folder / "studies" / "empty").mkdir()
    (folder / "studies" / "empty" / "ledger.sqlite").write_text("nothing")
    ended = byoe("action=list", "study=laptop", "output=found.json")
    assert (ended.code, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    header = lines[0]
    assert header == ["study", "dataset", "mode", "age", "state", "trials", "objective", "best"]
    best = min(result.metrics["cv_rmse_blended"] for result in trials)
    (laptop,) = [line for line in lines if line[:1] == ["laptop"]]
    assert laptop[-3:] == ["3", "cv_rmse_blended", f"{best:.6g}"]
    assert "finished" in laptop
    assert any(line[:1] == ["empty"] and "ledger" in " ".join(line) for line in lines)
    board = ended.out.partition("best of each model")[2]
    first = board.splitlines()[2].split()
    assert first[:3] == ["1", "blended", f"{scored(0, POINTS[0], shift=-1.0).metrics['cv_rmse_blended']:.6g}"]
    assert first[-2:] == ["server", "sagemaker"]
    assert "other" not in board.partition("1 study has other rows or folds")[0]
    document = json.loads((folder / "found.json").read_text())
    assert {line["name"] for line in document["studies"]} == {"laptop", "other", "server", "empty"}
    scores = [line["score"] for line in document["leaderboard"]]
    assert scores == sorted(scores)
    assert {(line["study"], line["model"]) for line in document["leaderboard"]} == {
        (study, model) for study in ("laptop", "server") for model in ("blended", "xgboost", "ridge")
    }
    single = scored(0, {"xgboost__eta": 0.1}, members=("xgboost",))
    same = {name: value for name, value in single.metrics.items() if "_xgboost" in name}
    same |= {name.replace("xgboost", "blended"): value for name, value in same.items()}
    add_study(folder, "alone", [dataclasses.replace(single, metrics=same)], members=("xgboost",))
    board = byoe("action=list", "study=laptop").out.partition("best of each model")[2]
    assert [line.split()[1] for line in board.splitlines() if " alone " in line] == ["xgboost"]
    of_other = byoe("action=list", "study=other").out.partition("best of each model")[2]
    assert "laptop" not in of_other


def test_a_study_whose_time_limit_left_out_a_member_is_listed_and_compared(folder: Path, byoe: Run) -> None:
    alone = scored(0, POINTS[0], members=("xgboost",))
    hurried = dataclasses.replace(alone, info={"left_out": {"ridge": "a fit takes about 9 s"}})
    assert add_study(folder, "hurried", [hurried], final=False).members == ("xgboost",)
    add_study(folder, "laptop", [scored(0, POINTS[0])])
    ended = byoe("action=list")
    assert (ended.code, ended.err) == (0, "")
    (line,) = [line.split() for line in ended.out.splitlines() if line.startswith("hurried")]
    assert line[-3:] == ["1", "cv_rmse_blended", f"{alone.metrics['cv_rmse_blended']:.6g}"]
    compared = byoe("action=compare", "compare.studies=[hurried,laptop]").out
    assert "equally good" in compared


def test_without_studies_the_first_command_is_named(folder: Path, byoe: Run) -> None:
    assert "Run one: python run.py mode=local" in byoe("action=list").out
    refused = byoe("action=list", "study=none")
    assert (refused.code, "study=none: there is no such study" in refused.err) == (2, True)
    assert "ends with .json" in byoe("action=list", "output=list.csv").err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86_400, "1 day"), (200_000, "2 days")],
)
def test_ages_have_one_unit(seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.comparison.leaderboard.time.time", lambda: 1e6 + seconds)
    assert age(1e6) == text
