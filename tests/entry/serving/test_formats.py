"""Content types: how bodies of each type are read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ensemble.table import Column, numbers
from tests.entry.serving.answering import features_of, refusal_of
from tests.entry.serving.bodies import CODED, COLUMNS, CSV, JSON, LINES, NAMES, NPY, PARQUET, ROWS, WHOLE, json_body

every_body = pytest.mark.parametrize("name", WHOLE)


@every_body
def test_every_type_gives_the_same_features(name: str) -> None:
    body, kind = WHOLE[name]
    for given in (body, bytearray(body)):
        found = features_of(given, kind, COLUMNS)
        assert found.dtype == np.float64
        assert np.array_equal(found, CODED, equal_nan=True)


@pytest.mark.parametrize("name", [name for name, (_, kind) in WHOLE.items() if kind in (CSV, JSON, LINES)])
def test_text_that_is_decoded_already_is_taken(name: str) -> None:
    body, kind = WHOLE[name]
    assert np.array_equal(features_of(body.decode(), kind, COLUMNS), CODED, equal_nan=True)


@pytest.mark.parametrize("kind", [CSV, JSON, LINES, NPY, PARQUET])
def test_text_that_cannot_be_a_body_is_refused(kind: str) -> None:
    assert refusal_of("\ud800", kind, COLUMNS).status == 400
    assert refusal_of("size\n\udcff", kind, COLUMNS).status == 400


@every_body
@pytest.mark.parametrize(
    "written",
    ["{}; charset=utf-8", '{} ;Charset="UTF-8"', "{};", "{}; boundary; =; x=y=z", " {} ", "{};charset=utf-8;foo=bar"],
)
def test_parameters_that_mean_nothing_here_change_nothing(name: str, written: str) -> None:
    body, kind = WHOLE[name]
    for spelt in (kind, kind.upper(), kind.title()):
        assert np.array_equal(features_of(body, written.format(spelt), COLUMNS), CODED, equal_nan=True)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("application/jsonl", "json lines"),
        ("application/x-ndjson", "json lines of records"),
        ("application/parquet", "parquet"),
        ("application/vnd.apache.parquet", "parquet"),
    ],
)
def test_other_names_of_a_type_are_known(alias: str, name: str) -> None:
    assert np.array_equal(features_of(WHOLE[name][0], alias, COLUMNS), CODED, equal_nan=True)


@pytest.mark.parametrize(
    "kind",
    ["", ";", "text/html", "csv", "text/csv, application/json", "*/*", "text/*", "application/x-npz", "x" * 9_000],
)
def test_an_unknown_type_is_refused_with_those_that_are_known(kind: str) -> None:
    error = refusal_of(b"1", kind, COLUMNS)
    assert (error.status, error.details["error"]) == (415, "unsupported_content_type")
    assert error.details["expected"] == sorted([CSV, JSON, LINES, NPY, PARQUET])


@pytest.mark.parametrize("kind", [CSV, JSON, LINES, NPY, PARQUET])
@pytest.mark.parametrize("body", [b"", " ", b"\n\r\n", bytearray(b"\t"), "", "\n" * 100], ids=repr)
def test_an_empty_body_is_named(body: Any, kind: str) -> None:
    error = refusal_of(body, kind, COLUMNS)
    assert (error.status, error.details["message"]) == (400, "the body is empty.")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n\r\n", b"\r\n", b"\n\n\n"])
def test_a_mark_of_the_encoding_and_empty_lines_before_csv_are_skipped(mark: bytes) -> None:
    for name in ("csv", "csv with a header"):
        assert np.array_equal(features_of(mark + WHOLE[name][0], CSV, COLUMNS), CODED, equal_nan=True)
    assert np.array_equal(features_of(mark + b"1,2\n3,4", CSV, numbers("a", "b")), [[1, 2], [3, 4]])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1250"])
def test_text_in_another_encoding_is_refused_and_not_misread(encoding: str) -> None:
    try:
        body = "1,true,,Ó".encode(encoding)
    except UnicodeEncodeError:
        pytest.skip("it has no such letter")
    for kind, content in ((CSV, body), (JSON, f'[["{"Ó"}"]]'.encode(encoding))):
        assert refusal_of(content, kind, COLUMNS).status == 400
        refusal = refusal_of(content, f"{kind}; charset={encoding}", COLUMNS)
        assert (refusal.status, refusal.details["error"]) == (415, "unsupported_charset")


def test_the_last_value_of_a_repeated_name_in_json_counts_as_in_python() -> None:
    body = b'{"size": 1, "garden": true, "built": null, "town": "Oslo", "size": 2}'
    assert json.loads(body)["size"] == 2
    assert features_of(body, JSON, COLUMNS)[0, 0] == 2
    body = b'{"instances": [[1, true, null, "1"]], "instances": [[2, true, null, "1"]]}'
    assert features_of(body, JSON, COLUMNS)[0, 0] == 2


@pytest.mark.parametrize("depth", [500, 1_020, 5_000, 100_000])
@pytest.mark.parametrize("kind", [JSON, LINES])
@pytest.mark.parametrize(
    ("opening", "inside", "closing"),
    [
        ("[", "", ""),
        ("[", "", "]"),
        ('{"a":', "1", "}"),
        ('{"instances":', "[]", "}"),
        ('[{"size":', "1", "}]"),
        ("[", "1e999", "]"),
        ('[[["\\"', "", ""),
    ],
)
def test_deep_json_is_refused_and_does_not_end_the_process(
    depth: int, kind: str, opening: str, inside: str, closing: str
) -> None:
    assert refusal_of((opening * depth + inside + closing * depth).encode(), kind, COLUMNS).status == 400
    wrapped = '{"inputs": [[1, true, null, ' + opening * depth + inside + closing * depth + "]]}"
    assert refusal_of(wrapped.encode(), kind, COLUMNS).status == 400


@pytest.mark.parametrize(
    "body", ["null", "1", '"a"', "true", "{}", "[]", "[[]]", "[{}]", "[null]", "[[], []]", "[[[]]]"]
)
@pytest.mark.parametrize("wrapper", ["{}", '{{"instances": {}}}', '{{"dataframe_split": {}}}', '{{"inputs": {}}}'])
def test_documents_without_rows_are_refused(body: str, wrapper: str) -> None:
    details = refusal_of(wrapper.format(body).encode(), JSON, COLUMNS).details
    assert details["error"] == "rows_do_not_fit"
    if body == "[]" and "split" not in wrapper:
        assert details["message"] == "the request has no rows."


@pytest.mark.parametrize(
    "split",
    [
        {"columns": NAMES, "data": [[1, 2]]},
        {"columns": [*NAMES, 1], "data": ROWS},
        {"columns": "size", "data": ROWS},
        {"columns": NAMES, "data": None},
        {"columns": NAMES, "data": {"a": 1}},
        {"columns": NAMES, "data": [ROWS[0], None]},
        {"columns": [], "data": [[]]},
        {"columns": NAMES, "data": []},
        {"columns": NAMES},
        {"data": ROWS},
    ],
)
def test_a_split_document_that_does_not_add_up_is_refused(split: Any) -> None:
    assert refusal_of(json_body(split), JSON, COLUMNS).status == 400
    assert refusal_of(json_body({"dataframe_split": split}), JSON, COLUMNS).status == 400


def test_a_model_of_one_column_takes_a_plain_list_for_rows_and_another_for_one_row() -> None:
    assert features_of(b"[1, null, 3]", JSON, [Column("a")]).shape == (3, 1)
    assert features_of(b"[1, null, 3]", JSON, numbers("a", "b", "c")).shape == (1, 3)
    assert features_of(b"[[1], [2]]", JSON, [Column("a")]).shape == (2, 1)


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        ("text/csv; header=maybe", "maybe"),
        ("text/csv; header=", ""),
        ("text/csv; header=present; header=absent", "present, absent"),
        ("text/csv; charset=utf-8; charset=utf-16", "utf-8, utf-16"),
    ],
)
def test_a_parameter_that_is_unknown_or_has_two_values_is_refused(kind: str, got: str) -> None:
    columns = numbers("a", "b")
    assert refusal_of(b"1,2\n", kind, columns).details["got"] == got
    assert features_of(b"1,2\n", "text/csv; header=absent; Header=ABSENT", columns).tolist() == [[1, 2]]
