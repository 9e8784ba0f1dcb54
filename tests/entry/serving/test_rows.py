"""Rows matched to a model's columns: CSV with and without a header, records, arrays, and rows that do not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ensemble.arrays import Floats
from ensemble.serving.errors import RequestError
from ensemble.serving.formats import decode
from ensemble.serving.rows import Csv, Matrix, Records, Rows, Values, first_row, is_header
from ensemble.serving.unseen import Unseen
from ensemble.table import Column, numbers
from tests.entry.serving.bodies import CODED, COLUMNS, JSON, ROWS, WHOLE, records

nan = np.nan
AB = numbers("a", "b")
TEXT = (Column("a"), Column("b", "category", ("x", "y")))


def csv(text: str, columns: Any = AB, header: bool | None = None) -> Floats:
    return Csv(text.encode(), header).features(columns)


def refused(rows: Rows, columns: Any) -> dict[str, Any]:
    with pytest.raises(RequestError) as error:
        rows.features(columns)
    assert len(str(error.value)) < 2_000
    details: dict[str, Any] = json.loads(str(error.value))
    return details


def same(found: Floats, expected: Any) -> bool:
    return found.dtype == np.float64 and np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("columns", [AB, (Column("a"), Column("b", "date")), (Column("a", "date"), Column("b"))])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("names", ["", "a,b\n", "a,b\r\n", '"a","b"\n', " a , b \n", "\ufeffa,b\n"])
def test_a_header_is_not_a_row(names: str, end: str, columns: Any) -> None:
    kinds = [column.type for column in columns]
    cells = [{"number": number, "date": date} for number, date in (("1", "1970-01-02"), ("-2.5", "1969-12-31"))]
    lines = [",".join(cell[kind] for kind in kinds) for cell in cells]
    found = csv(names + "\n".join(lines) + end, columns)
    expected = [
        [{"number": 1, "date": 1}[kind] for kind in kinds],
        [{"number": -2.5, "date": -1}[kind] for kind in kinds],
    ]
    assert same(found, expected)


GAPPY = (Column("size"), Column("town", "category", ("Bern", "Oslo"), optional=True), Column("age", optional=True))


@pytest.mark.parametrize(
    "given",
    [
        Csv(b"size\n1\n2\n"),
        Csv(b"id,size\n7,1\n8,2\n", header=True),
        Csv(b"size,id\n1,a\n2,b\n"),
        Values(["size"], [[1, 2]]),
        Values(["id", "size"], [["a", "b"], [1, 2]]),
        Records([{"size": 1}, {"size": 2}]),
        Records([{"size": 1, "id": 3}, {"id": 4, "size": 2}]),
    ],
)
def test_a_column_that_misses_values_in_training_may_be_left_out_and_is_counted(given: Rows) -> None:
    found = Unseen()
    assert same(given.features(GAPPY, found), [[1, nan, nan], [2, nan, nan]])
    assert found.absent == {"town": 2, "age": 2}
    assert found.sentences(2)[0] == "town: the rows do not have this column. It is predicted as missing."


def test_records_lack_columns_one_by_one() -> None:
    found = Unseen()
    given = Records([{"size": 1, "town": "Oslo"}, {"size": 2, "age": 3, "town": "Rome"}, {"size": None}])
    assert same(given.features(GAPPY, found), [[1, 1, nan], [2, nan, 3], [nan, nan, nan]])
    assert (found.absent, found.counts()) == ({"town": 1, "age": 2}, {"town": 1})
    assert found.sentences(3)[1] == "town: 1 of 3 rows do not have this column. It is predicted as missing."


@pytest.mark.parametrize(
    ("given", "column", "hint"),
    [
        (Csv(b"town,age\nOslo,1\n"), "size", ""),
        (Values(["town"], [["Oslo"]]), "size", ""),
        (Records([{"size": 1}, {"town": "Oslo"}]), "size", "in data row 2"),
        (Values(["size", "Town"], [[1], ["Oslo"]]), "town", "Did you mean 'Town'?"),
        (Csv(b"size,twon\n1,Oslo\n"), "town", "Did you mean 'twon'?"),
        (Records([{"size": 1}, {"size": 1, "age ": 2}]), "age", "Did you mean 'age '?"),
    ],
)
def test_a_column_that_training_rows_always_have_or_a_misspelt_one_is_refused(
    given: Rows, column: str, hint: str
) -> None:
    details = refused(given, GAPPY)
    assert details["column"] == column
    assert f"column {column!r} is missing" in details["message"]
    assert hint in details["message"]


def test_rows_without_any_column_of_the_model_are_refused() -> None:
    optional = GAPPY[1:]
    for given in (Values(["id"], [[1]]), Records([{"id": 1}]), Records([{"age": 1}, {}]), Values([], [])):
        assert refused(given, optional)["error"] == "rows_do_not_fit"


@pytest.mark.parametrize("columns", [AB, TEXT], ids=["numbers", "text"])
@pytest.mark.parametrize(
    ("rows", "row"), [("1", 1), ("1,2,3", 1), ("1\n2\n", 1), ("1,2,3\n4,5,6", 1), ("1,2\n3", 2), ("1,2\n\n3,4,5", 2)]
)
def test_rows_of_another_width_than_the_header_are_refused(rows: str, row: int, columns: Any) -> None:
    details = refused(Csv(b"a,b\n" + rows.encode()), columns)
    assert (details["row"], details["expected"]) == (row, "2 cells")
    assert refused(Csv(b"b,a,c,d\n" + rows.encode(), header=True), columns)["error"] == "rows_do_not_fit"


@pytest.mark.parametrize("columns", [AB, TEXT], ids=["numbers", "text"])
def test_rows_of_another_width_than_the_model_are_refused(columns: Any) -> None:
    for rows in ("1", "1,2,3", "1\n2", "1,2,3\n1,2,3"):
        details = refused(Csv(rows.encode()), columns)
        assert "a, b" in details["message"]
        assert details["expected"] == "2 values"


@pytest.mark.parametrize("more", ["c", "c,d", "", "1"])
def test_columns_by_name_come_in_any_order_with_others(more: str) -> None:
    extra = more.count(",") + 1
    cells = ",".join(["7"] * extra)
    assert same(csv(f"b,{more},a\n1,{cells},2\n,{cells},\n"), [[2, 1], [nan, nan]])
    assert same(csv(f"b,{more},a\ny,{cells},2\n", TEXT), [[2, 1]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2", [[1, 2]]),
        (",", [[nan, nan]]),
        (",2\n1,", [[nan, 2], [1, nan]]),
        (",\n,\n", [[nan, nan], [nan, nan]]),
        ("1,2\n\n\n3,4\n\n", [[1, 2], [3, 4]]),
        ("1, 2\n 3,4", [[1, 2], [3, 4]]),
        ("1 ,2 ", [[1, 2]]),
        ("+1,.5\n01,5.", [[1, 0.5], [1, 5]]),
        ("1e3,1E-3", [[1000, 0.001]]),
        ("-0,-0.0", [[0, 0]]),
        ("123456789012345678901234567890,18446744073709551615", [[123456789012345678901234567890.0, 2.0**64]]),
        ("0.1,5e-324\n1e30,1e-400", [[0.1, 5e-324], [1e30, 0]]),
        ('"1","2"', [[1, 2]]),
        ('"1\n","2"', [[1, 2]]),
        ("NA,nan", [[nan, nan]]),
        ("1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
    ],
)
def test_plain_numbers_and_odd_ones_are_read_alike(text: str, expected: Any) -> None:
    assert same(csv(text), expected)
    assert same(csv("a,b\n" + text), expected)
    assert same(csv(text, header=False), expected)
    if '"' not in text:
        lines = [line.split(",") for line in text.splitlines() if line]
        assert same(csv("\n".join(",".join(f'"{cell.strip()}"' for cell in cells) for cells in lines)), expected)


@pytest.mark.parametrize("text", ["1e400,1", "1,-1e400", "1e31,1", "1,inf", "1," + "9" * 400])
def test_numbers_beyond_are_refused_however_they_are_read(text: str) -> None:
    for body in (text, "a,b\n" + text, "1,1\n" + text, text + '\n"1",1'):
        details = refused(Csv(body.encode()), AB)
        assert details["row"] == (2 if body.startswith("1,1\n") else 1)
        assert details["column"] in ("a", "b")


def test_a_header_may_be_declared() -> None:
    assert same(csv("x,y\ny,x", (Column("x", "category", ("x", "y")), Column("y", "category", ("x",)))), [[1, 0]])
    columns = (Column("x", "category", ("x", "y")), Column("z", "category", ("y", "z")))
    assert same(csv("x,y\ny,z", columns, header=False), [[0, 0], [1, 1]])
    assert refused(Csv(b"1,2\n3,4", header=True), AB)["column"] == "a"
    assert refused(Csv(b"a,b\n1,2", header=False), AB)["row"] == 1


NUMBERED = numbers("0", "1", "2")
TOWN = (Column("town", "category", ("town", "Oslo")), Column("size"))


@pytest.mark.parametrize(
    ("line", "columns", "found"),
    [
        ("a,b", AB, True),
        ("b,a,c", AB, True),
        ("1,2", AB, False),
        (' "a" ,1', AB, True),
        ("A,B", AB, False),
        ("", AB, False),
        ("0,1,2", NUMBERED, True),
        ("2,2,2", NUMBERED, False),
        ("9,0,2", NUMBERED, False),
        ("0,,2", NUMBERED, False),
        ("2,1,0,x", NUMBERED, True),
        ("town,size", TOWN, True),
        ("size,town", TOWN, True),
        ("town,3.5", TOWN, False),
        ("town,sise", TOWN, True),
    ],
)
def test_a_line_is_a_header_only_if_it_is_not_a_row_of_values(line: str, columns: Any, found: bool) -> None:
    cells, _ = first_row(line.encode())
    assert is_header(cells, columns) is found


def test_a_row_that_may_be_both_header_and_values_is_refused_until_it_is_said() -> None:
    body = b"2,0,1\n1,2,3\n"
    assert "header=present or header=absent" in refused(Csv(body), NUMBERED)["message"]
    assert same(Csv(body, True).features(NUMBERED), [[2, 3, 1]])
    assert same(Csv(body, False).features(NUMBERED), [[2, 0, 1], [1, 2, 3]])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("columns", [AB, TEXT], ids=["numbers", "text"])
def test_blank_first_lines_and_any_line_end_are_read(end: str, columns: Any) -> None:
    second = "2" if columns is AB else "x"
    for lines in (["", "", "a,b", f"1,{second}"], ["  ", f"1,{second}", ""], ["a,b", "", f"1,{second}"]):
        assert csv(end.join(lines), columns)[0, 0] == 1
        assert len(csv(end.join(lines), columns)) == 1


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_mark_between_columns_is_named(mark: str) -> None:
    for header in ("", "a,b\n"):
        details = refused(Csv(f"{header}1,2\n".replace(",", mark).encode()), AB)
        assert f"separated by {mark!r}" in details["message"]


def test_a_quote_that_is_left_open_does_not_take_in_the_rows_after_it() -> None:
    assert refused(Csv(b'1,"x\n2,y\n3,x\n'), TEXT)["error"] == "unreadable"


def test_a_blank_line_between_the_rows_of_one_column_is_not_lost() -> None:
    town = (Column("town", "category", ("Oslo",)),)
    assert refused(Csv(b"town\nOslo\n\nOslo\n"), town)["row"] == 2
    assert same(csv('town\nOslo\n""\nOslo\n\n', town), [[0], [nan], [0]])


@pytest.mark.parametrize("body", ["", "a,b", "a,b\n", "a,b\n\n\r\n"])
def test_a_header_alone_is_not_a_row(body: str) -> None:
    for columns in (AB, TEXT):
        assert refused(Csv(body.encode(), header=True), columns)["error"] == "rows_do_not_fit"


@pytest.mark.parametrize("body", [b"\xff\xfe1\x00", b"1,\xff", b"1,2\n3,\xc3", b'a,b\n1,"' + b"x" * 200_000])
def test_a_body_that_is_not_csv_is_refused(body: bytes) -> None:
    for columns in (AB, TEXT):
        refused(Csv(body), columns)


def test_a_cell_may_go_over_lines_and_have_quotes() -> None:
    columns = (Column("a"), Column("b\nc", "category", ('say "x"', "two\nlines, one cell")))
    text = '"b\nc",a\n"two\nlines, one cell",1\n"say ""x""",2\n'
    assert same(csv(text, columns), [[1, 1], [2, 0]])


