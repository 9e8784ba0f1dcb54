"""Single values: what is missing, what is a number, and how a category's level may be written."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from ensemble.reading import LARGEST
from ensemble.serving.cells import check_numbers, column_numbers
from ensemble.serving.errors import RequestError
from ensemble.serving.rows import Values
from ensemble.table import MISSING, Column, ColumnType

nan = np.nan
NUMBER, BOOLEAN, DATE = Column("a"), Column("a", "boolean"), Column("a", "date")
# The levels of a file with a whole number, a fraction and true.
CATEGORY = Column("a", "category", ("1", "2.0", "2.5", "True", "Oslo", "true", "1e+300"))


def coded(column: Column, values: Any, *, text: bool = False) -> list[float]:
    found = column_numbers(column, values, text=text)
    assert found.dtype == np.float64
    return list(found)


def same(found: list[float], expected: list[float]) -> bool:
    return np.array_equal(found, expected, equal_nan=True)


def refused(column: Column, values: Any, *, text: bool = False) -> dict[str, Any]:
    with pytest.raises(RequestError) as error:
        column_numbers(column, values, text=text)
    assert error.value.status == 400
    details: dict[str, Any] = json.loads(str(error.value))
    assert details["error"] == "rows_do_not_fit"
    assert details["column"] == "a"
    return details


def test_texts_for_missing_are_those_of_pandas() -> None:
    assert frozenset(STR_NA_VALUES) == MISSING
    lines = "a,b\n" + "".join(f"{word},x\n" for word in sorted(MISSING))
    assert pd.read_csv(io.StringIO(lines))["a"].isna().all()


@pytest.mark.parametrize("kind", ["number", "boolean", "date", "category"])
def test_every_text_for_missing_is_missing_in_any_column(kind: ColumnType) -> None:
    column = Column("a", kind, ("Oslo",) if kind == "category" else ())
    value = {"number": "1", "boolean": "true", "date": "1970-01-02", "category": "Oslo"}[kind]
    words = [*sorted(MISSING), value]
    expected = [nan] * len(MISSING) + [0.0 if kind == "category" else 1.0]
    assert same(coded(column, words, text=True), expected)
    assert same(coded(column, words), expected)
    assert same(coded(column, [None, value]), expected[-2:])


@pytest.mark.parametrize("word", ["NAN", "Nan", "none", "NIL", "-", "?", "+nan", "null ", "nan\t"])
def test_what_only_looks_like_a_missing_word_is_refused_as_in_training(word: str) -> None:
    for text in (True, False):
        assert refused(NUMBER, ["1", word], text=text)["row"] == 2


@pytest.mark.parametrize(
    "word", ["1_000", "٣", "\uff11\uff12", "0x1F", "1,5", "1 000", "1e", "--1", "1.2.3", "½", "1d5", "1e5L"]
)
def test_notations_of_numbers_that_only_python_or_people_use_are_refused(word: str) -> None:
    for text in (True, False):
        details = refused(NUMBER, ["7", word, "8"], text=text)
        assert (details["row"], details["got"]) == (2, repr(word))


@pytest.mark.parametrize("word", ["+3", "3.", ".5", "-0", "1E5", "1e-400", "5e-324", "0.1", "9007199254740993", "1e+5"])
def test_a_number_as_text_is_the_nearest_float(word: str) -> None:
    for text in (True, False):
        assert coded(NUMBER, [word], text=text) == [float(word)]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1, 0),
        (1.0, 0),
        ("1", 0),
        (2, 1),
        (2.0, 1),
        ("2", nan),
        (2.5, 2),
        (3, nan),
        (True, 3),
        (False, nan),
        (1e300, 6),
        (10**400, nan),
        (-(10**400), nan),
        (float("inf"), nan),
        (float("nan"), nan),
        (None, nan),
        ("oslo", nan),
        ("Oslo ", nan),
    ],
)
def test_a_level_is_found_by_its_text(value: Any, code: float) -> None:
    assert same(coded(CATEGORY, [value, "Oslo", 0.5]), [code, 4, nan])


def test_true_is_the_level_true_and_not_the_number_one() -> None:
    column = Column("a", "category", ("1", "1.0", "false", "true"))
    assert coded(column, [True, False, np.bool_(True)]) == [3, 2, 3]
    assert coded(column, pd.Series([True, False])) == [3, 2]
    assert same(coded(Column("a", "category", ("0", "1", "x")), [True, False, "x"]), [nan, nan, 2])


@pytest.mark.parametrize("value", [["Oslo"], {"Oslo": 1}, b"Oslo", np.array(["Oslo"]), [], {}])
def test_a_value_that_is_not_text_is_not_a_category(value: Any) -> None:
    details = refused(CATEGORY, ["Oslo", value])
    assert (details["row"], details["expected"]) == (2, "the text of a category")
    assert details["got"] == f"a {type(value).__name__}"


@pytest.mark.parametrize("values", [[True], [1, True, None], ["1", False], np.array([True]), pd.Series([True])])
def test_true_and_false_are_not_numbers(values: Any) -> None:
    assert refused(NUMBER, values)["expected"] == "a number"


@pytest.mark.parametrize("value", [2, 0.5, "2", "yes", 10**400, -1, "truetrue"])
def test_other_numbers_and_texts_are_not_true_or_false(value: Any) -> None:
    assert refused(BOOLEAN, [True, value])["row"] == 2
    assert coded(BOOLEAN, [True, 1, 0.0, "1", "0.0", "tRuE"]) == [1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("value", [20000, 1e400, "20240101", "2024-02-30", "24-01-01", "2024-01-01T25:00", "soon"])
def test_a_value_that_is_not_a_date_is_refused(value: Any) -> None:
    assert refused(DATE, ["2024-01-01", value])["row"] == 2


def test_a_date_may_have_a_time_and_a_zone_as_in_training() -> None:
    zoned = Column("a", "date", zoned=True)
    assert coded(DATE, ["1970-01-02T12:00", "1970-01-02 12:00:00", "1970-01-02T12:00:00Z"]) == [1.5] * 3
    assert coded(zoned, ["1970-01-02T14:00+02:00", "1970-01-02T12:00:00Z", "1970-01-02 07:00-0500"]) == [1.5] * 3
    assert coded(DATE, ["1970-01-01T00:00:00.000001"]) == [1e-6 / 86_400]
    for text in (True, False):
        assert refused(DATE, ["1970-01-02", "1970-01-02T14:00+02:00"], text=text)["row"] == 2
        assert refused(zoned, ["1970-01-02T12:00Z", "1970-01-02T12:00"], text=text)["row"] == 2


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "float32", "float64", ">f8", ">i4"])
def test_arrays_of_numbers_are_taken_as_they_are(dtype: str) -> None:
    assert coded(NUMBER, np.array([1, 2, 100], dtype=dtype)) == [1, 2, 100]
    assert refused(DATE, np.array([1, 2, 100], dtype=dtype))["expected"] == "a date, such as 2024-12-31"


def test_a_number_may_be_as_large_as_training_allows_and_no_larger() -> None:
    allowed = np.array([[LARGEST, -LARGEST, nan, 5e-324, -0.0]])
    check_numbers(allowed, [Column(name) for name in "abcde"])
    for wrong in (np.nextafter(LARGEST, np.inf), -np.nextafter(LARGEST, np.inf), np.inf, -np.inf):
        features = np.vstack([allowed, allowed])
        features[1, 3] = wrong
        with pytest.raises(RequestError) as error:
            check_numbers(features, [Column(name) for name in "abcde"])
        assert (error.value.details["column"], error.value.details["row"]) == ("d", 2)


@pytest.mark.parametrize("value", [10**31, -(10**400), 10**4000], ids=["1e31", "-1e400", "1e4000"])
def test_a_whole_number_beyond_any_float_is_named(value: int) -> None:
    with pytest.raises(RequestError) as error:
        Values(None, [[1, 2.5, value]]).features([NUMBER])
    assert (error.value.details["column"], error.value.details["row"]) == ("a", 3)


@pytest.mark.parametrize("value", ["☃🙂" * 5_000, "x" * 100_000, "\\" * 9_000, '"' * 9_000, "\0" * 9_000])
def test_a_value_that_is_refused_is_quoted_in_part(value: str) -> None:
    for column in (NUMBER, BOOLEAN, DATE):
        details = refused(column, [value])
        assert details["got"].endswith("...")
        assert len(json.dumps(details)) < 2_000
