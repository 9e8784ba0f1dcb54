"""Columns of every type are recognised and coded as numbers, and written back."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.column_encoding import frame_of
from ensemble.errors import InputError
from ensemble.reading import LARGEST, Roles, read_file
from ensemble.serving.rows import Values
from ensemble.table import Column
from tests.entry.tables import MIXED, days, read, read_csv, write


def test_every_kind_of_column_is_recognised_and_coded(tmp_path: Path) -> None:
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
            ["1.5", "2", "three", "4"],
            ["column 'a' holds text in data row 3: 'three'", "empty the cell", "dataset.drop=[a]"],
        ),
        (["2024-01-01", "2024-01-02", "soon", "2024-01-04"], ["'soon' in data row 3 is not a date", "2024-12-31"]),
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
    assert np.array_equal(Values.of_frame(written).features(table.columns), table.features, equal_nan=True)


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


def test_category_of_ten_thousand_values_is_one(tmp_path: Path) -> None:
    table = read(tmp_path, "a,price\n" + "".join(f"v{row},{row}\n" for row in range(10_000)))
    assert len(table.columns[0].levels) == 10_000
    assert len(np.unique(table.features[:, 0])) == 10_000


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ('"true"', '"false"')])
@pytest.mark.parametrize("gap", [False, True])
def test_true_and_false_are_one_and_zero(words: tuple[str, str], gap: bool, tmp_path: Path) -> None:
    yes, no = words
    table = read_csv(write(tmp_path, f"a,price\n{yes},2\n{no},3\n" + ",4\n" * gap), "price")
    assert np.array_equal(table.features[:, 0], [1, 0] + [math.nan] * gap, equal_nan=True)


def test_a_column_without_any_value_is_missing_throughout(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "a,b,price\n1,,2\n2,,3\n"), "price")
    assert np.isnan(table.features[:, 1]).all()


def test_an_integer_beyond_64_bits_is_a_number(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, f"a,price\n{10**30},2\n1,3\n"), "price")
    assert table.features[:, 0].tolist() == [1e30, 1.0]


def test_value_that_is_not_among_the_levels_is_missing(tmp_path: Path) -> None:
    table = read(tmp_path, MIXED)
    later = pd.DataFrame({"town": ["Bern", "Zürich"], "when": ["2024-01-01", None], "garden": [True, "false"]})
    later = later.assign(at=None, size=[1, "2"], empty=None)
    coded = Values.of_frame(later).features(table.columns)
    expected = [[days("2024-01-01"), np.nan, np.nan, 1, 1, np.nan], [np.nan, np.nan, 1, 0, 2, np.nan]]
    assert np.array_equal(coded, expected, equal_nan=True)


CELLS = {
    "number": st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda value: abs(value) <= LARGEST),
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
    assert np.array_equal(Values.of_frame(frame_of(features, columns)).features(columns), features, equal_nan=True)
