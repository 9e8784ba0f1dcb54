from __future__ import annotations

import compileall
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.config.compose import compose


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_are_a_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    printed = capsys.readouterr().out
    assert "configs/experiment/mine.yaml" in printed
    config = compose(["experiment=mine"]).config
    assert (config.dataset.name, config.dataset.path, config.dataset.target) == ("file", "table.csv", "price")
    assert compileall.compile_file(folder / "tests" / "test_endpoint.py", quiet=1)
    assert "/configs/local/" in (folder / ".gitignore").read_text().splitlines()


def test_the_settings_of_the_folder_count(folder: Path) -> None:
    assert main(["init"]) == 0
    local = folder / "configs" / "local" / "default.yaml"
    assert compose([]).config.search.parallel is None
    local.write_text(local.read_text().replace("# search:", "search:").replace("#   parallel:", "  parallel:"))
    composed = compose([])
    assert composed.config.search.parallel == 2
    assert composed.sources["search.parallel"] == "configs/local/default.yaml"


def test_files_that_are_there_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".gitignore").write_text("mine")
    assert main(["init"]) == 2
    assert "action=init writes .gitignore, which this folder has already" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == [".gitignore"]
    assert (folder / ".gitignore").read_text() == "mine"
