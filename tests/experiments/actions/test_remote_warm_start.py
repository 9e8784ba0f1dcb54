"""``mode.warm_start``: what AMT would not learn from is refused, with the difference, before anything is sent."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import denied
from tests.doubles.aws.records import TuningJob
from tests.doubles.aws.resident import Resident
from tests.experiments.actions.test_remote import created, opened, words
from tests.support.records import recorded_trials

pytestmark = [
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
    """The request of the search that is to learn, as it is without a parent."""
    document: Job = json.loads(byoe(*words(double, "action=plan")).out)["CreateHyperParameterTuningJob"][0]
    return document


def run(double: Double, document: Job, name: str = "before") -> TuningJob:
    """Run a tuning job to its end, which comes at once: its jobs do not find their code."""
    double.client("sagemaker").create_hyper_parameter_tuning_job(**{**document, "HyperParameterTuningJobName": name})
    return double.wait_for_tuning(name)


def test_a_search_learns_from_one_that_has_ended(project: Path, double: Double, byoe: Run, request_of: Job) -> None:
    run(double, request_of)
    # What was tuned is fixed, what was fixed is tuned, and ranges are others: all of that AMT takes.
    ended = byoe(
        *words(double, "mode.warm_start=[before]", "mode.budget_usd=2", "search.n_trials=1"),
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


def of_another_kind(document: Job) -> None:
    ranges = tuned(document, "IntegerParameterRanges")
    (depth,) = [entry for entry in ranges if entry["Name"] == "xgboost__max_depth"]
    ranges.remove(depth)
    tuned(document, "ContinuousParameterRanges").append(depth)


def of_another_objective(document: Job) -> None:
    objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    objective["MetricName"] = "cv_rmse_xgboost"


def of_values(count: int) -> Callable[[Job], None]:
    """Return what makes a hyperparameter, which is fixed in the search, one of so many values."""

    def change(document: Job) -> None:
        del fixed(document)["final"]
        values = [f"value {number}" for number in range(count)]
        tuned(document, "CategoricalParameterRanges").append({"Name": "final", "Values": values})

    return change


def of_other_texts(document: Job) -> None:
    for name in ("blend", "final", "folds_k", "members", "objective", "seed"):
        fixed(document)[name] += "1"


REFUSED: dict[str, tuple[Callable[[Job], None], list[str]]] = {
    "names": (
        of_other_names,
        [
            "\n  only in before: ridge__alpha, xgboost__gamma\n",
            "\n  only here: seed\n",
            "ensemble.params and search.space",
        ],
    ),
    "kind": (of_another_kind, ["\n  of another kind: xgboost__max_depth, continuous in before and integer here\n"]),
    "objective": (
        of_another_objective,
        ["its objective is cv_rmse_xgboost, and here it is cv_rmse_blended", "search.objective=cv_rmse_xgboost"],
    ),
    "changes": (of_values(11), ["tuned there and fixed here: final", "These are 11 changes, and AMT takes 10"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_parent_of_another_search_is_refused_with_the_difference(
    case: str, double: Double, byoe: Run, request_of: Job
) -> None:
    change, fragments = REFUSED[case]
    document = copy.deepcopy(request_of)
    change(document)
    run(double, document)
    before = created(double)
    learning = words(double, "mode.warm_start=[before]", "mode.budget_usd=2")
    ended = byoe(*learning)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    missing = [text for text in ["mode.warm_start=before: ", *fragments, "leave before out"] if text not in ended.err]
    assert missing == [], ended.err
    assert created(double) == before
    assert "Contents" not in double.client("s3").list_objects_v2(Bucket=double.bucket)


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ("none", ["mode.warm_start=none: there is no such tuning job in us-east-1", "action=status lists ours"]),
        ("running", ["mode.warm_start=running: it is InProgress", "mode=remote action=attach job=running"]),
        ("large", ["749 training jobs of mode.warm_start and 3 new ones are 752", "750 in all: lower search.n_trials"]),
    ],
)
def test_a_parent_that_is_not_there_runs_or_is_too_large_is_refused(
    given: str, fragments: list[str], double: Double, byoe: Run, request_of: Job
) -> None:
    running, large = run(double, request_of, "running"), run(double, request_of, "large")
    with double.state.changed:
        running.status = "InProgress"
        large.trials = large.trials[:1] * 749
    before = created(double)
    ended = byoe(*words(double, f"mode.warm_start=[{given}]", "mode.budget_usd=2"))
    assert ended.code == 2
    assert [text for text in fragments if text not in ended.err] == [], ended.err
    assert created(double) == before
    assert "Contents" not in double.client("s3").list_objects_v2(Bucket=double.bucket)


def test_what_aws_may_yet_refuse_is_a_note(project: Path, double: Double, byoe: Run, request_of: Job) -> None:
    document = copy.deepcopy(request_of)
    of_other_texts(document)
    before = run(double, document)
    with double.state.changed:
        before.trials = before.trials[:1] * 749
    double.inject(denied("CreateHyperParameterTuningJob"))  # the rest is not asked for here
    ended = byoe(*words(double, "mode.warm_start=[before]", "mode.budget_usd=2", "search.sampler=random"))
    assert "the IAM action sagemaker:CreateHyperParameterTuningJob" in ended.err
    said = " ".join(ended.out.split())
    assert "mode.warm_start=before: AMT may count more than 10 changes; fixed to another value: blend, final" in said
    assert "and 3 new ones are 752; above 750 AWS must have raised the account's limit" in said
