"""The inference script under the contract of AWS's SKLearn container; ``containers.py`` says where that is from."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ensemble.column_encoding import frame_of
from ensemble.serving.errors import RequestError
from ensemble.table import Column
from tests.entry.serving.bodies import CSV, JSON, LINES, NPY, PARQUET, WHOLE
from tests.entry.serving.containers import ClientError, Response, Transformer
from tests.support.models import LABELS, save_model_of_classes


@pytest.fixture
def script(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The inference script of the bundle, without the other toolkit imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "sagemaker_inference.errors", raising=False)
    spec = importlib.util.spec_from_file_location("inference_of_the_bundle", bundle / "code" / "inference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def transformer(script: ModuleType, bundle: Path) -> Transformer:
    found = Transformer(script)
    found.initialize(str(bundle))
    return found


def numbers(answer: Any) -> list[float]:
    """Return the predictions of an answer in any content type."""
    assert isinstance(answer, Response)
    assert isinstance(answer.response, bytes)
    if answer.mimetype == NPY:
        return list(np.load(io.BytesIO(answer.response), allow_pickle=False))
    if answer.mimetype == JSON:
        return list(json.loads(answer.response)["predictions"])
    if answer.mimetype == CSV:
        return [float(line) for line in answer.response.split()]
    return [json.loads(line)["prediction"] for line in answer.response.splitlines()]


@pytest.mark.parametrize("accept", [JSON, CSV, LINES, NPY])
@pytest.mark.parametrize("name", WHOLE)
def test_the_four_functions_answer_every_type_with_every_type(name: str, accept: str, transformer: Transformer) -> None:
    body, kind = WHOLE[name]
    found = transformer.transform(body, {"Content-Type": kind, "Accept": accept})
    assert found.mimetype == accept
    expected = transformer.transform(WHOLE["json lists"][0], {"Content-Type": JSON})
    assert numbers(found) == numbers(expected)
    assert len(set(numbers(found))) == 3


def test_the_predictions_are_the_training_runs(transformer: Transformer, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    columns = [Column.from_dict(column) for column in manifest["columns"]]
    features = np.array(manifest["example"]["features"], dtype=np.float64)
    body = frame_of(features, columns).to_csv(index=False).encode()
    found = transformer.transform(body, {"Content-Type": CSV})
    assert numbers(found) == manifest["example"]["predictions"]


@pytest.mark.parametrize(
    ("name", "kind", "arrives"),
    [
        ("csv", CSV, str),
        ("json lists", JSON, str),
        ("json lists", "", str),
        ("csv", f"{CSV}; charset=utf-8", bytes),
        ("json lists", f"{JSON};charset=utf-8", bytes),
        ("json lines", LINES, bytes),
        ("npy of text", NPY, bytes),
        ("parquet", PARQUET, bytes),
    ],
)
def test_text_arrives_decoded_where_the_type_is_that_and_nothing_more(
    name: str, kind: str, arrives: type, script: ModuleType, bundle: Path
) -> None:
    came = []
    read = script.input_fn
    script.input_fn = lambda body, content_type: came.append(type(body)) or read(body, content_type)  # type: ignore[attr-defined]
    transformer = Transformer(script)
    transformer.initialize(str(bundle))
    found = transformer.transform(WHOLE[name][0], {"Content-Type": kind})
    assert came == [arrives]
    assert numbers(found) == numbers(transformer.transform(WHOLE["json records"][0], {"ContentType": JSON}))


@pytest.mark.parametrize("accept", ["", "*/*"])
def test_a_client_that_accepts_anything_gets_json(accept: str, transformer: Transformer) -> None:
    found = transformer.transform(WHOLE["csv"][0], {"Content-Type": CSV, "Accept": accept})
    assert found.mimetype == JSON
    assert list(json.loads(found.response)) == ["predictions"]


@pytest.mark.parametrize(
    ("body", "headers", "error", "status"),
    [
        (b"<p>", {"Content-Type": "text/html"}, "unsupported_content_type", 415),
        (b"[[1, 2", {}, "unreadable", 400),
        (b'[["red", true, null, null]]', {}, "rows_do_not_fit", 400),
        (b"", {"Content-Type": CSV}, "rows_do_not_fit", 400),
        (b"\xff\xfe", {"Content-Type": f"{CSV};charset=utf-16"}, "unsupported_charset", 415),
        (WHOLE["csv"][0], {"Content-Type": CSV, "Accept": "text/html"}, "not_acceptable", 406),
        (WHOLE["csv"][0], {"Content-Type": CSV, "Accept": f"{CSV};detail=trees"}, "unknown_detail", 406),
    ],
)
def test_an_errors_text_there_is_the_json(
    body: bytes, headers: dict[str, str], error: str, status: int, transformer: Transformer
) -> None:
    with pytest.raises(ClientError) as raised:
        transformer.transform(body, headers)
    details = json.loads(str(raised.value))
    assert details["error"] == error
    assert details["message"]
    assert isinstance(raised.value.__cause__, RequestError)
    assert raised.value.__cause__.status == status


def test_bytes_that_are_not_text_are_replaced_and_answered(transformer: Transformer) -> None:
    body = b'[[1, true, null, "\xff"]]'
    with pytest.raises(ClientError):
        transformer.transform(body, {"Content-Type": f"{JSON};charset=utf-8"})
    unknown = transformer.transform(b"[[1, true, null, null]]", {})
    assert numbers(transformer.transform(body, {"Content-Type": JSON})) == numbers(unknown)


def test_a_model_that_cannot_be_loaded_says_so(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"is not a model bundle"):
        Transformer(script).initialize(str(tmp_path))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model_of_classes(tmp_path_factory.mktemp("classes"))


ROWS = b"a,b\n0,0\n30,2\n59,3\n"


def test_labels_of_classes_come_out_of_every_type(classes: Path, script: ModuleType) -> None:
    transformer = Transformer(script)
    transformer.initialize(str(classes))

    def answer(accept: str) -> Any:
        return transformer.transform(ROWS, {"Content-Type": CSV, "Accept": accept}).response

    document = json.loads(answer(JSON))
    assert document["labels"] == sorted(LABELS)
    assert document["predicted_label"] == list(
        np.array(document["labels"])[np.argmax(document["probabilities"], axis=1)]
    )
    assert set(document["predicted_label"]) == set(LABELS)
    assert [row[0] for row in csv.reader(io.StringIO(answer(CSV).decode()))] == document["predicted_label"]
    assert [json.loads(line)["predicted_label"] for line in answer(LINES).splitlines()] == document["predicted_label"]
    assert np.load(io.BytesIO(answer(NPY))).tolist() == document["predicted_label"]


def test_the_environment_selects_what_answers_hold(
    classes: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", "predicted_label,probability")
    transformer = Transformer(script)
    transformer.initialize(str(classes))
    (first, *_) = json.loads(transformer.transform(ROWS, {"Content-Type": CSV}).response)["predictions"]
    whole = json.loads(transformer.transform(ROWS, {"Content-Type": CSV, "Accept": f"{JSON};detail=blended"}).response)
    assert first == {"predicted_label": whole["predicted_label"][0], "probability": max(whole["probabilities"][0])}


def test_a_selection_that_the_model_does_not_have_ends_the_server_at_its_start(
    bundle: Path, classes: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, key in ((bundle, "probability"), (classes, "predicted_score")):
        monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", key)
        with pytest.raises(ClientError, match=f"SAGEMAKER_INFERENCE_OUTPUT={key}: the model predicts"):
            Transformer(script).initialize(str(folder))
