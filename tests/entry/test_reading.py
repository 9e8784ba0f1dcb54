from __future__ import annotations

import csv
import datetime as dt
import decimal
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.channel import read_channel
from ensemble.coding import features_of, frame_of
from ensemble.errors import InputError
from ensemble.evaluation import make_folds
from ensemble.reading import Roles, read_file, read_folder
from ensemble.recipe import FoldSpec
from ensemble.table import Column, Table

MIXED = """when,at,town,garden,size,empty,price
2024-01-01,2024-01-01T12:00:00,Zürich,true,1.5,,1
2024-01-02,2024-01-01 18:00:00,,FALSE,,,2
,,Oslo,,3,,3
2023-12-31,1970-01-02T00:00:00,Zürich,True,-4,,5
"""


def read(folder: Path, content: str, **roles: object) -> Table:
    path = folder / "table.csv"
    path.write_text(content)
    return read_file(path, Roles("price", **roles))  # type: ignore[arg-type]


def days(text: str) -> float:
    return (dt.datetime.fromisoformat(text) - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1)


def test_every_kind_of_column_is_found_out_and_coded(tmp_path: Path) -> None:
    table = read(tmp_path, MIXED)
    assert table.columns == (
        Column("when", "date"),
        Column("at", "date"),
        Column("town", "category", ("Oslo", "Zürich")),
        Column("garden", "boolean"),
        Column("size"),
        Column("empty"),
    )
    nan = np.nan
    expected = [
        [days("2024-01-01"), days("2024-01-01T12:00"), 1, 1, 1.5, nan],
        [days("2024-01-02"), days("2024-01-01T18:00"), nan, 0, nan, nan],
        [nan, nan, 0, nan, 3, nan],
        [days("2023-12-31"), 1.0, 1, 1, -4, nan],
    ]
    assert np.array_equal(table.features, expected, equal_nan=True)
    assert table.categories == {2: 2}


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (
            ["1", "2", "three", "4"],
            ["column 'a' holds text in data row 3: 'three'", "empty the cell", "dataset.drop=[a]"],
        ),
        (["2024-01-01", "2024-01-02", "soon", "2024-01-04"], ["data row 3 'soon', which is none", "2024-12-31"]),
    ],
)
def test_column_that_is_mostly_one_thing_names_the_cell_that_is_not(
    column: list[str], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "a,price\n" + "".join(f"{cell},{row}\n" for row, cell in enumerate(column)))
    assert [word for word in words if word not in str(error.value)] == []


def test_dates_may_be_as_far_as_people_write_them(tmp_path: Path) -> None:
    column = ["9999-12-31", "1600-01-01", "2024-01-01", ""]
    table = read(tmp_path, "a,price\n" + "".join(f"{cell},{row}\n" for row, cell in enumerate(column)))
    assert table.columns == (Column("a", "date"),)
    far = [days("9999-12-31"), days("1600-01-01"), days("2024-01-01"), np.nan]
    assert np.array_equal(table.features[:, 0], far, equal_nan=True)
    written = frame_of(table.features, table.columns)
    assert np.array_equal(features_of(written, table.columns), table.features, equal_nan=True)


def test_dates_and_decimals_of_parquet_are_what_they_are_called(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "day": [dt.date(2024, 1, 1), None, dt.date(9999, 12, 31)],
            "cost": [decimal.Decimal("1.50"), decimal.Decimal("-2"), None],
            "price": [decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3)],
        }
    )
    frame.to_parquet(tmp_path / "table.parquet")
    table = read_file(tmp_path / "table.parquet", Roles("price"))
    assert table.columns == (Column("day", "date"), Column("cost"))
    expected = [[days("2024-01-01"), 1.5], [np.nan, -2], [days("9999-12-31"), np.nan]]
    assert np.array_equal(table.features, expected, equal_nan=True)
    assert table.target.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["a", "price"])
def test_numbers_that_no_library_reckons_with_are_named(name: str, tmp_path: Path) -> None:
    cells = {"a": ["1", "2", "3"], "price": ["1", "2", "3"]}
    cells[name][1] = "-1e300"
    rows = "".join(f"{a},{price}\n" for a, price in zip(*cells.values(), strict=True))
    with pytest.raises(InputError, match=f"'{name}' holds -1e\\+300 in data row 2, and .* up to 1e\\+30"):
        read(tmp_path, "a,price\n" + rows)


def test_category_of_ten_thousand_values_is_one(tmp_path: Path) -> None:
    table = read(tmp_path, "a,price\n" + "".join(f"v{row},{row}\n" for row in range(10_000)))
    assert len(table.columns[0].levels) == 10_000
    assert len(np.unique(table.features[:, 0])) == 10_000


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
    with pytest.raises(InputError, match=r"is no Parquet file that can be read.*Write it anew"):
        read_file(path, Roles("price"))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1", "-1", "1"], ["dataset.weights=w is negative in 1 of 3 rows", "data row 2"]),
        (["1", "", "1"], ["dataset.weights=w is missing in 1 of 3 rows", "data row 2"]),
        (["0", "0", "0"], ["dataset.weights=w is 0 in every row"]),
        (["1", "x", "1"], ["'w' holds text in data row 2: 'x'", "numeric weights"]),
    ],
)
def test_weights_that_are_none_are_named(cells: list[str], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "a,w,price\n" + "".join(f"{row},{cell},{row}\n" for row, cell in enumerate(cells)), weights="w")
    assert [word for word in words if word not in str(error.value)] == []


