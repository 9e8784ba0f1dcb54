"""Where runs are kept, and what is wrong with a store that cannot be used.

Stores that MLflow creates are tested by the command suites, ``actions/test_tune`` and ``actions/test_crash``.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from experiments.errors import ConfigError
from experiments.tracking.store import (
    interface,
    store_exists,
    store_fault,
    store_file,
    store_problem,
    store_uri,
)


def test_without_a_uri_the_store_is_a_file_in_the_root(tmp_path: Path) -> None:
    uri = store_uri(None, tmp_path)
    assert uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert store_file(uri) == tmp_path / "mlflow.db"
    assert not store_exists(uri)
    (tmp_path / "mlflow.db").touch()
    assert store_exists(uri)


@pytest.mark.parametrize(
    "uri", ["https://mlflow.example", "sqlite:///a.db", "postgresql+psycopg2://u@host/db", "databricks"]
)
def test_a_uri_that_mlflow_knows_is_kept(tmp_path: Path, uri: str) -> None:
    assert store_uri(uri, tmp_path) == uri
    assert store_exists(uri) == (store_file(uri) is None)


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("./mlruns", "MLflow no longer keeps runs in a folder"),
        ("file:///mlruns", "MLflow no longer keeps runs in a folder"),
        ("htps://host", r"'htps' is not a kind of store\. Did you mean 'https'\? Allowed: "),
    ],
)
def test_a_uri_that_mlflow_does_not_know_is_refused(tmp_path: Path, uri: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        store_uri(uri, tmp_path)


def test_no_message_has_a_password() -> None:
    uri = "https://user:secret@mlflow.example"
    assert "secret" not in store_problem(ValueError(f"no answer from {uri}"), uri)
    assert interface(f"{uri}/", Path(), "#/experiments/7/runs", "every study") == (
        "https://***@mlflow.example/#/experiments/7/runs",
        "every study",
    )
    command, _ = interface("postgresql://me:secret@db/runs", Path(), None, "every study")
    assert command == "mlflow ui --backend-store-uri 'postgresql://***@db/runs'"


def test_a_problem_is_one_line_without_the_statement() -> None:
    error = OSError("disk\n  full [SQL: INSERT INTO runs]" + "x" * 1000)
    assert store_problem(error, "sqlite:///a.db") == "OSError: disk full"


def test_a_store_of_another_version_is_named_with_the_command_that_upgrades_it() -> None:
    error = ValueError("Detected out-of-date database schema (found version abc, but expected def). Take a backup")
    problem = store_problem(error, "sqlite:///a.db")
    assert problem.startswith(
        "the store was made by another version of MLflow: its schema is abc, and this version needs"
    )
    assert "mlflow db upgrade sqlite:///a.db" in problem


def test_the_interface_needs_no_flags_in_the_folder_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = store_uri(None, tmp_path)
    assert interface(uri, tmp_path, None, "look") == (f"mlflow ui --backend-store-uri {uri}", "look")
    monkeypatch.chdir(tmp_path)
    address = "http://127.0.0.1:5000/#/experiments/7/runs"
    assert interface(uri, tmp_path, "#/experiments/7/runs", "look") == ("mlflow ui", f"look: {address}")


def test_a_file_that_is_not_a_complete_store_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert str(store_fault(path)).startswith("cannot be written: ")
    path.write_bytes(b"not a database" * 100)
    assert str(store_fault(path)).startswith("cannot be written: ")
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (x)")
    connection.close()
    assert store_fault(path) == "is not a complete MLflow store"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE experiments (x)")
        connection.execute("CREATE TABLE alembic_version (x)")
    connection.close()
    assert store_fault(path) is None
