from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.channel import read_channel, write_channel
from ensemble.errors import InputError
from ensemble.reading import LARGEST, Roles, read_file
from ensemble.table import Column, Table, numbers
from tests.entry.conftest import make_table

READABLE_FLOAT = st.floats(-LARGEST, LARGEST, allow_nan=False)


def read_csv(path: Path, target: str, drop: Sequence[str] = ()) -> Table:
    return read_file(path, Roles(target, drop=drop))


def write(folder: Path, content: str | bytes, name: str = "houses.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


UTF8 = ["not text in UTF-8", "save it as a CSV file in UTF-8"]

BAD = {
    "empty": ("", ["is empty", "a header row and data rows are needed"]),
    "blank lines": ("\n\n\n", ["is empty", "a header row and data rows are needed"]),
    "header alone": ("a,price\n", ["has 0 data rows: at least 2 are needed"]),
    "one row": ("a,price\n1,2\n", ["has 1 data row: at least 2 are needed"]),
    "one column": ("price\n1\n2\n", ["no column left besides the target 'price'", "at least one feature"]),
    "binary": (bytes(range(256)), UTF8),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(50), UTF8),
    "zip archive": (b"PK\x03\x04" + bytes(26) + b"a,price\n1,2\n2,3\n", ["compressed by zip", "unpack"]),
    "latin-1 header": ("größe,price\n1,2\n2,3\n".encode("latin-1"), UTF8),
    "latin-1 cell": ("a,price\n1,2\ngroß,3\n".encode("latin-1"), UTF8),
    "UTF-16": ("a,price\n1,2\n2,3\n".encode("utf-16"), UTF8),
    "semicolons": ("a;price\n1;2\n2;3\n", ["divided by ';'", "save it with commas"]),
    "name twice": ("a,b,a,price\n1,2,3,4\n2,3,4,5\n", ["more than one column named 'a'", "rename"]),
    "target twice": ("price,price\n1,2\n2,3\n", ["more than one column named 'price'", "rename"]),
    "no name": ("a,,price\n1,2,3\n2,3,4\n", ["a column without a name (number 2)", "name it in the header"]),
    "index without a name": (",a,price\n0,2,3\n1,3,4\n", ["a column without a name (number 1)"]),
    "comma at the end": ("a,price,\n1,2,\n2,3,\n", ["a column without a name (number 3)"]),
    "target near another": ("rooms,pirce\n1,2\n2,3\n", ["dataset.target=price", "Did you mean 'pirce'?", "rooms, pirce"]),
    "target far from all": ("a,b\n1,2\n2,3\n", ["dataset.target=price", "no such column", "It has: a, b."]),
    "target in a capital": ("a,Price\n1,2\n2,3\n", ["dataset.target=price", "Did you mean 'Price'?"]),
    "target missing": ("a,price\n1,2\n2,\n3,4\n4,\n", ["target 'price' is missing in 2 of 4 rows", "data row 2", "remove"]),
    "target text": ("a,price\n1,2\n2,3\n3,cheap\n", ["'price'", "data row 3: 'cheap'", "give a numeric target"]),
    "target infinite": ("a,price\n1,2\n2,inf\n", ["target 'price' is infinite in 1 of 2 rows", "data row 2", "remove"]),
    "target overflowing": ("a,price\n1,1e999\n2,3\n", ["target 'price' is infinite in 1 of 2 rows", "data row 1"]),
    "target constant": ("a,price\n1,7\n2,7\n", ["target 'price' is 7 in every row", "nothing to learn"]),
    "text": ("a,price\n1,2\n2,3\nred,4\n", ["column 'a' holds text in data row 3: 'red'", "dataset.drop=[a]"]),
    "text and truth": ("a,price\ntrue,2\n2,3\n", ["column 'a' holds text in data row 1", "dataset.drop=[a]"]),
    "date that is none": (
        "a,price\n2020-01-01,2\n2020-13-01,3\n2020-01-02,4\n",
        ["column 'a' holds dates", "data row 2 '2020-13-01', which is none", "dataset.drop=[a]"],
    ),
    "number with a comma": ('a,price\n"1,000",2\n2,3\n', ["column 'a' holds text", "'1,000'", "convert it"]),
    "infinite": ("a,b,price\n1,2,2\n2,-inf,3\n", ["column 'b' is infinite in data row 2", "empty the cell or bound"]),
    "one row too long": ("a,price\n1,2\n2,3,9\n", ["Expected 2 fields in line 3, saw 3"]),
    "every row too long": ("a,price\n7,1,2\n8,2,3\n", ["rows with more cells than its header has names (2)"]),
    "every row too long, counting": ("a,price\n0,1,2\n1,2,3\n", ["rows with more cells than its header has names (2)"]),
    "quote left open": ('a,price\n"1,2\n2,3\n', ["is not a CSV table"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_named_with_the_fix(case: str, tmp_path: Path) -> None:
    content, words = BAD[case]
    path = write(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_csv(path, "price")
    assert [word for word in [str(path), *words] if word not in str(error.value)] == []


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "", "houses.csv")
    with pytest.raises(
        InputError, match=r"there is no file .*house\.csv\. Did you mean 'houses\.csv'\? .*dataset\.path"
    ):
        read_csv(tmp_path / "house.csv", "price")


def test_a_file_in_a_missing_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_csv(tmp_path / "nowhere" / "houses.csv", "price")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder: give the file in it as dataset\.path"):
        read_csv(tmp_path, "price")


@pytest.mark.parametrize(
    ("drop", "words"),
    [
        (["rom"], ["dataset.drop=rom", "Did you mean 'rooms'?", "rooms, id, price"]),
        (["price"], ["dataset.drop", "the target column 'price'", "take it out"]),
        (["rooms", "id"], ["no column left besides the target 'price'"]),
    ],
)
def test_what_cannot_be_dropped_is_named_with_the_fix(drop: list[str], words: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, "rooms,id,price\n1,x,2\n2,z,3\n")
    with pytest.raises(InputError) as error:
        read_csv(path, "price", drop)
    assert [word for word in words if word not in str(error.value)] == []


def test_dropped_columns_may_hold_anything(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "rooms,id,price\n1,x,2\n2,inf,3\n"), "price", ["id"])
    assert table.names == ("rooms",)
    assert table.features.tolist() == [[1.0], [2.0]]


GOOD = {
    "plain": "a,b,price\n1,4,2\n2,,3\n",
    "byte order mark": "\ufeffa,b,price\n1,4,2\n2,,3\n",
    "byte order mark and quotes": '\ufeff"a","b","price"\n1,4,2\n2,,3\n',
    "CR LF": "a,b,price\r\n1,4,2\r\n2,,3\r\n",
    "CR": "a,b,price\r1,4,2\r2,,3\r",
    "quotes": '"a","b","price"\n"1","4","2"\n"2","","3"\n',
    "spaces": " a , b , price\n 1, 4 , 2\n2, , 3\n",
    "blank lines": "\n\na,b,price\n1,4,2\n\n2,,3\n\n",
    "no last newline": "a,b,price\n1,4,2\n2,,3",
    "NA": "a,b,price\n1,4,2\n2,NA,3\n",
    "NaN": "a,b,price\n1,4,2\n2,nan,3\n",
    "short row": "a,price,b\n1,2,4\n2,3\n",
}


@pytest.mark.parametrize("case", GOOD)
def test_a_table_is_read_however_it_was_saved(case: str, tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, GOOD[case]), "price")
    assert table.names == ("a", "b")
    assert table.target_name == "price"
    assert np.array_equal(table.features, [[1, 4], [2, math.nan]], equal_nan=True)
    assert table.target.tolist() == [2.0, 3.0]
    assert table.features.dtype == table.target.dtype == np.float64
    assert table.rows == 2


def test_a_quoted_name_keeps_its_comma(tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, '"a, b",price\n1,2\n2,3\n'), "price").names == ("a, b",)


