"""The inference script under the real transformer of ``sagemaker-inference``, from a bundle alone."""

from __future__ import annotations

import csv
import importlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ensemble.bundle import save_bundle
from ensemble.errors import InputError
from ensemble.training import fit_ensemble
from tests.conftest import PROJECT
from tests.entry.conftest import make_table, quick_recipe
from tests.support.models import LABELS, save_model_of_classes, save_two_models

# Calls the toolkit's handler as the multi-model server does, and prints the answers for this test.
SERVER = """
import json, sys
folder = sys.argv[1]
sys.path.insert(0, f"{folder}/code")
from sagemaker_inference.transformer import Transformer

class Context:
    system_properties = {"model_dir": folder}
    status, kind = 200, None
    def __init__(self, headers):
        self.headers = headers
        self.request_processor = [self]
    def get_request_properties(self):
        return self.headers
    def set_response_status(self, code, phrase):
        self.status = code
    def set_response_content_type(self, place, kind):
        self.kind = kind

import ensemble
answers = [ensemble.__file__]
transformer = Transformer()
for kind, accept, body in json.loads(sys.stdin.read()):
    context = Context({"Content-Type": kind, "Accept": accept})
    (answer,) = transformer.transform([{"body": bytes.fromhex(body)}], context)
    text = answer.hex() if isinstance(answer, bytes) else answer.encode().hex()
    answers.append([context.status, context.kind, text])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    recipe, table = quick_recipe("xgboost", "ridge"), make_table()
    save_bundle(folder, recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    return folder


def transformed(bundle: Path, *requests: tuple[str, str, bytes]) -> tuple[str, list[tuple[int, str, bytes]]]:
    """Return the path of the imported ``ensemble``, and status, content type and body of each answer."""
    sent = json.dumps([[kind, accept, body.hex()] for kind, accept, body in requests])
    env = {"SAGEMAKER_PROGRAM": "inference.py", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", SERVER, str(bundle)],
        input=sent,
        env=env,
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    origin, *answers = json.loads(done.stdout)
    return origin, [(status, kind, bytes.fromhex(text)) for status, kind, text in answers]


def test_the_functions_work_unchanged_from_the_bundle_alone(bundle: Path) -> None:
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    rows = manifest["example"]["features"]
    lines = "\n".join(",".join("" if value is None else repr(value) for value in row) for row in rows).encode()
    document = json.dumps({"instances": rows}).encode()
    origin, answers = transformed(
        bundle,
        ("text/csv", "application/json", lines),
        ("application/json", "text/csv", document),
        ("application/json", "*/*", document),
    )
    assert origin.startswith(str(bundle / "code"))
    expected = manifest["example"]["predictions"]
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert json.loads(answers[0][2])["predictions"] == expected
    assert answers[1][1] == "text/csv"
    assert [float(line) for line in answers[1][2].split()] == expected
    assert json.loads(answers[2][2])["predictions"] == expected


def test_a_mistake_has_its_status_and_json(bundle: Path) -> None:
    _, answers = transformed(
        bundle,
        ("application/json", "application/json", b'{"instances": [["a"]]}'),
        ("text/html", "application/json", b"x"),
        ("application/json", "text/html", b'{"instances": [[1, 2, 3]]}'),
        ("application/json", "application/json", b"{"),
    )
    assert [status for status, _, _ in answers][:2] == [400, 415]
    assert answers[3][0] == 400
    for _, _, body in answers:
        document = json.loads(body.split(b"\n")[0])
        assert {"error", "message"} <= set(document)


def test_classes_are_answered_with_their_labels(tmp_path: Path) -> None:
    bundle = save_model_of_classes(tmp_path)
    rows = b"a,b\n0,0\n30,2\n59,3\n"
    _, answers = transformed(
        bundle, ("text/csv", "application/json", rows), ("text/csv", "text/csv; detail=probabilities", rows)
    )
    document = json.loads(answers[0][2])
    assert document["labels"] == sorted(LABELS)
    assert set(document["predicted_label"]) == set(LABELS)
    header, *lines = csv.reader(io.StringIO(answers[1][2].decode()))
    assert header == ["prediction", *(f"probability_{label}" for label in sorted(LABELS))]
    assert [line[0] for line in lines] == document["predicted_label"]
    assert [[float(cell) for cell in line[1:]] for line in lines] == document["probabilities"]


def test_the_environment_sets_the_interval_of_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "entry")
    inference = importlib.import_module("inference")
    model, _ = save_two_models(tmp_path)
    monkeypatch.setenv("BYOE_INTERVAL", "0.8")
    predictor = inference.model_fn(str(model))
    rows = inference.input_fn(b"a,b\n3,4\n", "text/csv")
    found = replace(inference.predict_fn(rows, predictor), level=0.8)
    lower, upper = (ends.tolist() for ends in found.bounds)
    answer = json.loads(inference.output_fn(inference.predict_fn(rows, predictor), "application/json")[0])
    assert answer == {"predictions": found.blended.tolist(), "lower": lower, "upper": upper, "level": 0.8}
    # Requests that are predicted together have the interval of each alone.
    _, second = inference.predict_many_fn([inference.input_fn(b"a,b\n50,1\n", "text/csv"), rows], predictor)
    assert json.loads(inference.output_fn(second, "application/json")[0]) == answer
    plain, _ = inference.output_fn(second, "text/csv; detail=blended")
    assert [float(plain)] == found.blended.tolist()
    monkeypatch.setenv("BYOE_INTERVAL", "0.99")
    with pytest.raises(InputError, match=r"BYOE_INTERVAL=0\.99: the training rows of this model allow a level up to"):
        inference.model_fn(str(model))
