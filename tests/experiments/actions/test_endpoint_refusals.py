"""Arguments about endpoints and files that are refused before anything runs, with ``serving.plan``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended
from tests.endpoint.choice import choose


@pytest.mark.parametrize("action", ["batch", "invoke"])
def test_predictions_do_not_overwrite_their_rows(action: str, folder: Path, byoe: Callable[..., Ended]) -> None:
    (folder / "rows.csv").write_text("a\n1\n")
    (folder / "link.csv").symlink_to("rows.csv")
    for output in ("rows.csv", "./rows.csv", "link.csv"):
        ended = byoe(f"action={action}", "endpoint=http://127.0.0.1:9", "input=rows.csv", f"output={output}")
        assert ended.code == 2
        assert f"output={output} is also the input: name another file" in ended.err
    assert (folder / "rows.csv").read_text() == "a\n1\n"


def test_status_of_an_endpoint_that_does_not_exist_is_refused(folder: Path, byoe: Callable[..., Ended]) -> None:
    assert byoe("action=status", "endpoint=nope").code == 2
    ended = byoe("action=status")
    assert ended.code == 0
    assert f"there is no endpoint in {folder / 'endpoints'}" in ended.out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("serving=realtime", "serving.memory_size_in_mb=2048"), "serverless"),
        (("serving=realtime", "serving.max_concurrency=5"), "serverless"),
        (("serving=serverless", "serving.instance_type=ml.m5.large"), "realtime"),
        (("serving=serverless", "serving.instance_count=2"), "realtime"),
    ],
)
def test_settings_of_the_other_kind_of_endpoint_are_refused(
    arguments: tuple[str, ...], kind: str, folder: Path, byoe: Callable[..., Ended]
) -> None:
    ended = byoe("mode=sagemaker", "action=deploy", *arguments)
    assert ended.code == 2
    assert f"{arguments[1].partition('=')[0]} is for serving={kind}: add serving={kind}, or leave " in ended.err


def test_deploying_in_mode_local_is_refused_with_the_typed_arguments(folder: Path, byoe: Callable[..., Ended]) -> None:
    ended = byoe("mode=local", "action=deploy", "model=mine", "endpoint=blue")
    assert ended.code == 2
    assert "python run.py mode=sagemaker action=deploy model=mine endpoint=blue" in ended.err


def test_an_address_whose_model_is_unknown_cannot_be_tested(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BYOE_MODEL_DIR", raising=False)
    monkeypatch.setenv("BYOE_ENDPOINTS", str(folder / "endpoints"))
    with pytest.raises(LookupError, match="BYOE_MODEL_DIR=<folder of its bundle> says so"):
        choose("http://127.0.0.1:5000")
    (folder / "endpoints/blue").mkdir(parents=True)
    record = {"url": "http://127.0.0.1:5000", "model_dir": "/models/blue"}
    (folder / "endpoints/blue/current.json").write_text(json.dumps(record))
    assert choose("http://127.0.0.1:5000/").model_dir == Path("/models/blue")
