"""Two trained studies, and a folder whose endpoints are deleted after the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.serving.records import Records
from tests.conftest import QUICK, run_command
from tests.support.docker import left_behind, require_image


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained studies, which tests copy."""
    require_image()
    folder = tmp_path_factory.mktemp("trained")
    for name, seed in (("one", "0"), ("two", "1")):
        arguments = (f"study={name}", f"dataset.split.seed={seed}", f"paths.root={folder}", *QUICK)
        ended = run_command("mode=local", "action=train", *arguments)
        assert ended.code == 0, ended.err
    return folder / "studies"


@pytest.fixture
def trained(studies: Path, folder: Path) -> Iterator[Path]:
    """The working directory with the studies in it."""
    shutil.copytree(studies, folder / "studies")
    yield folder
    for endpoint in Records(folder / "endpoints").all():
        run_command("action=delete", f"endpoint={endpoint.name}")
    assert left_behind() == []
