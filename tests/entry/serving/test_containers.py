"""The inference script under the contract of AWS's SKLearn container; ``containers.py`` says where that is from."""

from __future__ import annotations

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
