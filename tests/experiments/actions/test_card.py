"""``action=card``: printed, written, and beside the winner's bundle and in MLflow when a study ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended
from tests.support.models import small_bundle
from tests.support.records import logged_runs

Run = Callable[..., Ended]


def test_a_study_ends_with_its_card(project: Path, byoe: Run) -> None:
    cheap = ("ensemble.members=[ridge, {near: {kind: nearest_neighbors}}]", "search.baseline=false")
    assert byoe("action=train", "study=mine", *cheap).code == 0
    text = (project / "studies/mine/final/model/card.md").read_text()
    assert "# Model card: mine" in text
    assert "| test | rmse |" in text
    printed = byoe("action=card", "model=mine")
    assert printed.code == 0, printed.err
    assert printed.out.strip() == text.strip()
    assert byoe("action=card", "output=card.json").code == 0
    assert json.loads(Path("card.json").read_text())["ModelCardName"] == "mine"
    (run,) = logged_runs(project, "byoe-diabetes", "final")
    files = {path.name for path in (project / "mlartifacts").rglob(f"*{run.info.run_id}*/artifacts/*")}
    assert {"card.md", "model_card.json"} <= files
    again = byoe("action=replay", "replay.study=mine", "study=again")
    assert again.code == 0, again.err
    assert "mine (mode=local) and again (mode=local): parity: PASS" in byoe("action=card", "model=mine").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("model=none",), "no such study"), (("model=one", "output=x.txt"), "ends with .md or .json")],
)
def test_a_mistake_is_one_message(arguments: tuple[str, ...], message: str, project: Path, byoe: Run) -> None:
    ended = byoe("action=card", *arguments)
    assert ended.code == 2
    assert message in ended.err


def test_a_model_of_an_earlier_version_has_a_card(project: Path, byoe: Run) -> None:
    from ensemble.reading import Roles, read_file

    (project / "t.csv").write_text("a,y\n" + "".join(f"{x},{3 * x}\n" for x in range(40)))
    bundle = small_bundle(project / "old", read_file(project / "t.csv", Roles("y")))
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["sketch.json"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    ended = byoe("action=card", "model=old", "output=card.md")
    assert ended.code == 0, ended.err
    assert "a (number)" in Path("card.md").read_text()