def test_a_name_like_one_that_pandas_makes_up_stays(tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, "a,a.1,price\n1,2,3\n2,3,4\n"), "price").names == ("a", "a.1")


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ('"true"', '"false"')])
@pytest.mark.parametrize("gap", [False, True])
def test_true_and_false_are_one_and_zero(words: tuple[str, str], gap: bool, tmp_path: Path) -> None:
    yes, no = words
    table = read_csv(write(tmp_path, f"a,price\n{yes},2\n{no},3\n" + ",4\n" * gap), "price")
    assert np.array_equal(table.features[:, 0], [1, 0] + [math.nan] * gap, equal_nan=True)


def test_a_column_without_any_value_is_missing_throughout(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "a,b,price\n1,,2\n2,,3\n"), "price")
    assert np.isnan(table.features[:, 1]).all()


@pytest.mark.parametrize("name", ["PK", "BZ", "BZh9"])
def test_names_that_begin_as_compressed_files_do_are_names(name: str, tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, f"{name},price\n1,2\n2,3\n"), "price").columns == (Column(name),)


def test_an_integer_beyond_64_bits_is_a_number(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, f"a,price\n{10**30},2\n1,3\n"), "price")
    assert table.features[:, 0].tolist() == [1e30, 1.0]


@given(
    st.lists(
        st.tuples(READABLE_FLOAT, READABLE_FLOAT),
        min_size=2,
        max_size=30,
        unique_by=(lambda row: row[0], lambda row: row[1]),
    )
)
def test_numbers_are_read_exactly(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]]) -> None:
    path = tmp_path_factory.mktemp("exact") / "t.csv"
    path.write_text("a,price\n" + "".join(f"{a!r},{y!r}\n" for a, y in rows))
    table = read_csv(path, "price")
    assert list(zip(table.features[:, 0].tolist(), table.target.tolist(), strict=True)) == rows


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


