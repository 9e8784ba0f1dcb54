from __future__ import annotations

import compileall
import contextlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments.actions.init import TEST
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


@pytest.mark.parametrize(
    ("batch", "invoke", "passes"),
    [
        ("prediction\n1.5\n2\n", "1.5\n2.0000000000001\n", True),
        ("prediction\n1.5\n2\n", "1.5\n2.1\n", False),
        ('prediction\nyes\n"no, never"\n', 'yes\n"no, never"\n', True),
        ("prediction\nyes\nno\n", "yes\nyes\n", False),
    ],
)
def test_the_test_of_the_endpoint_compares_numbers_and_labels(
    batch: str, invoke: str, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: dict[str, Any] = {"__file__": __file__}
    exec(TEST, module)  # the file that a project gets
    printed = {"batch": batch, "invoke": invoke}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, printed[command[1]], "")

    monkeypatch.setattr(subprocess, "run", run)
    with contextlib.nullcontext() if passes else pytest.raises(AssertionError):
        module["test_the_endpoint_predicts_what_the_model_does"]()


def test_the_settings_of_the_folder_count(folder: Path) -> None:
    assert main(["init"]) == 0
    local = folder / "configs" / "local" / "default.yaml"
    assert compose([]).config.search.parallel is None
    local.write_text(local.read_text().replace("# search:", "search:").replace("#   parallel:", "  parallel:"))
    composed = compose([])
    assert composed.config.search.parallel == 2
    assert composed.sources["search.parallel"] == "configs/local/default.yaml"


def test_files_that_are_there_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = folder / "tests" / "test_endpoint.py"
    test.parent.mkdir()
    test.write_text("mine")
    assert main(["init"]) == 2
    assert "action=init writes tests/test_endpoint.py, which this folder has already" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["tests"]
    assert test.read_text() == "mine"


def test_lines_are_added_to_gitignore(folder: Path) -> None:
    ignored = folder / ".gitignore"
    ignored.write_text("*.csv\n/studies/")
    assert main(["init"]) == 0
    assert ignored.read_text().splitlines()[:3] == ["*.csv", "/studies/", "/configs/local/"]
    assert ignored.read_text().count("/studies/") == 1
