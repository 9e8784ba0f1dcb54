"""CSV and Parquet files, one or several that are one table; what is not a table is named."""

from __future__ import annotations

import gc
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import InputError
from ensemble.reading import LARGEST, Roles, read_file, read_folder
from ensemble.table import Column
from tests.entry.tables import MIXED, read, read_csv, write

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


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "", "houses.csv")
    with pytest.raises(
        InputError, match=r"there is no file .*house\.csv\. Did you mean 'houses\.csv'\? .*dataset\.path"
    ):
        read_csv(tmp_path / "house.csv", "price")


def test_a_file_in_a_missing_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_csv(tmp_path / "nowhere" / "houses.csv", "price")


def test_a_folder_is_not_a_table_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder: give the file in it as dataset\.path"):
        read_csv(tmp_path, "price")


def test_a_quoted_name_keeps_its_comma(tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, '"a, b",price\n1,2\n2,3\n'), "price").names == ("a, b",)


def test_a_name_like_one_that_pandas_makes_up_stays(tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, "a,a.1,price\n1,2,3\n2,3,4\n"), "price").names == ("a", "a.1")


@pytest.mark.parametrize("name", ["PK", "BZ", "BZh9"])
def test_names_that_begin_as_compressed_files_do_are_names(name: str, tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, f"{name},price\n1,2\n2,3\n"), "price").columns == (Column(name),)


READABLE_FLOAT = st.floats(-LARGEST, LARGEST, allow_nan=False)


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


PARTS = """id,when,town,garden,code,size,w,who,price
1,2024-01-01,"Zürich, old",true,12,1.5,1,x,1
2,,Oslo,,012,,2,y,2
3,2023-12-31,,false,A1,-4,1,x,3
4,2024-02-29,Oslo,true,A1,0.1,3,z,4
5,2024-03-01,Bern,true,B1,2,1,y,5
"""


@given(st.lists(st.integers(0, 5), max_size=3), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_csv_table_cut_into_parts_is_the_whole_one(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], end: str, ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    roles = Roles("price", weights="w", fold_key="who", drop=("id",))
    (folder / "whole.csv").write_text(PARTS)
    header, *rows = PARTS.splitlines()
    (folder / "parts").mkdir()
    places = [0, *sorted(cuts), len(rows)]
    for number, (first, last) in enumerate(itertools.pairwise(places)):
        text = end.join([header, *rows[first:last]]) + end * ended
        (folder / "parts" / f"part-{number}.csv").write_bytes(b"\xef\xbb\xbf" * (number % 2) + text.encode())
    (folder / "parts" / "_SUCCESS").touch()
    whole, parts = read_file(folder / "whole.csv", roles), read_folder(folder / "parts", roles)
    assert parts.content_hash() == whole.content_hash()
    assert whole.columns[3] == Column("code", "category", ("012", "12", "A1", "B1"))


def test_parquet_holds_what_the_same_csv_does(tmp_path: Path) -> None:
    expected = read(
        tmp_path,
        MIXED.replace("empty,", "")
        .replace(",,1\n", ",1\n")
        .replace(",,2\n", ",2\n")
        .replace(",,3\n", ",3\n")
        .replace(",,5\n", ",5\n"),
    )
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2024-01-01", "2024-01-02", None, "2023-12-31"]),
            "at": pd.to_datetime(["2024-01-01T12:00", "2024-01-01T18:00", None, "1970-01-02T00:00"]),
            "town": pd.Categorical(["Zürich", None, "Oslo", "Zürich"]),
            "garden": pd.array([True, False, None, True], dtype="boolean"),
            "size": [1.5, None, 3, -4],
            "price": [1, 2, 3, 5],
        }
    )
    frame.to_parquet(tmp_path / "table.parquet")
    table = read_file(tmp_path / "table.parquet", Roles("price"))
    assert table.columns == expected.columns
    assert table.content_hash() == expected.content_hash()


