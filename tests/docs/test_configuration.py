"""``docs/configuration.md`` has every key with its help, and is what the code makes now."""

from __future__ import annotations

from pathlib import Path

from docs.configuration_page import head, reference, sections
from experiments.config.groups import CHOSEN_BY_GROUP
from experiments.config.schema import known_keys, known_values
from tests.conftest import PROJECT

PAGE = PROJECT / "docs" / "configuration.md"


def test_the_page_is_up_to_date_with_the_code() -> None:
    assert PAGE.read_text() == reference(), "run: python -m docs.configuration_page > docs/configuration.md"


def test_every_key_is_listed_with_its_help() -> None:
    listed = [row for rows in sections().values() for row in rows]
    outer = {key.rpartition(".")[0] for key in known_keys()}
    assert {row.name for row in listed} == set(known_keys()) - outer - set(CHOSEN_BY_GROUP)
    assert [row.name for row in listed if not row.help] == []


def test_every_value_of_a_closed_set_is_listed() -> None:
    words = {str(value) for values in known_values().values() for value in values if isinstance(value, str)}
    assert {word for word in words if f"`{word}`" not in PAGE.read_text()} == set()


def test_types_and_defaults_are_those_of_the_schema_and_the_default_files() -> None:
    rows = {row.name: (row.type, row.default) for row in sections()["The command"]}
    assert rows["study"] == ("text or null", "null")
    rows = {row.name: (row.type, row.default) for rows in list(sections().values())[1:] for row in rows}
    assert rows["mode.image.base"] == ("text", "${oc.env:BASE_IMAGE,python:3.12-slim-bookworm}")
    assert rows["ensemble.members"] == ("list", "[xgboost, catboost, ridge, linear]")
    assert rows["ensemble.class_weight"] == ("text, mapping or null", "null")
    assert rows["ensemble.threshold"] == ("number, text or list", "0.5")
    assert rows["search.space"] == ("mapping", "of the file")
    assert rows["search.portable"] == ("true, false", "true")
    assert rows["compare.studies"] == ("list or null", "null")
    assert rows["serving.max_concurrency"] == ("integer or null", "5")


def test_the_head_of_a_file_is_the_first_paragraph_of_its_comment(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("# @package _global_\n# A file in\n# two lines.\n#\n# More of it.\nkey: 1\n")
    assert head(tmp_path / "file.yaml") == "A file in two lines."