def test_weights_and_fold_keys_are_no_features(tmp_path: Path) -> None:
    content = "a,w,who,price\n1,0.5,x,1\n2,2,y,2\n3,0,x,3\n"
    table = read(tmp_path, content, weights="w", fold_key="who")
    assert table.names == ("a",)
    assert table.weights is not None
    assert table.weights.tolist() == [0.5, 2, 0]
    assert table.fold_keys is not None
    assert table.fold_keys.tolist() == [0, 1, 0]
    in_time = read(
        tmp_path, content.replace("x", "2024-01-02").replace("y", "2024-01-01"), fold_key="who", fold_kind="time"
    )
    assert in_time.fold_keys is not None
    assert np.argmin(in_time.fold_keys) == 1


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"fold_key": "who"}, ["dataset.folds.column=who is missing in 1 of 3 rows", "data row 2"]),
        ({"fold_key": "name", "fold_kind": "time"}, ["dataset.folds.column=name is text", "dates or numbers"]),
        ({"weights": "a", "fold_key": "a"}, ["one column twice (a)"]),
        ({"weights": "nme"}, ["dataset.weights=nme", "Did you mean 'name'?"]),
        ({"weights": "a", "drop": ["a"]}, ["dataset.drop names", "'a'"]),
    ],
)
def test_roles_that_do_not_fit_are_named(roles: dict[str, object], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "a,who,name,price\n1,x,p,1\n2,,q,2\n3,y,r,3\n", **roles)
    assert [word for word in words if word not in str(error.value)] == []


def test_value_that_is_not_among_the_levels_is_missing_and_columns_are_coded_alike(tmp_path: Path) -> None:
    table = read(tmp_path, MIXED)
    later = pd.DataFrame({"town": ["Bern", "Zürich"], "when": ["2024-01-01", None], "garden": [True, "false"]})
    later = later.assign(at=None, size=[1, "2"], empty=None)
    coded = features_of(later, table.columns)
    expected = [[days("2024-01-01"), np.nan, np.nan, 1, 1, np.nan], [np.nan, np.nan, 1, 0, 2, np.nan]]
    assert np.array_equal(coded, expected, equal_nan=True)
    with pytest.raises(InputError, match="column 'town' is missing"):
        features_of(later.drop(columns="town"), table.columns)


