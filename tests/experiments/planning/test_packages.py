"""The user's packages become importable in one explicit step."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from experiments.config.schema import EntryConfig
from experiments.errors import BackendUnavailable
from experiments.planning.packages import code_hash, make_importable, package_folders


def test_folders_are_found_without_a_change_and_made_importable_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    config = EntryConfig(dependencies=[str(tmp_path)])
    assert package_folders(config) == (tmp_path,)
    assert sys.path == before
    make_importable(config)
    make_importable(config)
    assert sys.path == [*before, str(tmp_path)]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"entry\.dependencies names /.*nowhere, which is not a folder"):
        package_folders(EntryConfig(dependencies=["nowhere"]))


def test_the_hash_is_of_the_python_files_only(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("A = 1")
    before = code_hash(tmp_path)
    (tmp_path / "notes.txt").write_text("text")
    assert code_hash(tmp_path) == before
    (tmp_path / "module.py").write_text("A = 2")
    assert code_hash(tmp_path) != before
