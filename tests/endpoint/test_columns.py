"""Rows are matched to the model's columns by name, and mistakes are named."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from ensemble.table import Column
from tests.endpoint.answer import Answer
from tests.endpoint.bodies import FORMS, text, write_csv, write_json
from tests.endpoint.target import Cells, Target

WRONG: dict[str, list[Any]] = {
    "number": ["red", "1,000", "1_000", True, [1.0], {"value": 1.0}, "2024-12-31"],
    "boolean": ["maybe", 7, 0.5, [True], {}],
    "date": ["yesterday", "2024-13-01", "31.12.2024", True, ["2024-12-31"]],
    "category": [["x"], {"x": "y"}],
}


def post(target: Target, document: Any) -> Answer:
    return target.post(json.dumps(document), "application/json")


def of_type(target: Target, kind: str) -> tuple[int, Column]:
    """Return a column of the type and its position."""
    for place, column in enumerate(target.columns):
        if column.type == kind:
            return place, column
    pytest.skip(f"this model has no column of type {kind}")


def split(cells: Cells, names: list[str], *columns: list[Any]) -> dict[str, Any]:
    return {"columns": names, "data": [list(row) for row in zip(*columns, strict=True)]}


def test_columns_by_name_come_in_any_order(target: Target) -> None:
    cells = target.more(5)
    turned = Cells(cells.columns[::-1], cells.values[::-1])
    expected = target.predict(cells)
    for form in ("csv with a header", "json records", "json split", "json columns", "npy with fields", "parquet"):
        assert target.post(FORMS[form].write(turned), FORMS[form].type).numbers() == expected, form


def test_columns_that_the_model_does_not_know_are_left_out(target: Target) -> None:
    cells = target.more(4)
    more = [{"id": 7, **record, "note": "a,b", target.manifest["target"]: None} for record in cells.records]
    expected = target.predict(cells)
    assert post(target, more).numbers() == expected
    lines = write_csv(cells, header=True).decode().splitlines()
    body = "\n".join([f"id,{lines[0]},note", *(f'7,{line},"a,b"' for line in lines[1:])])
    assert target.post(body.encode(), "text/csv").numbers() == expected


@pytest.mark.parametrize("form", ["csv with a header", "json records", "json split", "json columns", "parquet"])
def test_a_column_that_is_missing_is_named(form: str, target: Target) -> None:
    if len(target.columns) == 1:
        pytest.skip("this model has one column")
    cells = target.more(3)
    for place, column in enumerate(target.columns):
        fewer = Cells(
            cells.columns[:place] + cells.columns[place + 1 :], cells.values[:place] + cells.values[place + 1 :]
        )
        answer = target.post(FORMS[form].write(fewer), FORMS[form].type)
        if column.optional:
            empty = Cells(cells.columns, [*cells.values])
            empty.values[place] = [None] * 3
            assert answer.numbers() == target.predict(empty)
            continue
        answer.refused(400, error="rows_do_not_fit", column=column.name, expected=f"a {column.type}")


def test_a_value_that_one_record_lacks_is_named_with_its_row(target: Target) -> None:
    records = target.more(4).records
    name = next((column.name for column in target.columns if not column.optional), None)
    if name is None or len(target.columns) == 1:
        pytest.skip("this model may lack each of its columns")
    del records[2][name]
    details = post(target, records).refused(400, column=name, row=3)
    assert f"column {name!r} is missing in data row 3" in details["message"]


def test_a_misspelt_column_is_recognised(target: Target) -> None:
    name = next((column.name for column in target.columns if len(column.name) > 3), None)
    if name is None:
        pytest.skip("this model's names are too short to be misspelt")
    records = [{f"{key}x" if key == name else key: value for key, value in target.example.records[0].items()}]
    assert f"Did you mean {name + 'x'!r}?" in post(target, records).refused(400, column=name)["message"]


def test_a_repeated_column_is_refused(target: Target) -> None:
    cells = target.example
    name = target.columns[0].name
    twice = split(cells, [*cells.names, name], *cells.values, cells.values[0])
    post(target, twice).refused(400, error="rows_do_not_fit", column=name)
    lines = write_csv(cells, header=True).decode().splitlines()
    body = "\n".join([f"{lines[0]},{name}", *(f"{line}," for line in lines[1:])])
    target.post(body.encode(), "text/csv").refused(400, error="rows_do_not_fit", column=name)


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize(
    "form", ["csv without", "csv header=absent", "json lists", "json lines of lists", "npy of text"]
)
def test_a_row_of_the_wrong_width_is_refused_with_both_widths(form: str, change: int, target: Target) -> None:
    width = len(target.columns) + change
    if width == 0:
        pytest.skip("this model has one column")
    cells = target.more(3)
    columns = (*target.columns, Column("more"))[:width]
    wrong = Cells(columns, [*cells.values, ["0", "0", "0"]][:width])
    details = target.post(FORMS[form].write(wrong), FORMS[form].type).refused(400, error="rows_do_not_fit")
    assert details["got"].startswith(str(width))
    assert details["expected"].startswith(str(len(target.columns)))


def test_one_row_of_another_width_is_named(target: Target) -> None:
    rows = target.more(4).rows
    rows[2].append(1.0)
    post(target, rows).refused(400, error="rows_do_not_fit", row=3, got=f"{len(target.columns) + 1} values")
    lines = write_csv(target.more(4), header=True).decode().splitlines()
    lines[3] += ",1.0"
    target.post("\n".join(lines).encode(), "text/csv").refused(400, row=3)


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values], ids=str
)
@pytest.mark.parametrize("form", ["json lists", "json records", "json columns", "csv with a header"])
def test_a_value_of_the_wrong_type_is_named_with_its_column_and_row(
    form: str, kind: str, value: Any, target: Target
) -> None:
    place, column = of_type(target, kind)
    if form.startswith("csv") and (kind == "category" or not isinstance(value, str)):
        pytest.skip("in CSV this is text, and has its test as such")
    wrong = target.more(5).having(place, 3, value)
    details = target.post(FORMS[form].write(wrong), FORMS[form].type).refused(
        400, error="rows_do_not_fit", column=column.name, row=4
    )
    assert kind in details["expected"] or "true or false" in details["expected"]
    assert details["got"]
    assert repr(column.name) in details["message"]


def test_a_value_that_is_refused_is_not_repeated_at_length(target: Target) -> None:
    place, _ = of_type(target, "number")
    answer = post(target, target.example.having(place, 0, "long" * 5_000).rows)
    answer.refused(400)
    assert len(answer.body) < 1_000


@pytest.mark.parametrize("form", FORMS)
def test_any_column_may_have_gaps(form: str, target: Target) -> None:
    kind = FORMS[form]
    if kind.numbers_only and any(column.type != "number" for column in target.columns):
        pytest.skip("an array of numbers has no place for this model's columns")
    for place in range(len(target.columns)):
        cells = target.more(3).having(place, 1, None)
        found = target.post(kind.write(cells), kind.type).numbers()
        assert found == target.predict(cells)


def test_a_row_and_a_column_may_be_all_gaps(target: Target) -> None:
    empty = Cells(target.columns, [[None, None] for _ in target.columns])
    found = target.predict(empty)
    assert found[0] == found[1]
    for form in ("json records", "json columns", "parquet", "csv with a header", "npy with fields"):
        assert target.post(FORMS[form].write(empty), FORMS[form].type).numbers() == found, form


@pytest.mark.parametrize("value", ["", "NA", "nan", "NULL", "n/a"])
def test_values_that_are_missing_in_training_are_missing_here(value: str, target: Target) -> None:
    for place in range(len(target.columns)):
        cells = target.example.take(0)
        expected = target.predict(cells.having(place, 0, None))
        assert target.predict(cells.having(place, 0, value)) == expected
        body = write_csv(cells.having(place, 0, value), header=True)
        assert target.post(body, "text/csv").numbers() == expected


@pytest.mark.parametrize("value", ["never seen", "żółć ☃ 🙂", "0", "x" * 10_000, 3, 2.5, True])
def test_a_category_that_training_never_saw_is_missing(value: Any, target: Target) -> None:
    place, _ = of_type(target, "category")
    cells = target.example
    expected = target.predict(cells.having(place, 0, None))
    assert target.predict(cells.having(place, 0, value)) == expected
    body = write_csv(cells.having(place, 0, value), header=True)
    assert target.post(body, "text/csv").numbers() == expected


@pytest.mark.usefixtures("own_http")
def test_categories_that_training_never_saw_are_counted_in_a_header(target: Target) -> None:
    place, column = of_type(target, "category")
    cells = target.more(5)
    for row, value in enumerate(["never seen", column.levels[0], None, "x,y", "never seen"]):
        cells = cells.having(place, row, value)
    expected = f"unseen={quote(column.name, safe='')}:3"
    for form in ("csv with a header", "json records", "json split", "npy of text", "parquet"):
        headers = target.post(FORMS[form].write(cells), FORMS[form].type).headers
        assert headers["x-amzn-sagemaker-custom-attributes"] == expected, form
    known = cells.having(place, 0, None).having(place, 3, None).having(place, 4, None)
    assert "x-amzn-sagemaker-custom-attributes" not in target.post(write_csv(known, header=True), "text/csv").headers


@pytest.mark.usefixtures("own_http")
def test_columns_that_rows_lack_are_counted_in_a_header(target: Target) -> None:
    names = [column.name for column in target.columns if column.optional][: len(target.columns) - 1]
    if not names:
        pytest.skip("no column of this model may be left out")
    cells = target.more(3)
    for place, column in enumerate(cells.columns):
        if column.type == "category":
            cells.values[place][:] = [column.levels[0]] * 3
    records = cells.records
    for record in records[1:]:
        for name in names:
            del record[name]
    counts = ",".join(f"{quote(name, safe='')}:2" for name in names)
    headers = post(target, records).headers
    assert headers["x-amzn-sagemaker-custom-attributes"] == f"absent={counts}"[:1024]


def test_every_level_is_known_in_every_form(target: Target) -> None:
    place, column = of_type(target, "category")
    row = target.example.take(0)
    cells = Cells(
        row.columns,
        [list(column.levels) if at == place else values * len(column.levels) for at, values in enumerate(row.values)],
    )
    expected = target.predict(cells)
    for form in ("csv with a header", "json records", "npy of text", "parquet with types"):
        assert target.post(FORMS[form].write(cells), FORMS[form].type).numbers() == expected, form


@pytest.mark.parametrize("written", ["true", "TRUE", "True", "1", "1.0"])
def test_true_may_be_written_in_many_ways(written: str, target: Target) -> None:
    place, _ = of_type(target, "boolean")
    cells = target.example.take(0)
    expected = target.predict(cells.having(place, 0, True))
    assert target.post(write_csv(cells.having(place, 0, written), header=True), "text/csv").numbers() == expected
    assert target.predict(cells.having(place, 0, written)) == expected


@pytest.mark.parametrize("value", [1e31, -1e31, 1.7e308, 10**31, 10**400])
def test_numbers_beyond_the_range_of_libraries_are_refused(value: float, target: Target) -> None:
    place, column = of_type(target, "number")
    cells = target.more(4).having(place, 2, value)
    post(target, cells.rows).refused(400, column=column.name, row=3)
    target.post(write_csv(cells, header=True), "text/csv").refused(400, column=column.name, row=3)


def test_the_largest_number_is_accepted(target: Target) -> None:
    place, _ = of_type(target, "number")
    assert len(target.predict(target.example.having(place, 0, 1e30).having(place, 1, -1e30))) == len(target.predictions)


@pytest.mark.parametrize("written", ["inf", "-inf", "Infinity", "1e999"])
def test_infinite_numbers_are_refused_as_text(written: str, target: Target) -> None:
    place, column = of_type(target, "number")
    cells = target.more(3).having(place, 1, written)
    for form in ("csv with a header", "csv without", "npy of text"):
        target.post(FORMS[form].write(cells), FORMS[form].type).refused(400, column=column.name, row=2)


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_json_with_nan_is_refused(written: str, target: Target) -> None:
    place, _ = of_type(target, "number")
    body = write_json(target.example.having(place, 0, "HERE").rows).replace(b'"HERE"', written.encode())
    details = target.post(body, "application/json").refused(400)
    assert ("write null" in details["message"]) == (written == "NaN")


@pytest.mark.parametrize("form", ["npy with fields", "parquet"])
def test_infinite_numbers_are_refused_as_numbers(form: str, target: Target) -> None:
    place, column = of_type(target, "number")
    cells = target.more(3).having(place, 1, float("inf"))
    target.post(FORMS[form].write(cells), FORMS[form].type).refused(400, column=column.name, row=2)


def test_cells_may_be_blank_around_and_text_may_be_numbers(target: Target) -> None:
    place, _ = of_type(target, "number")
    cells = target.example
    value = cells.values[place][0]
    if value is None:
        pytest.skip("the example has a gap here")
    expected = target.predict(cells)
    assert target.predict(cells.having(place, 0, text(value))) == expected
    assert target.post(write_csv(cells.having(place, 0, f" {value} "), header=True), "text/csv").numbers() == expected
