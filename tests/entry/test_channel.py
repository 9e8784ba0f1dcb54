"""Channels: written and read back, folders of table files, and damage that is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble.channel import read_channel, write_channel
from ensemble.errors import InputError
from ensemble.reading import Roles
from ensemble.table import Column
from tests.entry.conftest import make_table
from tests.entry.tables import read_csv, write


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_channel_is_read_back_as_it_was_written(missing: float, tmp_path: Path) -> None:
    table = make_table(missing=missing)
    write_channel(table, tmp_path)
    found = read_channel(tmp_path)
    assert (found.columns, found.target_name, found.rows) == (table.columns, "y", table.rows)
    assert np.array_equal(found.features, table.features, equal_nan=True)
    assert np.array_equal(found.target, table.target)
    assert found.content_hash() == table.content_hash()
    assert json.loads((tmp_path / "schema.json").read_text())["content_hash"] == table.content_hash()


@pytest.mark.parametrize(("classes", "positive"), [(("no", "yes"), "no"), (("a", "é ü", "0"), None)])
def test_a_channel_keeps_classes(classes: tuple[str, ...], positive: str | None, tmp_path: Path) -> None:
    table = replace(make_table(12), target=np.arange(12.0) % len(classes), classes=classes, positive=positive)
    write_channel(table, tmp_path)
    found = read_channel(tmp_path)
    assert (found.classes, found.positive) == (classes, positive)
    assert found.content_hash() == table.content_hash()


def test_the_schema_of_a_quantity_says_nothing_of_classes(tmp_path: Path) -> None:
    write_channel(make_table(), tmp_path)
    assert not {"classes", "positive"} & set(json.loads((tmp_path / "schema.json").read_text()))


def test_a_channel_with_a_row_of_no_class_is_refused(tmp_path: Path) -> None:
    write_channel(replace(make_table(12), target=np.arange(12.0) % 3, classes=("a", "b"), positive="b"), tmp_path)
    with pytest.raises(InputError, match=r"the target in .* is not one of the classes in schema.json: write it again"):
        read_channel(tmp_path)


def test_a_csv_file_has_the_hash_of_its_channel(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "a,b,price\n1,4,2.5\n2,,3\n"), "price")
    channel = tmp_path / "channel"
    channel.mkdir()
    write_channel(table, channel)
    again = read_csv(write(tmp_path, '"a","b","price"\r\n1.0,4e0,2.50\r\n2,NA,3\r\n', "other.csv"), "price")
    assert read_channel(channel).content_hash() == table.content_hash() == again.content_hash()


def test_a_channel_of_csv_files_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "a,y\n5,6\n7,8\n", "2.csv")
    write(tmp_path, "a,y\n1,2\n3,4\n", "1.csv")
    table = read_channel(tmp_path, Roles("y"))
    assert table.features.tolist() == [[1.0], [3.0], [5.0], [7.0]]
    assert table.target.tolist() == [2.0, 4.0, 6.0, 8.0]


def test_csv_files_of_a_channel_must_have_the_same_columns(tmp_path: Path) -> None:
    write(tmp_path, "a,b,y\n1,1,2\n3,1,4\n", "1.csv")
    write(tmp_path, "b,a,y\n5,1,6\n7,1,8\n", "2.csv")
    with pytest.raises(InputError, match=r"2\.csv and 1\.csv in .* do not have the same columns: their order differs"):
        read_channel(tmp_path, Roles("y"))


def test_files_of_one_channel_share_their_levels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("town,price\nOslo,1\nRome,2\n")
    (tmp_path / "b.csv").write_text("town,price\nBern,3\nOslo,4\n")
    table = read_channel(tmp_path, Roles("price"))
    assert table.columns == (Column("town", "category", ("Bern", "Oslo", "Rome")),)
    assert table.features[:, 0].tolist() == [1, 2, 0, 1]


def test_a_channel_of_csv_files_needs_a_target(tmp_path: Path) -> None:
    write(tmp_path, "a,y\n1,2\n3,4\n")
    with pytest.raises(InputError, match="give the target with --target"):
        read_channel(tmp_path)


@pytest.mark.parametrize("name", [".", "nowhere"])
def test_a_channel_without_a_table_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no CSV or Parquet file") as error:
        read_channel(tmp_path / name, Roles("y"))
    assert str(tmp_path / name) in str(error.value)


BROKEN = {
    "schema cut short": ("schema.json", lambda data: data[:40]),
    "schema in a list": ("schema.json", lambda data: b"[]"),
    "schema without columns": ("schema.json", lambda data: b'{"version": 1}'),
    "schema of another version": ("schema.json", lambda data: data.replace(b'"version": 2', b'"version": 1')),
    "fewer columns": ("schema.json", lambda data: data.replace(b'"rows": 60', b'"rows": 59')),
    "header cut short": ("features.npy", lambda data: data[:50]),
    "values cut short": ("target.npy", lambda data: data[:-8]),
    "no values": ("target.npy", lambda data: b""),
    "garbage": ("features.npy", lambda data: b"garbage" * 50),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_channel_is_named_with_the_fix(case: str, tmp_path: Path) -> None:
    name, damage = BROKEN[case]
    write_channel(make_table(60), tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(InputError, match="write it again") as error:
        read_channel(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_channel_without_its_arrays_is_named_with_the_fix(tmp_path: Path) -> None:
    write_channel(make_table(), tmp_path)
    (tmp_path / "features.npy").unlink()
    with pytest.raises(InputError, match=r"features\.npy.*write it again"):
        read_channel(tmp_path)


def test_a_pickled_array_is_never_opened(tmp_path: Path) -> None:
    write_channel(make_table(), tmp_path)
    np.save(tmp_path / "target.npy", np.array([print] * 60, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="write it again"):
        read_channel(tmp_path)