@pytest.mark.parametrize("names", [["a", "b", "a"], ["b", "a", "a", "a"]])
def test_a_column_that_comes_twice_is_refused_and_another_may(names: list[str]) -> None:
    columns = [[1.0] for _ in names]
    assert refused(Values(names, columns), AB)["got"] == "two"
    assert same(Values(["c", *names[:2], "c"], [[1.0]] * 4).features([Column(names[1])]), [[1]])


def test_records_may_lack_what_the_model_does_not_have() -> None:
    rows = [{"a": 1, "c": [1]}, {"a": None, "d": {}}, {"a": 3}]
    assert same(Records(rows).features([Column("a")]), [[1], [nan], [3]])
    details = refused(Records(rows), AB)
    assert (details["column"], details["row"]) == ("b", 1)
    assert refused(Records([]), AB)["got"] == "none"


def test_names_that_are_long_or_many_are_quoted_in_part() -> None:
    for names in (["x" * 100_000], [f"{number}" * 50 for number in range(5_000)], ["☃🙂" * 500] * 3):
        details = refused(Records([dict.fromkeys(names, 1)]), AB)
        assert details["column"] == "a"
        assert details["got"].endswith("...")
    details = refused(Records([{"aa": 1}]), AB)
    assert details["got"] == "the columns aa"


