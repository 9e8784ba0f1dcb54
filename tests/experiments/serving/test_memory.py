"""The memory of a serverless endpoint is the user's, else what the model's rehearsal found, else a default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config.schema import ServingConfig
from experiments.errors import ConfigError
from experiments.serving.memory import Rehearsal, find_rehearsal, record_rehearsal, with_memory

SERVERLESS = ServingConfig("serverless", max_concurrency=5)
FOUND = Rehearsal(3072, 1.5, None, 2.0, "byoe:0123456789ab")


def test_a_size_that_the_user_set_is_kept(tmp_path: Path) -> None:
    record_rehearsal(tmp_path, "hash", FOUND)
    given = replace(SERVERLESS, memory_size_in_mb=1024)
    assert with_memory(given, tmp_path, "hash", "command") == (given, "")
    realtime = ServingConfig("realtime")
    assert with_memory(realtime, tmp_path, "hash", "command") == (realtime, "")


def test_the_latest_rehearsal_of_the_model_decides(tmp_path: Path) -> None:
    for size in (1024, 3072):
        record_rehearsal(tmp_path, "hash", replace(FOUND, memory_size_in_mb=size))
    serving, source = with_memory(SERVERLESS, tmp_path, "hash", "command")
    assert serving.memory_size_in_mb == 3072
    assert source.startswith("3,072 MB, the smallest that passed")


def test_without_a_rehearsal_the_default_and_the_command_are_named(tmp_path: Path) -> None:
    serving, source = with_memory(SERVERLESS, tmp_path, "hash", "python run.py mode=sagemaker action=deploy")
    assert serving.memory_size_in_mb == 2048
    assert "python run.py mode=sagemaker action=deploy finds what it needs" in source


def test_a_model_for_which_no_size_passed_is_refused(tmp_path: Path) -> None:
    record_rehearsal(tmp_path, "hash", replace(FOUND, memory_size_in_mb=None))
    with pytest.raises(ConfigError, match="no memory size of a serverless endpoint passed"):
        with_memory(SERVERLESS, tmp_path, "hash", "command")


def test_a_damaged_rehearsal_is_ignored(tmp_path: Path) -> None:
    record_rehearsal(tmp_path, "hash", FOUND)
    (path,) = (tmp_path / "_rehearsals").iterdir()
    path.write_text("{")
    assert find_rehearsal(tmp_path, "hash") is None
