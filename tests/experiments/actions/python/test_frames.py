"""Tables in memory: read like a file, or refused with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ensemble.reading import Roles, read_file
from experiments.actions.python.frames import columns_to_predict, place_table, training_table
from experiments.errors import ConfigError

ROWS = 12
PLAIN = pd.DataFrame(
    {"size": np.arange(ROWS) / 3, "town": ["oslo", "bergen", "moss"] * 4, "price": np.arange(ROWS) * 2.0}
)


def table(data: Any, folder: Path, target: Any = "price") -> Any:
    """Return what a study of this data reads."""
    found, name = training_table(data, target)
    return read_file(place_table(found, folder)[0], Roles(target=str(name)))


def test_a_frame_is_read_as_the_file_that_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "homes.csv"
    file.write_text(
        "size,rooms,open,town,since,note,price\n"
        + "".join(
            f"{row / 7},{row if row % 5 else ''},{'true' if row % 2 else 'false'},{'ab'[row % 2]},2024-01-{row + 10},{'' if row % 3 else 'x'},{row * 1.5}\n"
            for row in range(ROWS)
        )
    )
    frame = pd.read_csv(file)
    expected = read_file(file, Roles(target="price")).content_hash()
    assert table(frame, tmp_path).content_hash() == expected
    assert table(pa.Table.from_pandas(frame), tmp_path).content_hash() == expected
    assert table(frame.convert_dtypes(dtype_backend="pyarrow"), tmp_path).content_hash() == expected
    assert table(frame.convert_dtypes(dtype_backend="numpy_nullable"), tmp_path).content_hash() == expected
    assert table(frame.astype({"town": "category", "note": "category"}), tmp_path).content_hash() == expected
    assert table(frame.drop(columns="price"), tmp_path, frame["price"]).content_hash() == expected
    assert table(frame[::-1][::-1], tmp_path).content_hash() == expected
    assert len(list((tmp_path / "_tables").iterdir())) < 6  # the same content is the same file


def test_polars_is_read_too(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    expected = table(PLAIN, tmp_path).content_hash()
    frame = pl.DataFrame(PLAIN.to_dict("list"))
    assert table(frame, tmp_path).content_hash() == expected
    assert table(frame.with_columns(pl.col("town").cast(pl.Categorical)), tmp_path).content_hash() == expected
    with pytest.raises(ConfigError, match="collect a lazy frame first"):
        training_table(frame.lazy(), "price")


def test_an_array_has_columns_by_position(tmp_path: Path) -> None:
    array = PLAIN[["size", "price"]].to_numpy()
    found = table(array, tmp_path, -1)
    assert (found.names, found.target_name) == (("x0",), "x1")
    assert table(array[:, :1], tmp_path, array[:, 1]).target_name == "target"
    assert table(PLAIN.to_numpy(), tmp_path, 2).column_types() == {"number": 1, "category": 1}


def test_a_category_of_numbers_is_a_category(tmp_path: Path) -> None:
    frame = PLAIN.assign(code=pd.Categorical([3, 1, 2] * 4, categories=[1, 2, 3, 4]))
    found = table(frame, tmp_path)
    assert [(column.name, column.levels) for column in found.columns if column.type == "category"] == [
        ("town", ("bergen", "moss", "oslo")),
        ("code", ("1", "2", "3")),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.set_axis(["a", "a", "price"], axis=1), "more than one column named 'a': rename"),
        (lambda frame: frame.set_axis([0, 1, 2], axis=1), "column names that are not text, such as 0: .*map\\(str\\)"),
        (lambda frame: frame.set_axis(pd.MultiIndex.from_tuples([(1, 2), (3, 4), (5, 6)]), axis=1), "not text, such as \\(1, 2\\)"),
        (lambda frame: frame.set_index("town"), "index \\(town\\) is not a column.*reset_index\\(\\) makes it a column"),
        (lambda frame: frame.set_index(pd.date_range("2024", periods=ROWS)), "index is not a column"),
        (lambda frame: frame.set_index(["town", "size"]), "index \\(size, town\\) is not a column"),
        (lambda frame: frame.iloc[:0], "the DataFrame is empty: it has no rows"),
        (lambda frame: frame[[]], "the DataFrame is empty: it has no columns"),
        (lambda frame: frame.assign(town=[[1]] * ROWS), "column 'town' of the DataFrame holds list<.*or drop it from the DataFrame"),
        (lambda frame: frame.assign(town=pd.to_timedelta(range(ROWS), unit="h")), "column 'town' of the DataFrame holds duration"),
        (lambda frame: frame.assign(town=pd.interval_range(0, ROWS)), "column 'town' of the DataFrame holds"),
        (lambda frame: frame.assign(town=[1, "x", 2.5] * 4), "Conversion failed for column town"),
        (lambda frame: frame.assign(town=1j), "column 'town' of the DataFrame cannot be read: .*or drop it from the DataFrame"),
        (lambda frame: frame.assign(size=[10**30] * ROWS), "column 'size' of the DataFrame cannot be read: .* too large"),
        (lambda frame: frame.assign(town=pd.arrays.SparseArray([0.0] * ROWS)), "column 'town' .* not supported\\. Convert it"),
        (lambda frame: frame["size"], "the data is a pandas.*Series. Give the path"),
        (lambda frame: frame.to_dict("list"), "the data is a builtins.dict. Give the path"),
        (lambda frame: frame.to_numpy()[:, 0], "the array has the shape \\(12,\\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(change: Callable[[pd.DataFrame], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        training_table(change(PLAIN), "price")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (7, "give the name of the target column, or its values"),
        (np.arange(3), "the target has 3 values, and the data 12 rows"),
        (pd.Series(range(ROWS), name="size"), "has a column 'size' already"),
        (pd.Series(range(ROWS), index=range(1, ROWS + 1)), "the target's index is not that of the DataFrame"),
        (object(), "target=<object object .*: give the name of the target column, or its values"),
        (np.zeros((ROWS, 2)), "the values of the target cannot be read: .* Give a Series, an array or a list"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(target: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        training_table(PLAIN, target)


def test_rows_to_predict_are_read_by_name_whatever_else_they_have() -> None:
    frame = PLAIN.assign(odd=[[1]] * ROWS).set_index("price")
    names, values = columns_to_predict(frame, ["town", "size"])
    assert names == ["size", "town", "odd"]
    assert [None if column is None else list(column[:2]) for column in values] == [[0, 1 / 3], ["oslo", "bergen"], None]
