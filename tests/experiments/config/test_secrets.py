"""What opens an address is in nothing that byoe prints or records."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config.arguments import typed_command
from experiments.config.compose import compose
from experiments.config.secrets import masked, masked_argument, masked_values, without_parts
from experiments.planning.study import plan_study
from experiments.study.ledger import Ledger
from experiments.tracking.store import interface, store_problem, store_uri
from tests.conftest import PROJECT

# By address, what must not be seen of it.
ADDRESSES = {
    "postgresql://user1:hush@db:5432/runs": ["hush", "user1"],
    "postgresql+psycopg2://user1:p/w@db/runs": ["user1", "p/w"],
    "mysql://user1:p@s:s/w#rd@db/runs": ["user1", "p@s", "w#rd"],
    "https://ghp_token@host/path": ["ghp_token"],
    "https://host/path?api_key=sesame&x=y": ["sesame"],
    "https://host/?X-Amz-Signature=abcdef&X-Amz-Credential=AKIA": ["abcdef", "AKIA"],
    "postgresql://db/runs?user=user1&password=sesame&sslmode=require": ["user1", "sesame"],
    "https://host/#access_token=sesame": ["sesame"],
    "http://user1:open '\"sesame@host/": ["user1", "open", "sesame"],
    "mssql+pyodbc://user1:%70ass@host/?odbc_connect=PWD%3Dsesame": ["user1", "%70ass", "sesame"],
}
every_address = pytest.mark.parametrize("address", ADDRESSES)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:hush@db:5432/runs, http://host:80/", "postgresql://***@db:5432/runs, http://host:80/"),
        ("see 'https://a:b@c/d' and https://e@f", "see 'https://***@c/d' and https://***@f"),
        ("sqlite:////tmp/a@b.db s3://bucket/a@b?c=d", "sqlite:////tmp/a@b.db s3://bucket/a@b?c=d"),
        ("s3://AKIA:hu/sh@bucket/a@b s3://bucket/a", "s3://***@b s3://bucket/a"),
        ("S3://key@bucket/a", "S3://***@bucket/a"),
        ("name@winner", "name@winner"),
        ("models:/name@winner", "models:/name@winner"),
    ],
)
def test_addresses_in_a_text_are_masked_and_nothing_else_is(text: str, shown: str) -> None:
    assert masked(text) == shown


@every_address
def test_an_argument_and_a_command_show_no_secret(address: str) -> None:
    for text in (masked_argument(f"mlflow.uri={address}"), typed_command(["mode=local", f"mlflow.uri={address}"])):
        assert [secret for secret in ADDRESSES[address] if secret in text] == []
        assert "mlflow.uri=" in text


@every_address
def test_configuration_ledger_and_summary_have_no_secret(address: str, folder: Path) -> None:
    composed = compose(["mode=local", "action=train", f"mlflow.uri={address}"])
    assert composed.config.mlflow.uri == address
    study = plan_study(composed).study
    with Ledger.open(study), sqlite3.connect(study.folder / "ledger.sqlite") as connection:
        recorded = "\n".join(connection.iterdump())
    shown = [composed.yaml(), composed.with_sources(), study.config, " ".join(study.arguments), recorded]
    shown += interface(store_uri(address, folder), folder, "#/experiments/1/runs", "every study")
    for text in shown:
        assert [secret for secret in ADDRESSES[address] if secret in text] == []


@every_address
def test_a_librarys_error_about_an_address_has_no_secret(address: str) -> None:
    parts = [*ADDRESSES[address]]
    error = RuntimeError(f"cannot connect to {address}: password authentication failed for {' '.join(parts[:1])!r}")
    text = store_problem(error, address)
    assert [secret for secret in parts if secret in text] == []


def test_a_secret_that_is_cut_off_is_masked_before() -> None:
    address = f"postgresql://me:{'x' * 300}@db/runs"
    assert "xxx" not in store_problem(RuntimeError(f"{'long ' * 70}{address}"), address)


def test_decoded_parts_are_found_in_a_text() -> None:
    assert without_parts("no role user1 with p@ss", "postgresql://user1:p%40ss@db/x") == "no role *** with ***"


SECRET = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda text: f"begin{text}end")


@given(user=SECRET, password=SECRET)
def test_no_part_of_any_password_is_shown(user: str, password: str) -> None:
    argument = masked_argument(f"mlflow.uri=postgresql://{user}:{password}@db/runs")
    assert argument == "mlflow.uri=postgresql://***@db/runs"
    assert masked_values({"a": [f"postgresql://{user}:{password}@db"]}) == {"a": ["postgresql://***@db"]}


def test_every_proposed_command_is_split_again_as_it_was_meant() -> None:
    arguments = ["mode=local", "dataset.path=a b; rm -rf $HOME `x` 'y'.csv", "search.space.x={low: 1}"]
    assert shlex.split(typed_command(arguments)) == ["python", "run.py", *arguments]


def test_no_command_with_a_value_is_written_without_quoting() -> None:
    """A command in a message is written by ``typed_command`` or ``shlex.join`` if it has a value in it."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in [*(PROJECT / "experiments").rglob("*.py"), *(PROJECT / "entry").rglob("*.py")]
        for line in path.read_text().splitlines()
        if "python run.py" in line and "={" in line.partition("python run.py")[2]
    ]
    assert found == []
