"""Records of endpoints: one for each name, replaced in one step, and locked while a command changes an endpoint."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.errors import ConfigError
from experiments.serving.records import RECORD, Endpoint, Records

ENDPOINT = Endpoint("blue", "http://127.0.0.1:1", "c", "n", "f", "m", "study one", "0123", "serverless", 1.0)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "endpoints")


def test_a_record_is_kept_with_the_folder_and_the_newest_is_first(records: Records) -> None:
    green = replace(ENDPOINT, name="green", since=2.0)
    for endpoint in (ENDPOINT, green):
        with records.locked(endpoint.name):
            records.put(endpoint)
    assert records.get("blue") == ENDPOINT
    assert records.all() == [green, ENDPOINT]


def test_a_folder_without_a_record_is_removed(records: Records) -> None:
    with records.locked("blue") as folder:
        assert folder.is_dir()
    assert not records.root.exists()


def test_a_locked_endpoint_is_refused_to_other_commands(records: Records) -> None:
    with records.locked("blue"):
        with pytest.raises(ConfigError, match="endpoint=blue is being deployed or deleted by another command"):
            records.locked("blue").__enter__()
        with records.locked("green"):
            pass


def test_a_missing_record_names_the_endpoints_and_the_command(records: Records) -> None:
    with records.locked("blue"):
        records.put(ENDPOINT)
    with pytest.raises(ConfigError, match=r"Did you mean 'blue'\?.*action=deploy endpoint=bleu creates it"):
        records.get("bleu")


def test_a_damaged_record_is_named_and_others_are_read(records: Records) -> None:
    broken = records.root / "broken" / RECORD
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    with records.locked("blue"):
        records.put(ENDPOINT)
    assert records.all() == [ENDPOINT]
    (fault,) = records.damaged()
    assert f"{broken} is damaged" in fault


@pytest.mark.parametrize("name", ["", "a_b", "-a", "a-", "a" * 41])
def test_a_name_that_sagemaker_would_refuse_is_refused(name: str, records: Records) -> None:
    with pytest.raises(ConfigError, match="letters, digits and inner hyphens"):
        records.find(name)


@pytest.mark.parametrize("kind", ["pipe", "folder", "deep", "list", "wrong type", "unknown field"])
def test_each_kind_of_damage_is_named(records: Records, kind: str) -> None:
    path = records.root / "broken" / RECORD
    path.parent.mkdir(parents=True)
    whole = dataclasses.asdict(ENDPOINT)
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "deep": lambda: path.write_text("[" * 100_000),
        "list": lambda: path.write_text("[1]"),
        "wrong type": lambda: path.write_text(json.dumps(whole | {"since": "now"})),
        "unknown field": lambda: path.write_text(json.dumps(whole | {"colour": "red"})),
    }[kind]()
    assert records.all() == []
    (fault,) = records.damaged()
    assert f"{path} is damaged" in fault
    with pytest.raises(ConfigError, match="is damaged"):
        records.find("broken")