def test_broken_and_odd_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pd.DataFrame({"a": [[1], [2]], "price": [1, 2]}).to_parquet(path)
    with pytest.raises(InputError, match=r"column 'a' holds a \w+ in data row 1"):
        read_file(path, Roles("price"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"cannot be read as Parquet.*Write it again"):
        read_file(path, Roles("price"))


def test_parquet_files_are_one_table_whatever_is_missing_in_one(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "town": ["Zürich", None, None, "Oslo", "Bern"],
            "when": pd.to_datetime(["2024-01-01", None, None, "2024-01-02", None]),
            "kind": pd.Categorical(["b", "a", "a", "c", None]),
            "size": [1, 2, 3, 4.5, 5],
            "price": [1, 2, 3, 4, 5],
        }
    )
    frame.to_parquet(tmp_path / "whole.parquet")
    (tmp_path / "parts").mkdir()
    for number, part in enumerate((frame[:1], frame[1:3], frame[3:])):
        changed = part.assign(kind=part["kind"].astype(str).astype("category") if number < 2 else part["kind"])
        if number == 0:
            changed = changed.astype({"size": "int32", "price": "float64"})
        if number == 1:
            changed = changed.assign(town=None, when=None)
        changed.to_parquet(tmp_path / "parts" / f"{number}.parquet")
    whole, parts = (
        read_file(tmp_path / "whole.parquet", Roles("price")),
        read_folder(tmp_path / "parts", Roles("price")),
    )
    assert parts.columns == whole.columns
    assert parts.content_hash() == whole.content_hash()


TWO = "a,b,price\n1,x,1\n2,y,2\n"


FOLDERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, ["holds no CSV or Parquet file"]),
    "notes alone": ({"_SUCCESS": "", ".part.csv.crc": ""}, ["holds no CSV or Parquet file"]),
    "both kinds": (
        {"a.csv": TWO, "b": "PAR1"},
        ["files of several kinds: a.csv (CSV), b (Parquet)", "all of one kind"],
    ),
    "a packed part": ({"a.csv": TWO, "b.csv": "BZh91AY&SY"}, ["b.csv is compressed with bzip2: unpack"]),
    "notes": ({"a.csv": TWO, "notes.txt": "see the wiki\n"}, ["notes.txt and a.csv", "the same columns"]),
    "a folder": ({"a.csv": TWO, "more/b.csv": TWO}, ["holds a folder, more/", "side by side"]),
    "a column less": ({"a.csv": TWO, "b.csv": "a,price\n3,3\n"}, ["b.csv and a.csv", "'b' only in a.csv"]),
    "another column": (
        {"a.csv": TWO, "b.csv": "a,c,price\n3,x,3\n"},
        ["'b' only in a.csv", "'c' only in b.csv", "in the same order"],
    ),
    "an empty part": ({"a.csv": TWO, "b.csv": ""}, ["b.csv is empty", "header row"]),
    "a part that is no text": (
        {"a.csv": TWO, "b.csv": "a,b,price\n1,x,3\n2,\udcff,3\n"},
        ["b.csv is not text in UTF-8"],
    ),
    "longer rows in a part": ({"a.csv": TWO, "b.csv": "a,b,price\n1,x,3,4\n"}, ["*.csv", "line 4, saw 4"]),
    "a row of all": ({"a.csv": TWO, "b.csv": "a,b,price\n3,x,cheap\n"}, ["*.csv", "data row 3: 'cheap'"]),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_not_a_table_is_named_with_the_fix(case: str, tmp_path: Path) -> None:
    files, words = FOLDERS[case]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError) as error:
        read_folder(tmp_path, Roles("price"))
    assert [word for word in [str(tmp_path), *words] if word not in str(error.value)] == []


def test_parquet_files_of_two_types_are_named(tmp_path: Path) -> None:
    for number, values in enumerate(([1, 2], ["x", "y"])):
        pd.DataFrame({"a": values, "price": [1, 2]}).to_parquet(tmp_path / f"{number}.parquet")
    with pytest.raises(InputError, match=r"column 'a' is int64 in 0\.parquet, \w*string in 1\.parquet: write all"):
        read_folder(tmp_path, Roles("price"))


def test_no_file_stays_open_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TWO)
    (tmp_path / "b.csv").write_text("a,b,price\n1,x,3,4\n" + "2,y,5\n" * 1000)
    gc.collect()
    with pytest.raises(InputError, match="saw 4") as refused:  # whose traceback keeps what was open
        read_folder(tmp_path, Roles("price"))
    assert refused.value.__context__ is not None
    assert [found for found in psutil.Process().open_files() if found.path.startswith(str(tmp_path))] == []
