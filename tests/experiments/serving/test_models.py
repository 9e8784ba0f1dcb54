"""Which model ``model=`` means, and what is refused."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.serving.models import Model, place_model
from experiments.system.archives import pack
from tests.conftest import QUICK, Ended
from tests.support.records import logged_runs


@pytest.fixture
def study(project: Path, byoe: Callable[..., Ended]) -> Path:
    assert byoe("mode=local", "action=train", "study=mine", *QUICK).code == 0
    return project / "studies" / "mine"


def place(name: str, *arguments: str) -> Model:
    folder = Path(name)
    folder.mkdir()
    return place_model(compose(["mode=local", *arguments]), folder)


def test_every_way_to_name_a_model_finds_the_same_one(study: Path, byoe: Callable[..., Ended]) -> None:
    newest = place("newest")
    assert newest.origin == "study mine"
    assert (newest.folder / "code" / "inference.py").exists()
    runs = [logged_runs(study.parents[1], "byoe-diabetes", role)[0].info.run_id for role in ("study", "final")]
    for number, run in enumerate(runs):  # before the model is registered
        assert place(f"run{number}", f"model={run}").bundle_hash == newest.bundle_hash
    assert byoe("mode=local", "action=train", "study=mine", "mlflow.register=true", *QUICK).code == 0
    ways = ["mine", "studies/mine", "studies/mine/final/model", "newest/model.tar.gz"]
    ways += ["mine@winner", "models:/mine/1", *runs]
    for number, way in enumerate(ways):
        assert place(f"way{number}", f"model={way}").bundle_hash == newest.bundle_hash, way
        assert not Path(f"way{number}", "download").exists()


@pytest.mark.slow
def test_an_archive_has_the_same_bytes_whenever_it_is_made(study: Path) -> None:
    bundle = study / "final" / "model"
    pack(bundle, Path("a.tar.gz"))
    shutil.copytree(bundle, "copy")
    pack(Path("copy"), Path("b.tar.gz"))
    assert Path("a.tar.gz").read_bytes() == Path("b.tar.gz").read_bytes()


@pytest.mark.slow
def test_an_archive_that_is_damaged_anywhere_is_refused(study: Path, byoe: Callable[..., Ended]) -> None:
    pack(study / "final" / "model", Path("whole.tar.gz"))
    whole = Path("whole.tar.gz").read_bytes()
    Path("rows.csv").write_text("a\n1\n")
    reasons = set()
    for at in range(20, len(whole) - 20, len(whole) // 12):
        Path("harmed.tar.gz").write_bytes(
            whole[:at] + bytes(byte ^ 255 for byte in whole[at : at + 8]) + whole[at + 8 :]
        )
        ended = byoe("action=batch", "model=harmed.tar.gz", "input=rows.csv", "output=o.csv")
        assert ended.code == 2
        assert "Traceback" not in ended.err
        reasons.add("unpacked" in ended.err)
    assert True in reasons


def test_a_value_that_is_not_a_model_is_refused_by_name(project: Path, byoe: Callable[..., Ended]) -> None:
    Path("text.tar.gz").write_text("no archive")
    Path("empty").mkdir()
    Path("old").mkdir()
    Path("old/manifest.json").write_text(json.dumps({"bundle_version": 1}))
    Path("rows.csv").write_text("a\n1\n")
    Path("inside").write_text("x")
    with tarfile.open("escaping.tar.gz", "w:gz") as tar:
        tar.add("inside", arcname="../outside")
    for text, message in {
        "nothing": "there is no such study, folder or archive",
        "text.tar.gz": "cannot be unpacked",
        "empty": "it has no manifest.json",
        "old": "has version 1",
        "escaping.tar.gz": "is not a file or folder below",
        "nothing@winner": "not found",
    }.items():
        ended = byoe("action=batch", f"model={text}", "input=rows.csv", "output=o.csv")
        assert ended.code == 2, text
        assert message in ended.err.lower() or message in ended.err, ended.err
        assert len(ended.err.splitlines()) == 1
        assert "Traceback" not in ended.err
    assert not Path("outside").exists()
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_without_a_study_the_command_that_makes_one_is_named(folder: Path, byoe: Callable[..., Ended]) -> None:
    Path("rows.csv").write_text("a\n1\n")
    ended = byoe("action=batch", "input=rows.csv", "output=o.csv")
    assert ended.code == 2
    assert "python run.py mode=local runs one" in ended.err
