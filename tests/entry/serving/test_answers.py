"""Answers: which type ``Accept`` chooses, and what is written, for numbers and for classes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.decision import Decision
from ensemble.errors import InputError
from ensemble.intervals import Intervals
from ensemble.serving.answers import choose, encode
from ensemble.serving.errors import RequestError
from ensemble.serving.prediction import Prediction
from ensemble.serving.selected import check_selected, interval_level, selected_keys
from tests.entry.serving.bodies import CSV, JSON, LINES, NPY
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("accept", "kind", "parameters"),
    [
        ("text/csv", CSV, {}),
        ("TEXT/CSV ; Detail=Members", CSV, {"detail": "members"}),
        ('application/jsonl; detail="members"; q=0.5', LINES, {"detail": "members", "q": "0.5"}),
        ("application/x-ndjson", LINES, {}),
        ("", JSON, {}),
        ("*/*", JSON, {}),
        ("application/*;detail=members", JSON, {"detail": "members"}),
        ("text/*", CSV, {}),
        ("text/csv;q=0.5, application/x-npy;q=0.6, */*;q=0.1", NPY, {"q": "0.6"}),
        ("text/csv;q=0.5, application/x-npy;q=0.5", CSV, {"q": "0.5"}),
        ("application/x-npy;q=0.5, text/csv;q=0.50", NPY, {"q": "0.5"}),
        ("text/html, image/png, text/csv;q=0.001", CSV, {"q": "0.001"}),
        ("text/csv;q=nonsense, application/json;q=0.1", JSON, {"q": "0.1"}),
        ("text/csv;q=nan, application/json;q=0.1", JSON, {"q": "0.1"}),
        ("text/csv;q=-1, application/json;q=0.1", JSON, {"q": "0.1"}),
        ("text/csv;q=, application/json;q=0.1", JSON, {"q": "0.1"}),
        ("text/csv;q=0.0, application/jsonlines", LINES, {}),
        (",,text/csv;q=2,", CSV, {"q": "2"}),
    ],
)
def test_the_type_with_the_highest_weight_is_chosen_with_its_parameters(
    accept: str, kind: str, parameters: dict[str, str]
) -> None:
    assert choose(accept) == (kind, parameters)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/x-parquet",
        "text/csv;q=0",
        "text/csv;q=x",
        "csv",
        "*",
        "image/*, x/y",
        "\0",
        "é" * 9_000,
    ],
)
def test_an_accept_header_without_a_known_type_gets_the_list_of_types(accept: str) -> None:
    with pytest.raises(RequestError) as error:
        choose(accept)
    assert error.value.status == 406
    assert error.value.details["expected"] == sorted([CSV, JSON, LINES, NPY])
    assert len(str(error.value)) < 2_000


PREDICTION = Prediction(np.array([0.1 + 0.2, -1e-300]), np.array([[1 / 3, 5e-324], [-0.0, 1e22]]), ["one", "two"])


@pytest.mark.parametrize("detail", ["", ";detail=blended", ";detail=members"])
@pytest.mark.parametrize("accept", [CSV, JSON, LINES, NPY])
def test_predictions_are_written_to_the_last_bit(accept: str, detail: str) -> None:
    body, kind = encode(PREDICTION, accept + detail)
    assert kind == accept
    whole = np.column_stack([PREDICTION.members, PREDICTION.blended])
    if kind == NPY:
        found = np.load(io.BytesIO(body), allow_pickle=False)
    elif kind == CSV:
        lines = body.decode().splitlines()
        found = np.array([[float(cell) for cell in line.split(",")] for line in lines[detail == ";detail=members" :]])
    else:
        documents = [json.loads(line) for line in body.splitlines()]
        if kind == JSON:
            (whole_document,) = documents
            columns = [*whole_document.get("members", {}).values(), whole_document["predictions"]]
            found = np.array(columns).T
        else:
            found = np.array([[*line.get("members", {}).values(), line["prediction"]] for line in documents])
    expected = whole if detail == ";detail=members" else PREDICTION.blended
    assert found.ravel().tobytes() == expected.ravel().tobytes()


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        (CSV, b"0.30000000000000004\n-1e-300\n"),
        (f"{CSV};detail=blended", b"0.30000000000000004\n-1e-300\n"),
        (
            f"{CSV};detail=members",
            b"one,two,blended\n0.3333333333333333,5e-324,0.30000000000000004\n-0.0,1e+22,-1e-300\n",
        ),
        (JSON, b'{"predictions":[0.30000000000000004,-1e-300]}'),
        (LINES, b'{"prediction":0.30000000000000004}\n{"prediction":-1e-300}\n'),
    ],
)
def test_the_bytes_of_numbers_are_these(accept: str, body: bytes) -> None:
    assert encode(PREDICTION, accept)[0] == body


# Three rows, two members; labels that CSV has to quote, and numbers as text.
LABELS = ("1,5", "no", 'say "so"')
BLENDED = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.1, 0.6, 0.3]])
MEMBERS = np.stack([BLENDED, BLENDED[:, ::-1]], axis=1)
CLASSES = Prediction(BLENDED, MEMBERS, ["one", "two"], classes=LABELS)
PREDICTED = ['say "so"', "1,5", "no"]


def rows_of(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


def test_classes_as_csv_are_labels_one_a_line() -> None:
    for detail in ("", ";detail=blended"):
        body, kind = encode(CLASSES, CSV + detail)
        assert kind == CSV
        assert rows_of(body) == [[label] for label in PREDICTED]


def test_classes_as_csv_have_a_column_a_class_if_requested() -> None:
    header, *rows = rows_of(encode(CLASSES, f"{CSV};detail=probabilities")[0])
    assert header == ["prediction", "probability_1,5", "probability_no", 'probability_say "so"']
    assert [row[0] for row in rows] == PREDICTED
    assert np.array([row[1:] for row in rows], dtype=np.float64).tobytes() == BLENDED.tobytes()


def test_classes_as_csv_have_a_column_a_member_and_class_if_requested() -> None:
    header, *rows = rows_of(encode(CLASSES, f"{CSV};detail=members")[0])
    assert header[:4] == ["prediction", "probability_1,5", "probability_no", 'probability_say "so"']
    assert header[4:] == [f"{name}__probability_{label}" for name in ("one", "two") for label in LABELS]
    found = np.array([row[1:] for row in rows], dtype=np.float64)
    assert np.array_equal(found, np.concatenate([BLENDED, MEMBERS.reshape(3, 6)], axis=1))


@pytest.mark.parametrize("detail", ["", ";detail=blended", ";detail=probabilities"])
def test_classes_as_json_have_label_probabilities_and_labels(detail: str) -> None:
    whole = {"predicted_label": PREDICTED, "probabilities": BLENDED.tolist(), "labels": list(LABELS)}
    assert json.loads(encode(CLASSES, JSON + detail)[0]) == whole
    found = [json.loads(line) for line in encode(CLASSES, LINES + detail)[0].splitlines()]
    assert found == [
        {"predicted_label": label, "probabilities": row, "labels": list(LABELS)}
        for label, row in zip(PREDICTED, BLENDED.tolist(), strict=True)
    ]


def test_classes_as_json_have_the_members_if_requested() -> None:
    found = json.loads(encode(CLASSES, f"{JSON};detail=members")[0])
    assert found["members"] == {"one": MEMBERS[:, 0].tolist(), "two": MEMBERS[:, 1].tolist()}
    assert found["predicted_label"] == PREDICTED
    lines = [json.loads(line) for line in encode(CLASSES, f"{LINES};detail=members")[0].splitlines()]
    assert [line["members"] for line in lines] == [
        {"one": one, "two": two} for one, two in zip(MEMBERS[:, 0].tolist(), MEMBERS[:, 1].tolist(), strict=True)
    ]


def test_classes_as_arrays_are_labels_or_probabilities() -> None:
    def loaded(detail: str) -> Any:
        return np.load(io.BytesIO(encode(CLASSES, NPY + detail)[0]), allow_pickle=False)

    assert loaded("").tolist() == loaded(";detail=blended").tolist() == PREDICTED
    assert np.array_equal(loaded(";detail=probabilities"), BLENDED)
    members = loaded(";detail=members")
    assert np.array_equal(members[:, :2], MEMBERS)
    assert np.array_equal(members[:, 2], BLENDED)


@given(
    labels=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=6, unique=True)
)
@examples(200)
def test_any_label_returns_as_it_is(labels: list[str]) -> None:
    share = np.full((len(labels), len(labels)), 0.5 / len(labels)) + 0.5 * np.eye(len(labels))
    found = Prediction(share, share[:, None], ["one"], classes=tuple(labels))
    plain = rows_of(encode(found, CSV)[0])
    assert plain == [[label] for label in labels]
    header, *rows = rows_of(encode(found, f"{CSV};detail=members")[0])
    assert header[1 : 1 + len(labels)] == [f"probability_{label}" for label in labels]
    assert [row[0] for row in rows] == labels
    assert json.loads(encode(found, JSON)[0])["predicted_label"] == labels
    assert [json.loads(line)["predicted_label"] for line in encode(found, LINES)[0].split(b"\n")[:-1]] == labels


def test_a_model_of_numbers_has_no_probabilities() -> None:
    with pytest.raises(RequestError) as error:
        encode(PREDICTION, f"{CSV};detail=probabilities")
    assert (error.value.status, error.value.details["error"]) == (406, "unknown_detail")
    assert error.value.details["expected"] == ["blended", "members", "interval", "explanation"]
    assert "predicts a number: use blended, members, interval or explanation." in error.value.details["message"]


@pytest.mark.parametrize("given", ["trees", "", "probability"])
def test_an_unknown_detail_is_refused_with_those_that_are_known(given: str) -> None:
    for prediction, known in (
        (PREDICTION, "blended, members, interval or explanation"),
        (CLASSES, "blended, probabilities, members, interval or explanation"),
    ):
        with pytest.raises(RequestError) as error:
            encode(prediction, f"{CSV};detail={given}")
        assert error.value.details["message"] == f"detail={given} is not known: use {known}."


INTERVALS = Intervals(np.array([0.5, 0.9]), np.array([0.25, 2.0]))
WIDE, SETS = (replace(found, features=np.zeros((3, 1)), intervals=INTERVALS) for found in (PREDICTION, CLASSES))


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        (f"{CSV};detail=interval", "prediction,lower,upper\n0.5,-1.5,2.5\n-1.0,-3.0,1.0\n"),
        (f"{CSV};detail=interval;level=0.5", "prediction,lower,upper\n0.5,0.25,0.75\n-1.0,-1.25,-0.75\n"),
        (f"{JSON};level=0.5", '{"predictions":[0.5,-1.0],"lower":[0.25,-1.25],"upper":[0.75,-0.75],"level":0.5}'),
        (
            f"{LINES};detail=interval",
            '{"prediction":0.5,"lower":-1.5,"upper":2.5}\n{"prediction":-1.0,"lower":-3.0,"upper":1.0}\n',
        ),
    ],
)
def test_an_interval_has_two_ends(accept: str, body: str) -> None:
    found = replace(WIDE, blended=np.array([0.5, -1.0]), features=np.zeros((2, 1)))
    assert encode(found, accept)[0].decode() == body
    array = np.load(io.BytesIO(encode(found, f"{NPY};detail=interval")[0]), allow_pickle=False)
    assert array.tolist() == [[0.5, -1.5, 2.5], [-1.0, -3.0, 1.0]]


def test_the_level_of_the_endpoint_holds_unless_a_request_has_its_own() -> None:
    level = interval_level({"BYOE_INTERVAL": "0.5"})
    assert level == 0.5
    assert interval_level({}) is None
    assert json.loads(encode(WIDE, JSON, level=level)[0])["level"] == 0.5
    assert json.loads(encode(WIDE, f"{JSON};detail=interval;level=0.9", level=level)[0])["level"] == 0.9
    assert "lower" not in json.loads(encode(WIDE, f"{JSON};detail=blended", level=level)[0])
    with pytest.raises(InputError, match="BYOE_INTERVAL="):
        interval_level({"BYOE_INTERVAL": "many"})


def test_a_set_has_labels() -> None:
    wanted = [["1,5", "no", 'say "so"'], ["1,5", "no", 'say "so"'], ["1,5", "no", 'say "so"']]
    found = json.loads(encode(SETS, f"{JSON};detail=interval")[0])
    assert (found["set"], found["level"], found["predicted_label"]) == (wanted, 0.9, PREDICTED)
    header, *rows = rows_of(encode(SETS, f"{CSV};detail=interval;level=0.5")[0])
    assert header == ["prediction", "set"]
    assert [(row[0], json.loads(row[1])) for row in rows] == [(label, [label]) for label in PREDICTED]
    assert [json.loads(line)["set"] for line in encode(SETS, f"{LINES};detail=interval")[0].splitlines()] == wanted
    array = np.load(io.BytesIO(encode(SETS, f"{NPY};level=0.5")[0]), allow_pickle=False)
    assert array.tolist() == np.eye(3)[SETS.positions].tolist()


@pytest.mark.parametrize(
    ("found", "parameters", "message"),
    [
        (PREDICTION, "detail=interval", "detail=interval: this model was saved without intervals. Train it again."),
        (WIDE, "detail=interval;level=many", "level=many: the level of an interval is a number above 0 and below 1."),
        (WIDE, "level=1", "level=1: the level of an interval is above 0 and below 1, such as 0.9."),
        (WIDE, "level=nan", "level=nan: the level of an interval is above 0 and below 1, such as 0.9."),
        (SETS, "level=0.95", "level=0.95: the training rows of this model allow a level up to 0.9."),
    ],
)
def test_a_level_that_a_model_does_not_have_is_refused(found: Prediction, parameters: str, message: str) -> None:
    for kind in (CSV, JSON, LINES, NPY):
        with pytest.raises(RequestError) as error:
            encode(found, f"{kind};{parameters}")
        assert (error.value.status, error.value.details["message"]) == (406, message)


def test_the_most_probable_class_is_predicted_and_the_first_of_equals() -> None:
    assert Decision().labels(np.array([[0.2, 0.4, 0.4], [0.1, 0.1, 0.8]])).tolist() == [1, 2]
    assert Decision(1).labels(np.array([[0.5, 0.5]])).tolist() == [0]


def test_of_two_classes_the_positive_one_is_predicted_from_the_threshold_on() -> None:
    rows = np.array([[0.7, 0.3], [0.71, 0.29], [0.2, 0.8]])
    assert Decision(1, 0.3).labels(rows).tolist() == [1, 0, 1]
    assert Decision(0, 0.71).labels(rows).tolist() == [1, 0, 1]
    found = Prediction(rows, rows[:, None], ["one"], classes=("no", "yes"), positive="yes", threshold=0.3)
    assert found.labels() == ["yes", "no", "yes"]
    assert found.take(slice(1, 3)).labels() == ["no", "yes"]


def selected(prediction: Prediction, accept: str, keys: str) -> bytes:
    return encode(prediction, accept, selected_keys({"SAGEMAKER_INFERENCE_OUTPUT": keys}))[0]


def test_keys_of_aws_select_what_an_answer_holds() -> None:
    keys = "predicted_label, Probability,probabilities,labels,raw_score,raw_scores"
    rows = [
        {
            "predicted_label": label,
            "probability": max(row),
            "probabilities": row,
            "labels": list(LABELS),
            "raw_score": max(row),
            "raw_scores": row,
        }
        for label, row in zip(PREDICTED, BLENDED.tolist(), strict=True)
    ]
    assert json.loads(selected(CLASSES, JSON, keys)) == {"predictions": rows}
    assert [json.loads(line) for line in selected(CLASSES, LINES, keys).splitlines()] == rows
    cells = rows_of(selected(CLASSES, CSV, keys))
    assert [row[0] for row in cells] == PREDICTED
    assert [float(row[1]) for row in cells] == [0.7, 0.5, 0.6]
    assert [json.loads(row[2]) for row in cells] == BLENDED.tolist()
    assert [json.loads(row[3]) for row in cells] == [list(LABELS)] * 3


def test_csv_has_the_keys_in_their_order_without_a_header() -> None:
    found = Prediction(np.array([[0.9, 0.1]]), np.array([[[0.9, 0.1]]]), ["one"], classes=("a", "b"), positive="b")
    assert selected(found, CSV, "probabilities,predicted_label") == b'"[0.9,0.1]",a\n'


def test_for_two_classes_the_probability_is_that_of_the_positive_one() -> None:
    rows = np.array([[0.9, 0.1], [0.3, 0.7]])
    for positive, column in (("a", 0), ("b", 1)):
        found = Prediction(rows, rows[:, None], ["one"], classes=("a", "b"), positive=positive)
        for key in ("probability", "raw_score"):
            document = json.loads(selected(found, JSON, key))
            assert document == {"predictions": [{key: value} for value in rows[:, column].tolist()]}


def test_a_number_is_the_predicted_score() -> None:
    assert selected(PREDICTION, CSV, "predicted_score") == b"0.30000000000000004\n-1e-300\n"
    rows = [{"predicted_score": value} for value in PREDICTION.blended.tolist()]
    assert json.loads(selected(PREDICTION, JSON, "predicted_score")) == {"predictions": rows}


def test_a_detail_in_the_header_counts_more_than_the_selection() -> None:
    for prediction, key in ((CLASSES, "predicted_label"), (PREDICTION, "predicted_score")):
        for kind in (CSV, JSON, LINES, NPY):
            accept = f"{kind};detail=blended"
            assert encode(prediction, accept, (key,)) == encode(prediction, accept)


def test_a_selection_is_not_written_as_an_array() -> None:
    with pytest.raises(RequestError) as error:
        selected(CLASSES, NPY, "predicted_label")
    assert error.value.status == 406
    assert error.value.details["expected"] == sorted([CSV, JSON, LINES])


@pytest.mark.parametrize(
    ("keys", "classes", "problem"),
    [
        ("predicted_lable", True, "Did you mean 'predicted_label'"),
        ("predicted_score", True, "predicts classes, and its answers have no 'predicted_score'"),
        ("probability,predicted_score", False, "predicts a number, and its answers have no 'probability'"),
        ("predicted_label,", True, "no ''"),
    ],
)
def test_a_key_that_the_answers_cannot_have_is_refused(keys: str, classes: bool, problem: str) -> None:
    found = selected_keys({"SAGEMAKER_INFERENCE_OUTPUT": keys})
    with pytest.raises(InputError, match=problem) as error:
        check_selected(found, classes, "SAGEMAKER_INFERENCE_OUTPUT")
    assert str(error.value).startswith(f"SAGEMAKER_INFERENCE_OUTPUT={keys}: ")


def test_without_the_variable_nothing_is_selected() -> None:
    assert selected_keys({}) == selected_keys({"SAGEMAKER_INFERENCE_OUTPUT": " "}) == ()
