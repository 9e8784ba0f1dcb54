"""One study begins in worker processes, continues in containers and on the double of AWS, and is killed in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT, QUICK, Ended, run_command
from tests.docs.markdown import blocks, steps
from tests.docs.shell import unlike
from tests.doubles.aws.double import Double
from tests.support.docker import left_behind, require_image
from tests.support.records import logged_runs, recorded_trials

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(1200),
]
README = PROJECT / "README.md"
SEARCH = ("search.startup_trials=2", "search.window=2", *QUICK)


def killed(point: str, *arguments: str) -> None:
    ended = run_command(*arguments, BYOE_KILL_AT=point)
    assert ended.code == -signal.SIGKILL, (point, ended.err)


def test_one_study_in_three_places_has_one_history(
    project: Path, tmp_path: Path, byoe: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = require_image().tag
    before = left_behind()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    assert byoe("mode=local", "study=whole", "search.n_trials=6", *SEARCH).code == 0
    local = ("mode=local", "study=mine", "search.n_trials=2", *SEARCH)
    killed("trial_recorded", *local)
    assert byoe(*local).code == 0
    containers = ("mode=sagemaker", "study=mine", "search.n_trials=4", *SEARCH)
    for point in ("trained_again", "spot_checked", "trial_finished"):
        killed(point, *containers)
    ended = byoe(*containers)
    assert ended.code == 0, ended.err
    assert left_behind() == before
    with Double(tmp_path / "aws", image=image) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        remote = (
            *("mode=remote", "search.engine=optuna", "study=mine", "search.n_trials=6", *SEARCH),
            *(
                f"mode.role={double.role}",
                f"mode.bucket={double.bucket}",
                "mode.poll_seconds=0.1",
                "mode.isolated=true",
            ),
            *(f"mode.image.uri={double.put_image('byoe', '1')}", "mode.price_usd_per_hour=0.1"),
        )
        for point in ("launched", "spot_checked", "launched", "trial_recorded"):
            killed(point, *remote, "mode.budget_usd=1")
        ended = byoe(*remote)
        assert ended.code == 0, ended.err
        names = [request["TrainingJobName"] for request in double.calls("CreateTrainingJob")]
    assert len(set(names)) == len(names)
    trials, whole = (recorded_trials(project, study) for study in ("mine", "whole"))
    assert [(one["index"], one["params"], one["metrics"]) for one in trials] == [
        (one["index"], one["params"], one["metrics"]) for one in whole
    ]
    assert [one["info"]["place"] for one in trials] == ["local"] * 2 + ["sagemaker"] * 2 + ["remote"] * 2
    runs = [run for run in logged_runs(project, "byoe-diabetes", "trial") if run.data.tags["byoe.study"] == "mine"]
    assert sorted(run.data.tags["byoe.mode"] for run in runs) == sorted(one["info"]["place"] for one in trials)
    compared = byoe("action=compare", "compare.studies=[mine]")
    assert compared.code == 0, compared.err
    assert "parity: PASS (2 of 2 trials equal)\n  equal to the bit: 2 of 2" in compared.out
    shown = [step for block in blocks(README) if block.language == "console" for step in steps(block)]
    shown = [step for step in shown if "study=mine" in step.command or "studies=[mine]" in step.command]
    own = [{argument for argument in command if "n_trials" not in argument} for command in (local, containers, remote)]
    for step, arguments in zip(shown[:3], own, strict=True):
        typed = [word for word in step.command.split()[2:] if "n_trials" not in word and "budget" not in word]
        assert set(typed) <= arguments
    assert unlike(shown[3].output, compared.out) is None
    assert left_behind() == before