def test_files_of_one_channel_share_their_levels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("town,price\nOslo,1\nRome,2\n")
    (tmp_path / "b.csv").write_text("town,price\nBern,3\nOslo,4\n")
    table = read_channel(tmp_path, Roles("price"))
    assert table.columns == (Column("town", "category", ("Bern", "Oslo", "Rome")),)
    assert table.features[:, 0].tolist() == [1, 2, 0, 1]


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
    "nothing": ({}, ["holds no .csv or .parquet file"]),
    "notes alone": ({"_SUCCESS": "", ".part.csv.crc": ""}, ["holds no .csv or .parquet file"]),
    "both kinds": ({"a.csv": TWO, "b.parquet": ""}, ["holds .csv and .parquet files", "of one kind"]),
    "a packed part": ({"a.csv": TWO, "b.csv.gz": ""}, ["holds b.csv.gz", "unpack"]),
    "a folder": ({"a.csv": TWO, "more/b.csv": TWO}, ["holds a folder, more/", "side by side"]),
    "a column less": ({"a.csv": TWO, "b.csv": "a,price\n3,3\n"}, ["b.csv and a.csv", "'b' only in a.csv"]),
    "another column": (
        {"a.csv": TWO, "b.csv": "a,c,price\n3,x,3\n"},
        ["'b' only in a.csv", "'c' only in b.csv", "in one order"],
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
def test_a_folder_that_is_no_table_is_named_with_the_fix(case: str, tmp_path: Path) -> None:
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


def folder_of(tmp_path: Path, name: str, text: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "part.csv").write_text(text)
    return folder


TRAIN = "town,code,when,garden,size,price\n" + "".join(
    f"{'Oslo' if row % 2 else 'Bern'},{f'0{row}' if row in (2, 4) else f'A{row}'},2024-01-0{row},{row % 2 == 0},{row},{row}\n"
    for row in range(1, 7)
)


def test_rows_are_coded_as_the_training_rows_are(tmp_path: Path) -> None:
    train = read_folder(folder_of(tmp_path, "train", TRAIN), Roles("price"))
    text = "price,size,code,garden,when,town\n7,1,02,1,,Rome\n7,2,3,0,,Oslo\n7,,02,,,\n"
    later = read_folder(folder_of(tmp_path, "later", text), Roles("price"), train)
    assert later.columns == train.columns
    levels = dict(zip(train.names, train.columns, strict=True))["code"].levels
    assert levels == ("02", "04", "A1", "A3", "A5", "A6")
    nan = np.nan
    expected = [[nan, 0, nan, 1, 1], [1, nan, nan, 0, 2], [nan, 0, nan, nan, nan]]
    assert np.array_equal(later.features, expected, equal_nan=True)
    one = read_folder(folder_of(tmp_path, "one", TRAIN.splitlines()[0] + "\n,,,,,3\n"), Roles("price"), train)
    assert (one.rows, np.isnan(one.features).all()) == (1, True)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("2024-01-04", "17"), ["column 'when' holds dates", "'17', which is none"]),
        ((",4,4\n", ",large,4\n"), ["column 'size' holds text in data row 4: 'large'"]),
        (("True,4", "perhaps,4"), ["column 'garden' holds true and false", "'perhaps'"]),
        (("town,", "city,"), ["columns of the training rows", "'town' only in those", "'city' only in part.csv"]),
        (("price\n", "cost\n"), ["dataset.target=price", "has no such column"]),
        ((",4,4\n", ",4,\n"), ["target 'price' is missing in 1 of 6 rows"]),
    ],
)
def test_rows_that_differ_from_the_training_rows_are_named(
    changed: tuple[str, str], words: list[str], tmp_path: Path
) -> None:
    train = read_folder(folder_of(tmp_path, "train", TRAIN), Roles("price"))
    folder = folder_of(tmp_path, "later", TRAIN.replace(*changed))
    with pytest.raises(InputError) as error:
        read_folder(folder, Roles("price"), train)
    assert [word for word in [f"{folder}/part.csv", *words] if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        (["a", "b", "c"], [1.0, 2.0, None], "holds numbers, and names in the training rows"),
        ([1, 2, 3], [True, False, True], "holds true and false, and numbers in the training rows"),
        (
            pd.to_datetime(["2024-01-01", "2024-01-02", None]),
            [1, 2, 3],
            "holds numbers, and dates in the training rows",
        ),
    ],
)
def test_types_that_differ_from_the_training_rows_are_named(there: Any, here: Any, words: str, tmp_path: Path) -> None:
    for name, values in (("train", there), ("test", here), ("none", [None] * 3)):
        (tmp_path / name).mkdir()
        pd.DataFrame({"a": values, "b": [1, 2, 3], "price": [1, 2, 3]}).to_parquet(tmp_path / name / "t.parquet")
    train = read_folder(tmp_path / "train", Roles("price"))
    with pytest.raises(InputError, match=rf"test/t\.parquet: column 'a' {words}.*dataset\.drop=\[a\]"):
        read_folder(tmp_path / "test", Roles("price"), train)
    assert read_folder(tmp_path / "none", Roles("price"), train).columns == train.columns


CELLS = {
    "number": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "boolean": st.sampled_from([0.0, 1.0]),
    "date": st.integers(-20_000, 40_000).map(float),
    "category": st.sampled_from([0.0, 1.0, 2.0]),
}


@given(st.data(), st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=5), st.integers(1, 8))
def test_coded_rows_are_written_and_read_back_the_same(data: st.DataObject, kinds: list[str], rows: int) -> None:
    columns = [
        Column(f"c{place}", kind, ("a", "b", "ü c") if kind == "category" else ())  # type: ignore[arg-type]
        for place, kind in enumerate(kinds)
    ]
    cells = [[data.draw(st.one_of(st.just(np.nan), CELLS[kind])) for kind in kinds] for _ in range(rows)]
    features = np.array(cells, dtype=np.float64)
    assert np.array_equal(features_of(frame_of(features, columns), columns), features, equal_nan=True)


ANY_CELL = st.one_of(
    st.sampled_from(
        ["", "nan", "NA", "true", "False", "2024-02-30", "2024-02-29", "2024-01-01T10:00", "1e400", "-inf", "007"]
    ),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**30), 10**30).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=6).map(lambda text: text.strip()),
)


@given(
    st.lists(st.tuples(ANY_CELL, ANY_CELL, st.sampled_from(["a", "b", "", "c"])), min_size=1, max_size=12),
    st.sampled_from([None, "group", "time"]),
    st.integers(2, 4),
)
def test_any_table_is_read_and_divided_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], kind: str | None, k: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["first", "second", "key", "price"])
        writer.writerows([*row, number] for number, row in enumerate(rows))
    roles = Roles("price", fold_key=kind and "key", fold_kind="time" if kind == "time" else "group")
    try:
        table = read_file(path, roles)
        folds = make_folds(FoldSpec(kind or "kfold", k), table.rows, 0, table.fold_keys)  # type: ignore[arg-type]
    except InputError as error:
        refused = str(error)
    else:
        refused = None
    if refused is not None:
        assert path.name in refused or "dataset.folds" in refused
        return
    assert table.features.shape == (len(rows), 2 if kind else 3)
    assert not np.isinf(table.features).any()
    for place, levels in table.categories.items():
        codes = table.features[:, place]
        assert set(codes[~np.isnan(codes)]) <= set(range(levels))
    assert all(len(fold.fit) and len(fold.score) for fold in folds)
    assert not any(set(fold.fit) & set(fold.score) for fold in folds)
