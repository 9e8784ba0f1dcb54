"""Columns by their roles: tables that are read, and mistakes that are named with the fix."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import InputError
from ensemble.evaluation import make_folds
from ensemble.reading import Roles, read_file, read_folder
from ensemble.recipe import FoldSpec
from tests.entry.tables import read, read_csv, write

UTF8 = ["not text in UTF-8", "save it as a CSV file in UTF-8"]


BAD = {
    "empty": ("", ["is empty", "a header row and data rows are needed"]),
    "blank lines": ("\n\n\n", ["is empty", "a header row and data rows are needed"]),
    "header alone": ("a,price\n", ["has 0 data rows: at least 2 are needed"]),
    "one row": ("a,price\n1,2\n", ["has 1 data row: at least 2 are needed"]),
    "one column": ("price\n1\n2\n", ["no column left besides the target 'price'", "at least one feature"]),
    "binary": (bytes(range(256)), UTF8),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(50), UTF8),
    "zip archive": (b"PK\x03\x04" + bytes(26) + b"a,price\n1,2\n2,3\n", ["compressed with zip", "unpack"]),
    "latin-1 header": ("größe,price\n1,2\n2,3\n".encode("latin-1"), UTF8),
    "latin-1 cell": ("a,price\n1,2\ngroß,3\n".encode("latin-1"), UTF8),
    "UTF-16": ("a,price\n1,2\n2,3\n".encode("utf-16"), ["is text in UTF-16", "save it as a CSV file in UTF-8"]),
    "UTF-16 without a mark": ("a,price\n1,2\n2,3\n".encode("utf-16-le"), ["is text in UTF-16", "in UTF-8"]),
    "UTF-32": ("a,price\n1,2\n2,3\n".encode("utf-32"), ["is text in UTF-32", "save it as a CSV file in UTF-8"]),
    "a NUL in a cell": ("a,b,price\nx,1,2\ny\0z,2,3\n", UTF8),
    "an Excel workbook": (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", ["is an Excel workbook", "save the sheet"]),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), ["is an Excel workbook", "'CSV UTF-8'"]),
    "a sheet of LibreOffice": (
        b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", ["is a spreadsheet"]
    ),
    "a NumPy array": (b"\x93NUMPY" + bytes(9), ["is a NumPy array", "save it as CSV or Parquet"]),
    "a short row": ("a,price,b\n1,2,4\n2,3\n", ["data row 2 has 2 cells, but the header has 3"]),
    "semicolons": ("a;price\n1;2\n2;3\n", ["separated by ';'", "save it as CSV with commas"]),
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
    "text": (
        "a,price\n1.5,2\n2,3\nred,4\n",
        ["column 'a' holds text in data row 3: 'red'", "dataset.missing=[red]", "dataset.columns.a=category", "drop=[a]"],
    ),
    "text instead of a date": (
        "a,price\n2020-01-01,2\n2020-13-01,3\n2020-01-02,4\n",
        ["column 'a' holds dates", "'2020-13-01' in data row 2 is not a date", "dataset.drop=[a]"],
    ),
    "target with a comma": (
        'a,price\n1,"1,000"\n2,3\n',
        ["'price'", "'1,000'", "dataset.columns.price=number reads it as 1000", "price=decimal_comma reads it as 1"],
    ),
    "infinite": ("a,b,price\n1,2,2\n2,-inf,3\n", ["column 'b' is infinite in data row 2", "empty the cell or bound"]),
    "one row too long": ("a,price\n1,2\n2,3,9\n", ["Expected 2 fields in line 3, saw 3"]),
    "every row too long": ("a,price\n7,1,2\n8,2,3\n", ["data row 1 has 3 cells, but the header has 2"]),
    "every row too long, counting": ("a,price\n0,1,2\n1,2,3\n", ["data row 1 has 3 cells, but the header has 2"]),
    "an empty cell at the end of every row": ("a,price\n7,1,\n8,2,\n", ["data row 1 has 3 cells, but the header has 2"]),
    "quote left open": ('a,price\n"1,2\n2,3\n', ["is not a CSV table"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_named_with_the_fix(case: str, tmp_path: Path) -> None:
    content, words = BAD[case]
    path = write(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_csv(path, "price")
    assert [word for word in [str(path), *words] if word not in str(error.value)] == []


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


@pytest.mark.parametrize("name", ["a", "price"])
def test_numbers_beyond_the_range_of_libraries_are_named(name: str, tmp_path: Path) -> None:
    cells = {"a": ["1", "2", "3"], "price": ["1", "2", "3"]}
    cells[name][1] = "-1e300"
    rows = "".join(f"{a},{price}\n" for a, price in zip(*cells.values(), strict=True))
    with pytest.raises(InputError, match=f"'{name}' holds -1e\\+300 in data row 2, but .* up to 1e\\+30"):
        read(tmp_path, "a,price\n" + rows)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1", "-1", "1"], ["dataset.weights=w is negative in 1 of 3 rows", "data row 2"]),
        (["1", "", "1"], ["dataset.weights=w is missing in 1 of 3 rows", "data row 2"]),
        (["0", "0", "0"], ["dataset.weights=w is 0 in every row"]),
        (["1", "x", "1"], ["'w' holds text in data row 2: 'x'", "numeric weights"]),
    ],
)
def test_invalid_weights_are_named(cells: list[str], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "a,w,price\n" + "".join(f"{row},{cell},{row}\n" for row, cell in enumerate(cells)), weights="w")
    assert [word for word in words if word not in str(error.value)] == []


def test_weights_and_fold_keys_are_not_features(tmp_path: Path) -> None:
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
        ({"weights": "a", "fold_key": "a"}, ["name the same column (a)"]),
        ({"weights": "nme"}, ["dataset.weights=nme", "Did you mean 'name'?"]),
        ({"weights": "a", "drop": ["a"]}, ["dataset.drop names", "'a'"]),
    ],
)
def test_roles_that_do_not_fit_are_named(roles: dict[str, object], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "a,who,name,price\n1,x,p,1\n2,,q,2\n3,y,r,3\n", **roles)
    assert [word for word in words if word not in str(error.value)] == []


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
        (("2024-01-04", "17"), ["column 'when' holds dates", "'17' in data row 4 is not a date"]),
        ((",4,4\n", ",large,4\n"), ["column 'size' holds text in data row 4: 'large'"]),
        (("True,4", "perhaps,4"), ["column 'garden' holds true and false", "'perhaps'"]),
        (
            ("town,", "city,"),
            ["columns of the training rows", "'town' only in the training rows", "'city' only in part.csv"],
        ),
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
        (["a", "b", "c"], [1.0, 2.0, None], "holds numbers, but categories in the training rows"),
        ([1, 2, 3], [True, False, True], "holds true and false, but numbers in the training rows"),
        (
            pd.to_datetime(["2024-01-01", "2024-01-02", None]),
            [1, 2, 3],
            "holds numbers, but dates in the training rows",
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