def test_a_wide_model_is_named_in_part_and_the_count_in_full() -> None:
    details = refused(Matrix(np.zeros((1, 2))), numbers(*(f"column number {number}" for number in range(2_000))))
    assert details["expected"] == "2000 values"
    assert "a row has 2 values, but the model has 2000 columns. Give them by name" in details["message"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool", ">f8"])
def test_a_matrix_of_numbers_has_no_names(dtype: str) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(dtype).astype(np.float64)
    columns = (Column("a", "boolean"), Column("b", "category", ("0", "1.0")))
    assert refused(Matrix(values), (Column("a"), Column("b", "date")))["column"] == "b"
    assert same(Matrix(values).features(AB), [[0, 1], [1, 0]])
    assert same(Matrix(values).features(columns), [[0, 1], [1, 0]])
    assert refused(Matrix(values[:0]), AB)["got"] == "none"
    assert refused(Matrix(values), [Column("a")])["got"] == "2 values"


def test_a_request_is_left_as_it_came() -> None:
    values = np.array([[1.0, nan]])
    rows = Matrix(values)
    rows.features(AB)
    rows.features((Column("a"), Column("b", "category", ("1",))))
    assert np.array_equal(values, [[1, nan]], equal_nan=True)
    given = records(ROWS)
    assert same(Records(given).features(COLUMNS), CODED)
    assert given == records(ROWS)
    decoded = decode(WHOLE["json lists"][0], JSON)
    assert same(decoded.features(COLUMNS), CODED)
    assert same(decoded.features(COLUMNS), CODED)
