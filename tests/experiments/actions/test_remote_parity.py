"""``mode=remote`` gives the trials, metrics and model of ``mode=sagemaker``, with the double's jobs in the same image."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.bundle import load_bundle
from ensemble.bundle_files import MANIFEST
from ensemble.channel import read_channel
from ensemble.parameters import encode
from tests.conftest import QUICK, Ended
from tests.doubles.aws.double import Double
from tests.support.docker import left_behind, require_image
from tests.support.records import recorded_trials

pytestmark = [
    pytest.mark.docker,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(600),
]
SEARCH = ("ensemble=pair", "ensemble.final_rows=train", "search.n_trials=2", *QUICK)
# All members of classes, with a multinomial blend, a temperature and a threshold.
CLASSES = (
    "dataset=cancer",
    "ensemble=wide",
    "ensemble.blend_over=trial",
    "ensemble.threshold=f1",
    "ensemble.class_weight=balanced",
    "ensemble.params.hist_gradient_boosting.max_iter=5",
    "ensemble.final_rows=train",
    "search.n_trials=2",
    *(argument for argument in QUICK if not argument.startswith("ensemble=")),
)


@pytest.mark.parametrize(
    "search", [pytest.param(SEARCH, id="quantity"), pytest.param(CLASSES, id="classes", marks=pytest.mark.slow)]
)
def test_mode_remote_gives_the_numbers_and_the_model_of_mode_sagemaker(
    search: tuple[str, ...], project: Path, tmp_path: Path, byoe: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = require_image().tag
    before = left_behind()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    ended = byoe("mode=sagemaker", "study=containers", *search)
    assert ended.code == 0, ended.err
    points = [
        {name: encode(value) for name, value in trial["params"].items()} for trial in trials(project, "containers")
    ]
    with Double(tmp_path / "aws", points, image=image) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        settings = [
            f"mode.role={double.role}",
            f"mode.bucket={double.bucket}",
            f"mode.image.uri={double.put_image('byoe', '1')}",
        ]
        # Containers of mode=sagemaker have no network either.
        settings += ["mode.isolated=true", "mode.poll_seconds=0.1", "mode.budget_usd=1"]
        ended = byoe("mode=remote", "study=cloud", *settings, *search)
        assert ended.code == 0, ended.err
        assert [job.status for job in double.jobs] == ["Completed"] * 2
    assert left_behind() == before
    assert trials(project, "cloud") == trials(project, "containers")
    assert metrics(project, "cloud") == metrics(project, "containers")
    assert model(project, "cloud") == model(project, "containers")


def trials(project: Path, study: str) -> list[dict[str, Any]]:
    """Return the parts of each trial that must be the same."""
    keys = ("index", "state", "params", "metrics")
    return [{key: trial[key] for key in keys} for trial in recorded_trials(project, study)]


def metrics(project: Path, study: str) -> dict[str, Any]:
    """Return the winner's ``metrics.json`` without durations, and without the threads, which affect only those."""
    content: dict[str, Any] = json.loads((project / "studies" / study / "final/output/data/metrics.json").read_text())
    return {key: value for key, value in content.items() if not key.endswith("_seconds") and key != "threads"}


def model(project: Path, study: str) -> tuple[dict[str, Any], bytes]:
    """Return the winner's manifest, and the bytes of every prediction of its members and the blend.

    CatBoost's files are not compared, because they contain the time of their training, nor those of skops, because they
    contain times and addresses of objects.
    """
    folder = project / "studies" / study / "final/model"
    manifest = json.loads((folder / MANIFEST).read_text())
    files = manifest["files"].items()
    manifest["files"] = {name: digest for name, digest in files if not name.endswith((".cbm", ".skops"))}
    ensemble = load_bundle(folder).ensemble
    predicted = []
    (channels,) = (project / "studies" / "_channels").iterdir()
    for channel in sorted(channels.iterdir()):
        features = read_channel(channel).features
        predicted += [ensemble.predict(features), ensemble.predict_members(features)]
    assert sum(map(len, predicted)) in (2 * 442, 2 * 569)
    return manifest, b"".join(np.ascontiguousarray(values).tobytes() for values in predicted)