def test_a_csv_file_has_the_hash_of_its_channel(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "a,b,price\n1,4,2.5\n2,,3\n"), "price")
    channel = tmp_path / "channel"
    channel.mkdir()
    write_channel(table, channel)
    again = read_csv(write(tmp_path, '"a","b","price"\r\n1.0,4e0,2.50\r\n2,NA,3\r\n', "other.csv"), "price")
    assert read_channel(channel).content_hash() == table.content_hash() == again.content_hash()


def test_the_hash_changes_with_whatever_counts() -> None:
    table = make_table(10)
    features, target = table.features.copy(), table.target.copy()
    features[3, 1] = np.nextafter(features[3, 1], 99)
    target[-1] = np.nextafter(target[-1], 99)
    swapped = table.features[:, [1, 0, 2]]
    tables = [
        table,
        Table(table.columns, "y", features, table.target),
        Table(table.columns, "y", table.features, target),
        Table(numbers("x0", "x1", "z"), "y", table.features, table.target),
        Table(table.columns, "z", table.features, table.target),
        Table(numbers("x1", "x0", "x2"), "y", swapped, table.target),
        Table(table.columns, "y", swapped, table.target),
        Table(numbers("x1", "x0", "x2"), "y", table.features, table.target),
        Table((Column("x0", "boolean"), *table.columns[1:]), "y", table.features, table.target),
        Table((Column("x0", "category", ("a",)), *table.columns[1:]), "y", table.features, table.target),
        Table((Column("x0", "category", ("b",)), *table.columns[1:]), "y", table.features, table.target),
        Table(table.columns, "y", table.features, table.target, np.ones(10)),
        Table(table.columns, "y", table.features, table.target, None, np.ones(10)),
        table.take(slice(9)),
        table.take(np.arange(10)[::-1]),
    ]
    assert len({each.content_hash() for each in tables}) == len(tables)


def test_the_hash_does_not_depend_on_how_the_numbers_lie_in_memory() -> None:
    table = make_table(10)
    turned = Table(table.columns, "y", np.asfortranarray(table.features), table.target[::-1].copy()[::-1])
    assert turned.content_hash() == table.content_hash()


def test_rows_are_taken_in_the_order_asked_for() -> None:
    table = make_table(10)
    found = table.take(np.array([7, 2, 2]))
    assert np.array_equal(found.features, table.features[[7, 2, 2]])
    assert found.target.tolist() == table.target[[7, 2, 2]].tolist()


def test_a_channel_of_csv_files_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "a,y\n5,6\n7,8\n", "2.csv")
    write(tmp_path, "a,y\n1,2\n3,4\n", "1.csv")
    table = read_channel(tmp_path, Roles("y"))
    assert table.features.tolist() == [[1.0], [3.0], [5.0], [7.0]]
    assert table.target.tolist() == [2.0, 4.0, 6.0, 8.0]


def test_csv_files_of_a_channel_must_have_the_same_columns(tmp_path: Path) -> None:
    write(tmp_path, "a,b,y\n1,1,2\n3,1,4\n", "1.csv")
    write(tmp_path, "b,a,y\n5,1,6\n7,1,8\n", "2.csv")
    with pytest.raises(InputError, match=r"2\.csv and 1\.csv in .* do not have the same columns: the order is another"):
        read_channel(tmp_path, Roles("y"))


def test_a_channel_of_csv_files_wants_a_target(tmp_path: Path) -> None:
    write(tmp_path, "a,y\n1,2\n3,4\n")
    with pytest.raises(InputError, match="give the target with --target"):
        read_channel(tmp_path)


@pytest.mark.parametrize("name", [".", "nowhere"])
def test_a_channel_without_a_table_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.csv or \.parquet file") as error:
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
    with pytest.raises(InputError, match="write it anew") as error:
        read_channel(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_channel_without_its_arrays_is_named_with_the_fix(tmp_path: Path) -> None:
    write_channel(make_table(), tmp_path)
    (tmp_path / "features.npy").unlink()
    with pytest.raises(InputError, match=r"features\.npy.*write it anew"):
        read_channel(tmp_path)


def test_a_pickled_array_is_never_opened(tmp_path: Path) -> None:
    write_channel(make_table(), tmp_path)
    np.save(tmp_path / "target.npy", np.array([print] * 60, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="write it anew"):
        read_channel(tmp_path)
