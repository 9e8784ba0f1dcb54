"""The errors' messages and exit codes. Each command's suite tests where they are raised."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from experiments.errors import (
    BackendUnavailable,
    ConfigError,
    StorageError,
    StudyFailed,
    StudyTaken,
    one_of,
    storage_errors,
)


def test_mistakes_of_the_user_exit_2_and_failures_exit_1() -> None:
    assert [error("").exit_code for error in (ConfigError, BackendUnavailable, StudyTaken)] == [2, 2, 2]
    assert [error("").exit_code for error in (StudyFailed, StorageError)] == [1, 1]


def test_an_error_of_the_disk_names_the_file_and_keeps_its_cause() -> None:
    cause = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError) as raised, storage_errors(Path("studies/mine")):
        raise cause
    assert str(raised.value).startswith("studies/mine cannot be written: No space left on device. Everything recorded")
    assert raised.value.__cause__ is cause


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), storage_errors(Path("studies/mine")):
        raise KeyError


def test_a_value_outside_the_valid_ones_is_named_with_the_nearest() -> None:
    assert one_of("search.sampler", "tpe", ("tpe", "random")) == "tpe"
    with pytest.raises(ConfigError) as refused:
        one_of("search.sampler", "radnom", ("tpe", "random"))
    assert str(refused.value) == (
        "search.sampler='radnom' is not valid. Did you mean 'random'? It can be: random, tpe."
    )
