"""The code in ``docs/python.md`` runs, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import COMMANDS_SECONDS, PROJECT
from tests.docs.markdown import blocks

PAGE = PROJECT / "docs" / "python.md"
# Members that are quick to fit, for every call of the page.
SETTINGS = """\
# @package _global_
ensemble:
  params: {xgboost: {num_round: 5}, catboost: {iterations: 5}}
search:
  baseline: false
"""
# The page replays in containers, which test_sagemaker.py does; without an engine, worker processes do as well.
REPLACED = ('mode="sagemaker"', 'mode="local"')


@pytest.mark.slow  # half a minute: four studies
@pytest.mark.timeout(COMMANDS_SECONDS)
def test_the_code_of_the_page_runs(project: Path, forked_workers: None, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "configs" / "local").mkdir(parents=True)
    (project / "configs" / "local" / "default.yaml").write_text(SETTINGS)
    names: dict[str, object] = {}
    for block in blocks(PAGE):
        assert block.language == "python"
        exec(compile("\n".join(block.lines).replace(*REPLACED), f"{PAGE.name}: {block.heading}", "exec"), names)
    printed = capsys.readouterr().out
    assert "study patients  4 trials" in printed
    assert "parity: PASS (1 of 1 trials equal)" in printed
    assert "dataset.target=targt: patients.csv has no such column. Did you mean 'target'?" in printed
    assert (project / "report.html").exists()
