"""The folders that the configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.config.paths import endpoints_folder, root_folder, studies_folder, user_path


def test_a_tilde_is_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/rows.csv") == tmp_path / "rows.csv"
    config = compose(["paths.root=~/all"]).config
    assert root_folder(config) == tmp_path / "all"
    assert studies_folder(config) == tmp_path / "all" / "studies"
    assert endpoints_folder(config) == tmp_path / "all" / "endpoints"


def test_relative_folders_start_at_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config = compose(["paths.studies=elsewhere"]).config
    assert root_folder(config) == Path()
    assert studies_folder(config) == tmp_path / "elsewhere"
    assert endpoints_folder(config) == tmp_path / "endpoints"
