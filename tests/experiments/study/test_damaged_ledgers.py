"""Ledgers with any damage: one message with the path and exit code 2, or what was recorded.

With the profile ``long``, ten thousand ledgers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config.compose import compose
from experiments.errors import InputError
from experiments.planning.study import plan_study
from experiments.study.ledger import Ledger, peek, read
from experiments.study.spec import StudySpec, TrialResult
from tests.support.damage import damaged_bytes, damaged_json
from tests.support.examples import examples

RESULT = TrialResult(
    0,
    "complete",
    {"a": 1, "b": 0.5, "c": "x"},
    1.0,
    2.0,
    {"cv_rmse_blended": 1.5},
    {"weights": {"xgboost": 1.0}, "fit_seconds": {"xgboost": 0.1}, "versions": {"numpy": "2"}, "standings": [[1.0]]},
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudySpec:
    """A study with two finished trials, one unfinished one and its winner."""
    root = tmp_path_factory.mktemp("ledger")
    made = plan_study(compose(["study=kept", f"paths.root={root}"])).study
    failed = TrialResult(1, "failed", {"a": 2}, 1.0, 2.0, failure="no memory")
    with Ledger.open(made) as ledger:
        ledger.record_asked({0: RESULT.params, 1: failed.params, 2: {"a": 3}})
        ledger.record(RESULT)
        ledger.record(failed)
        ledger.note("final", dataclasses.asdict(RESULT))
        ledger.note("feature_importance", {"age": 0.1})
    return made


@pytest.fixture(scope="module")
def copy(study: StudySpec) -> StudySpec:
    """The same study, whose ledger each example replaces."""
    folder = study.folder.with_name("copy")
    folder.mkdir()
    return dataclasses.replace(study, folder=folder)


def check(copy: StudySpec) -> None:
    """Read a ledger in each way that commands do."""
    path = copy.folder / "ledger.sqlite"
    for use in (lambda: read(path), lambda: peek(copy), lambda: used(copy)):
        try:
            use()
        except InputError as error:
            assert str(copy.folder) in str(error) or copy.name in str(error)  # noqa: PT017
            assert error.exit_code == 2  # noqa: PT017


def used(copy: StudySpec) -> None:
    with Ledger.open(copy) as ledger:
        ledger.asked()
        ledger.results()
        ledger.noted("final")


@examples(250)
@given(data=st.data())
def test_any_damage_to_the_file_is_named(data: st.DataObject, study: StudySpec, copy: StudySpec) -> None:
    for left in copy.folder.iterdir():
        left.unlink()
    content = (study.folder / "ledger.sqlite").read_bytes()
    (copy.folder / "ledger.sqlite").write_bytes(data.draw(damaged_bytes(content)))
    check(copy)


@examples(250)
@given(data=st.data())
def test_any_damage_to_a_recorded_document_is_named(data: st.DataObject, study: StudySpec, copy: StudySpec) -> None:
    for left in copy.folder.iterdir():
        left.unlink()
    path: Path = copy.folder / "ledger.sqlite"
    shutil.copy(study.folder / "ledger.sqlite", path)
    table, column, key = data.draw(
        st.sampled_from([("trials", "result", "number"), ("trials", "params", "number"), ("study", "value", "key")])
    )
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
        name, text = data.draw(st.sampled_from(rows))
        damaged = json.dumps(data.draw(damaged_json(json.loads(text))))
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (damaged, name))
    check(copy)
