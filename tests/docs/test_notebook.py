"""The notebook runs from its table to its endpoint, whose answer is that of the model."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from experiments.serving.records import Records
from tests.conftest import COMMANDS_SECONDS, ENGINE, PROJECT, run_command
from tests.support.docker import left_behind, require_image

NOTEBOOK = PROJECT / "docs" / "notebook.ipynb"
# Of the table's 1,030.
ROWS = 200
# Members that are quick to fit, for every cell.
SETTINGS = """\
# @package _global_
ensemble:
  params: {xgboost: {num_round: 5}, catboost: {iterations: 5}}
search:
  baseline: false
"""


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """By the code of each cell, the text that it shows."""
    require_image()
    (tmp_path / "data").mkdir()
    table = (PROJECT / "docs" / "data" / "concrete.csv").read_text().splitlines(keepends=True)
    (tmp_path / "data" / "concrete.csv").write_text("".join(table[: 1 + ROWS]))
    (tmp_path / "configs" / "local").mkdir(parents=True)
    (tmp_path / "configs" / "local" / "default.yaml").write_text(SETTINGS)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=COMMANDS_SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    try:
        client.execute()
    finally:
        for endpoint in Records(tmp_path / "endpoints").all():  # a notebook that fails does not come to its last cell
            run_command("action=delete", f"endpoint={endpoint.name}", f"paths.endpoints={tmp_path / 'endpoints'}")
    return {cell.source: "".join(map(shown, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"}


def shown(output: Any) -> str:
    if output.get("name") == "stderr":
        return ""
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.xdist_group(ENGINE)
@pytest.mark.timeout(COMMANDS_SECONDS)
def test_it_runs_from_a_table_to_an_endpoint(executed: dict[str, str]) -> None:
    predicted = numbers(
        next(text for code, text in executed.items() if code.endswith("model.predict(concrete.head(3))"))
    )
    answered = next(text for code, text in executed.items() if "action=invoke" in code)
    assert len(predicted) == 3
    assert numbers(answered) == pytest.approx(predicted, rel=1e-7)
    assert left_behind() == []


def test_its_outputs_are_of_a_run_in_order() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output for cell in cells for output in cell.outputs if output.output_type == "error"] == []


def test_a_study_shows_its_bar_and_its_table_only() -> None:
    tunes = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if "byoe.tune(" in cell.source]
    assert len(tunes) == 2
    for cell in tunes:
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert all(
            re.fullmatch(r"(concrete|quartet) \[[#.]{10}\] \d/\d  .*", line.strip()) for line in printed.split("\r")
        )
        assert [output.data.keys() & {"text/html"} for output in cell.outputs if output.output_type != "stream"] == [
            {"text/html"}
        ]
