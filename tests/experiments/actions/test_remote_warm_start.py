"""``mode.warm_start``, with ``experiments/aws/warm_start.py``: a parent that does not fit is refused, with the difference."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import Refusal
from tests.doubles.aws.records import TuningJob
from tests.doubles.aws.resident import Resident
from tests.experiments.actions.test_remote import arguments, created, opened
from tests.support.records import recorded_trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(300),
]
Run = Callable[..., Ended]
Job = dict[str, Any]


@pytest.fixture
def double(project: Path, tmp_path: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with opened(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        yield double


@pytest.fixture
def request_of(double: Double, byoe: Run) -> Job:
    """Return the request of the search, without a parent."""
    document: Job = json.loads(byoe(*arguments(double, "action=plan")).out)["CreateHyperParameterTuningJob"][0]
    return document


def run(double: Double, document: Job, name: str = "before") -> TuningJob:
    """Run a tuning job to its end, at once, because its jobs do not find their code."""
    double.client("sagemaker").create_hyper_parameter_tuning_job(**{**document, "HyperParameterTuningJobName": name})
    return double.wait_for_tuning(name)


def test_a_search_learns_from_one_that_has_ended(project: Path, double: Double, byoe: Run, request_of: Job) -> None:
    run(double, request_of)
    # AMT allows fixed parameters to become tuned, tuned ones to become fixed, and ranges to change.
    ended = byoe(
        *arguments(double, "mode.warm_start=[before]", "mode.budget_usd=2", "search.n_trials=1"),
        "ensemble.params.xgboost.max_depth=3",
        "search.space.xgboost.num_round={low: 2, high: 6}",
    )
    assert ended.code == 0, ended.err
    (document, other) = double.calls("CreateHyperParameterTuningJob")
    assert "WarmStartConfig" not in document
    assert other["WarmStartConfig"]["ParentHyperParameterTuningJobs"] == [{"HyperParameterTuningJobName": "before"}]
    assert [trial["state"] for trial in recorded_trials(project, "cloud")] == ["complete"]


def fixed(document: Job) -> dict[str, str]:
    found: dict[str, str] = document["TrainingJobDefinition"]["StaticHyperParameters"]
    return found


def tuned(document: Job, kind: str) -> list[Job]:
    found: list[Job] = document["HyperParameterTuningJobConfig"]["ParameterRanges"].setdefault(kind, [])
    return found


def of_other_names(document: Job) -> None:
    fixed(document)["ridge__alpha"] = "1"
    tuned(document, "ContinuousParameterRanges").append({"Name": "xgboost__gamma", "MinValue": "0", "MaxValue": "1"})
    del fixed(document)["seed"]


def test_a_parent_with_other_hyperparameters_is_refused_with_the_difference(
    double: Double, byoe: Run, request_of: Job
) -> None:
    document = copy.deepcopy(request_of)
    of_other_names(document)
    run(double, document)
    before = created(double)
    ended = byoe(*arguments(double, "mode.warm_start=[before]", "mode.budget_usd=2"))
    assert ended.code == 2
    assert "Traceback" not in ended.err
    fragments = [
        "mode.warm_start=before: ",
        "\n  only in before: ridge__alpha, xgboost__gamma\n",
        "\n  only here: seed\n",
        "ensemble.params and search.space",
        "leave before out",
    ]
    assert [text for text in fragments if text not in ended.err] == [], ended.err
    assert created(double) == before
    assert "Contents" not in double.client("s3").list_objects_v2(Bucket=double.bucket)


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ("none", ["mode.warm_start=none: there is no such tuning job in us-east-1", "mode=remote action=status"]),
        ("running", ["mode.warm_start=running: it is InProgress", "mode=remote action=attach job=running"]),
    ],
)
def test_a_parent_that_does_not_exist_or_still_runs_is_refused(
    given: str, fragments: list[str], double: Double, byoe: Run, request_of: Job
) -> None:
    running = run(double, request_of, "running")
    with double.state.changed:
        running.status = "InProgress"
    before = created(double)
    ended = byoe(*arguments(double, f"mode.warm_start=[{given}]", "mode.budget_usd=2"))
    assert ended.code == 2
    assert [text for text in fragments if text not in ended.err] == [], ended.err
    assert created(double) == before
    assert "Contents" not in double.client("s3").list_objects_v2(Bucket=double.bucket)


def test_a_rule_that_aws_checks_is_answered_by_aws(double: Double, byoe: Run, request_of: Job) -> None:
    run(double, request_of)
    answer = "The objective of parent and current tuning job differ."
    double.inject(Refusal("CreateHyperParameterTuningJob", "ValidationException", answer))
    ended = byoe(*arguments(double, "mode.warm_start=[before]", "mode.budget_usd=2"))
    assert ended.code == 2
    assert f"AWS refused to start the job: {answer} (ValidationException)." in ended.err
