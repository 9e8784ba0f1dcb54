"""The ledger keeps what it was given, once, for one process at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.errors import StorageError, StudyTaken
from experiments.planning.study import plan_study
from experiments.study.ledger import Ledger, peek, read
from experiments.study.spec import StudySpec, TrialResult


@pytest.fixture
def study(folder: Path) -> StudySpec:
    return plan_study(compose(["study=kept"])).study


def result(index: int) -> TrialResult:
    metrics = {"cv_rmse_blended": 0.1 + 0.2, "cv_rmse_xgboost": 5e-324}
    return TrialResult(index, "complete", {"a": 1, "b": 0.1, "c": None, "d": "x"}, 1.5, 2.5, metrics, {"weights": {}})


def test_a_recorded_trial_is_read_back_exactly(study: StudySpec) -> None:
    failed = TrialResult(1, "failed", {"a": 2}, 1.0, 2.0, failure="member 'x' failed\nsecond line")
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: result(0).params, 1: failed.params, 2: {"a": 3}})
        ledger.record(failed)
        ledger.record(result(0))
        ledger.note("fact", {"n": 1})
    with Ledger.open(study) as ledger:
        assert ledger.results() == [result(0), failed]
        assert ledger.asked() == {0: dict(result(0).params), 1: {"a": 2}, 2: {"a": 3}}
        assert ledger.noted("fact") == {"n": 1}
        assert ledger.noted("nothing") is None


def test_the_first_point_that_was_asked_stays(study: StudySpec) -> None:
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: {"a": 1}})
        ledger.record_asked({0: {"a": 2}, 1: {"a": 3}})
        assert ledger.asked() == {0: {"a": 1}, 1: {"a": 3}}


def test_a_trial_is_recorded_once(study: StudySpec) -> None:
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: result(0).params})
        ledger.record(result(0))
        with pytest.raises(StorageError, match="twice"):
            ledger.record(dataclasses.replace(result(0), finished=9.0))
        assert ledger.results() == [result(0)]


def test_one_process_holds_a_study(study: StudySpec) -> None:
    with Ledger.open(study), pytest.raises(StudyTaken, match="is being run by process"):
        Ledger.open(study)
    with Ledger.open(study) as ledger:
        assert ledger.results() == []


def test_another_study_under_the_name_is_refused_with_the_difference(study: StudySpec) -> None:
    Ledger.open(study).__exit__()
    other = dataclasses.replace(study, objective="cv_mae_blended")
    with pytest.raises(StudyTaken, match=r"\n  search\.objective: cv_rmse_blended there, cv_mae_blended here"):
        Ledger.open(other)
    with pytest.raises(StudyTaken, match="objective"):
        peek(other)


def test_peeking_needs_no_lock_and_creates_nothing(study: StudySpec, folder: Path) -> None:
    assert peek(study) is None
    assert list(folder.iterdir()) == []
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: result(0).params})
        ledger.record(result(0))
        known = peek(study)
    assert known is not None
    assert known.results == [result(0)]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0"])
def test_file_of_a_process_that_died_at_its_creation_is_replaced(study: StudySpec, content: bytes) -> None:
    study.folder.mkdir(parents=True)
    if content:
        sqlite3.connect(study.folder / "ledger.sqlite").close()
    else:
        (study.folder / "ledger.sqlite").touch()
    assert peek(study) is None
    with Ledger.open(study) as ledger:
        assert ledger.results() == []


HALF_A_COMMIT = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
for number in range(1, 500):
    connection.execute("INSERT INTO trials VALUES (?, ?, 0, NULL, NULL)", (number, "x" * 2000))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_commit_that_was_cut_by_a_kill_is_rolled_back(study: StudySpec) -> None:
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: result(0).params})
        ledger.record(result(0))
    path = study.folder / "ledger.sqlite"
    done = subprocess.run([sys.executable, "-c", HALF_A_COMMIT, str(path)], check=False)
    assert done.returncode == -9
    assert path.with_name("ledger.sqlite-journal").exists()
    known = peek(study)
    assert known is not None
    assert known.results == [result(0)]
    with Ledger.open(study) as ledger:
        assert list(ledger.asked()) == [0]


def test_ledger_of_another_version_is_refused_with_its_path(study: StudySpec) -> None:
    with Ledger.open(study) as ledger:
        ledger.note("ledger_version", 2)
    path = study.folder / "ledger.sqlite"
    for refused in (lambda: Ledger.open(study), lambda: peek(study), lambda: read(path)):
        with pytest.raises(StudyTaken, match="use the release that wrote it") as error:
            refused()
        assert str(error.value).startswith(f"{path} has version 2, and this release of byoe reads version 1")
        assert error.value.exit_code == 2


def test_file_that_is_not_a_ledger_is_named(study: StudySpec) -> None:
    study.folder.mkdir(parents=True)
    (study.folder / "ledger.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 50)
    with pytest.raises(StudyTaken, match=r"ledger.sqlite is not a ledger.*move it away"):
        Ledger.open(study)


@pytest.mark.parametrize("name", ["notes.txt", "trials", ".git"])
def test_a_folder_with_other_files_is_not_taken_over(study: StudySpec, name: str) -> None:
    (study.folder / name).mkdir(parents=True)
    for refused in (lambda: Ledger.open(study), lambda: peek(study)):
        with pytest.raises(StudyTaken, match=f"has files, such as '{name}', but no ledger.sqlite") as error:
            refused()
        assert str(study.folder) in str(error.value)
    assert [path.name for path in study.folder.iterdir() if path.name != "lock"] == [name]


def test_a_file_in_place_of_the_folder_is_named(study: StudySpec) -> None:
    study.folder.parent.mkdir(exist_ok=True)
    study.folder.write_text("mine")
    with pytest.raises(StudyTaken, match="is not a folder"):
        peek(study)


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
def test_what_is_no_file_is_named_and_not_waited_for(study: StudySpec, kind: str) -> None:
    study.folder.mkdir(parents=True)
    path = study.folder / "ledger.sqlite"
    {"pipe": os.mkfifo, "folder": Path.mkdir, "dangling link": lambda path: path.symlink_to("nothing")}[kind](path)
    for refused in (lambda: Ledger.open(study), lambda: peek(study), lambda: read(path)):
        with pytest.raises(
            StudyTaken, match=r"ledger\.sqlite is not a ledger that can be read \(it is not a regular file"
        ):
            refused()


DAMAGE = [
    "UPDATE trials SET result = '[]'",
    "UPDATE trials SET result = '" + "[" * 50_000 + "'",
    "UPDATE trials SET result = '{'",
    "UPDATE trials SET result = json_set(result, '$.index', 'one')",
    "UPDATE trials SET result = json_set(result, '$.state', 'odd')",
    "UPDATE trials SET result = json_set(result, '$.metrics', 5)",
    "UPDATE trials SET result = json_set(result, '$.metrics.cv_rmse_blended', 'x')",
    "UPDATE trials SET result = json_set(result, '$.params', json('[1]'))",
    "UPDATE trials SET result = json_set(result, '$.info', json('{\"weights\": 5}'))",
    'UPDATE trials SET result = json_set(result, \'$.info\', json(\'{"rounds": {"xgboost": "many"}}\'))',
    "UPDATE trials SET result = json_set(result, '$.info', json('{\"left_out\": [1]}'))",
    "UPDATE trials SET result = json_set(result, '$.info', json('{\"timed\": 1}'))",
    "UPDATE trials SET result = json_set(result, '$.info', json('{\"recipe\": {\"members\": [{}]}}'))",
    "UPDATE trials SET result = json_remove(result, '$.started')",
    "UPDATE trials SET result = CAST(x'ff00fe' AS TEXT)",
    "UPDATE study SET value = '[' WHERE key = 'identity'",
    "UPDATE study SET value = '[1]' WHERE key = 'identity'",
    "UPDATE study SET value = '\"now\"' WHERE key = 'created'",
    "UPDATE study SET value = '{\"index\": 0}' WHERE key = 'final'",
    "DROP TABLE trials",
    "DROP TABLE study",
    "ALTER TABLE trials RENAME COLUMN result TO other",
]


@pytest.mark.parametrize("statement", DAMAGE)
def test_a_damaged_ledger_is_named_with_what_is_wrong(study: StudySpec, statement: str) -> None:
    with Ledger.open(study) as ledger:
        ledger.record_asked({0: result(0).params})
        ledger.record(result(0))
        ledger.note("final", dataclasses.asdict(result(0)))
    path = study.folder / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    with pytest.raises(StudyTaken, match=r"ledger\.sqlite is not a ledger that can be read \(.*move it away") as error:
        read(path)
    assert error.value.exit_code == 2
