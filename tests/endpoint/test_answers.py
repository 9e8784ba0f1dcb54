"""The predictions are those of the training run, in every content type of requests and answers."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from tests.endpoint.bodies import FORMS
from tests.endpoint.target import Target

OUT = ["text/csv", "application/json", "application/jsonlines", "application/x-npy"]


def test_the_example_gets_what_the_training_run_predicted(target: Target) -> None:
    target.check_example()


@pytest.mark.parametrize("accept", OUT)
@pytest.mark.parametrize("form", FORMS)
def test_every_type_in_and_out_gives_the_same_numbers(form: str, accept: str, target: Target) -> None:
    kind = FORMS[form]
    if kind.numbers_only and any(column.type in ("category", "date", "boolean") for column in target.columns):
        pytest.skip("an array of numbers has no place for this model's columns")
    cells = target.more(7)
    answer = target.post(kind.write(cells), kind.type, target.with_numbers(accept))
    assert answer.numbers() == target.predict(cells)
    assert answer.type == accept


@pytest.mark.parametrize("accept", OUT[:3])
def test_the_answer_has_every_member_if_requested(accept: str, target: Target) -> None:
    cells = target.more(6)
    body = FORMS["json lists"].write(cells)
    found = target.post(body, "application/json", f"{accept};detail=members").members()
    assert list(found) == [*target.members, "blended"]
    assert found["blended"] == target.predict(cells)
    assert found == target.post(body, "application/json", f"{accept}; Detail=Members").members()
    blend = target.manifest["blend"]
    if not any(blend.get(more) for more in ("intercept", "passed", "rule", "temperature")):
        columns = np.array([found[name] for name in target.members])
        np.testing.assert_allclose(np.tensordot(blend["weights"], columns, axes=1), found["blended"], rtol=1e-9)


def test_an_array_has_a_column_for_each_member_and_the_blend_last(target: Target) -> None:
    body = FORMS["json lists"].write(target.example)
    array = target.post(body, "application/json", "application/x-npy; detail=members").array()
    found = target.post(body, "application/json", "application/json; detail=members").members()
    assert np.swapaxes(array, 0, 1).tolist() == list(found.values())


def test_an_explanation_adds_up_to_the_prediction_and_is_the_same_in_every_batch(target: Target) -> None:
    cells = target.more(6)
    answer = target.post(json.dumps(cells.rows), "application/json", "application/json; detail=explanation")
    if answer.status == 406:  # a model of an earlier version, of which a member would be sampled
        answer.refused(406, error="no_explanation")
        return
    found = answer.json
    assert list(found["explanation"]) == [column.name for column in target.columns]
    sums = np.array(found["base"]) + np.sum(list(found["explanation"].values()), axis=0)
    predicted = target.predict(cells)
    if target.classes:
        places = [found["labels"].index(label) for label in found["explained_label"]]
        predicted = [row[place] for row, place in zip(predicted, places, strict=True)]
    np.testing.assert_allclose(sums, predicted, rtol=1e-9)
    array = target.post(
        json.dumps(cells.rows[-1:]), "application/json", "application/x-npy; detail=explanation"
    ).array()
    last = [found["base"][-1], *(parts[-1] for parts in found["explanation"].values()), predicted[-1]]
    assert array.tolist() == [last]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/csv;q=0.4, application/jsonlines;q=0.9", "application/jsonlines"),
        ("text/csv, application/json", "text/csv"),
        ("application/json;q=0, text/csv;q=0.1", "text/csv"),
        ("application/x-ndjson", "application/jsonlines"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv;detail=blended", "text/csv"),
    ],
)
def test_an_accepted_type_is_written(accept: str | None, kind: str, target: Target) -> None:
    answer = target.post(FORMS["json lists"].write(target.example), "application/json", accept)
    if target.classes:
        assert answer.labels() == target.post(json.dumps(target.example.rows), "application/json").labels()
    else:
        assert answer.numbers() == target.predict(target.example)
    assert answer.type == kind


@pytest.mark.parametrize(
    "accept",
    ["text/html", "image/*", "application/json;q=0", "text/csv;q=much", "application/x-parquet", "nonsense", ";;=,"],
)
def test_a_type_that_cannot_be_written_is_406(accept: str, target: Target) -> None:
    answer = target.post(FORMS["json lists"].write(target.example), "application/json", accept)
    if accept == ";;=,":  # no type at all, which accepts anything
        assert answer.status == 200
        return
    details = answer.refused(406, error="not_acceptable", got=accept)
    assert "text/csv" in details["expected"]


def test_an_unknown_detail_is_406(target: Target) -> None:
    answer = target.post(FORMS["json lists"].write(target.example), "application/json", "text/csv;detail=trees")
    known = ["blended", *(["probabilities"] if target.classes else []), "members", "interval", "explanation"]
    answer.refused(406, error="unknown_detail", got="trees", expected=known)


@pytest.mark.parametrize("accept", OUT)
def test_labels_are_those_of_the_training_rows_and_decided_by_the_probabilities(accept: str, target: Target) -> None:
    if not target.classes:
        answer = target.post(json.dumps(target.example.rows), "application/json", f"{accept}; detail=probabilities")
        answer.refused(406, error="unknown_detail", got="probabilities")
        return
    cells = target.more(50)
    labels = target.post(json.dumps(cells.rows), "application/json", accept).labels()
    whole = target.post(json.dumps(cells.rows), "application/json").json
    assert whole["labels"] == target.classes
    probabilities = np.array(whole["probabilities"])
    assert probabilities.shape == (50, len(target.classes))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-9)
    positive, threshold = target.manifest.get("positive"), target.manifest.get("threshold", 0.5)
    if positive is None or threshold == 0.5:
        assert labels == [target.classes[place] for place in probabilities.argmax(axis=1)]
    else:
        place = target.classes.index(positive)
        other = target.classes[1 - place]
        assert labels == [positive if value >= threshold else other for value in probabilities[:, place]]


@pytest.mark.parametrize("detail", ["probabilities", "members"])
def test_csv_has_a_column_for_each_class_if_requested(detail: str, target: Target) -> None:
    if not target.classes:
        pytest.skip("this model predicts a number")
    answer = target.post(json.dumps(target.example.rows), "application/json", f"text/csv; detail={detail}")
    (header, *_) = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    probabilities = [f"probability_{label}" for label in target.classes]
    assert header[: 1 + len(probabilities)] == ["prediction", *probabilities]
    if detail == "members":
        assert header[1 + len(probabilities) :] == [f"{m}__{name}" for m in target.members for name in probabilities]


@pytest.mark.parametrize("rows", [1, 2, 100, *(pytest.param(rows, marks=pytest.mark.full) for rows in (1_000, 10_000))])
@pytest.mark.parametrize("form", ["csv with a header", "json lists", "json lines of records", "parquet"])
def test_batches_of_any_size_give_each_row_its_own_number(form: str, rows: int, target: Target) -> None:
    cells = target.more(rows, seed=1)
    body = FORMS[form].write(cells)
    if len(body) > 3_000_000:
        pytest.skip("these rows are more than an endpoint takes at a time")
    found = target.post(body, FORMS[form].type).numbers()
    assert len(found) == rows
    some = sorted({0, rows // 3, rows // 2, rows - 1})
    assert [found[row] for row in some] == target.predict(cells.take(*some))


def test_rows_one_by_one_get_the_predictions_of_a_batch_bit_for_bit(target: Target) -> None:
    cells = target.more(100, seed=2)
    with target.connected() as connection:
        alone = [
            connection.post(json.dumps([row]), "application/json").numbers()[0]  # each in its own batch
            for row in cells.rows
        ]
    assert alone == target.predict(cells)


def test_one_row_may_come_without_a_list(target: Target) -> None:
    row = target.example.take(0)
    expected = target.predict(row)
    assert target.post(json.dumps(row.records[0]), "application/json").numbers() == expected
    assert target.post(json.dumps({"instances": row.records[0]}), "application/json").numbers() == expected
