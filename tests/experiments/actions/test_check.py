"""``mode=remote action=check`` on the double of AWS: the first run on an account, which CI repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.docker.image import configured_image
from tests.conftest import Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import JobFailure
from tests.doubles.aws.resident import Resident
from tests.support.account import in_account

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(300),
]
Run = Callable[..., Ended]


@pytest.fixture
def double(project: Path, tmp_path: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with in_account(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        mode = compose(["mode=remote", "mode.image.base=b"]).config.mode
        assert mode.account is not None
        double.put_image("byoe", configured_image(mode.account.image).version)  # test_push.py pushes it
        yield double


def arguments(double: Double, *more: str) -> list[str]:
    account = [f"mode.role={double.role}", f"mode.bucket={double.bucket}", "mode.image.base=b"]
    return ["mode=remote", "action=check", *account, "mode.poll_seconds=0.05", *more]


def is_clean(double: Double) -> bool:
    sagemaker = double.client("sagemaker")
    left = [
        *sagemaker.list_endpoints()["Endpoints"],
        *sagemaker.list_endpoint_configs()["EndpointConfigs"],
        *sagemaker.list_models()["Models"],
        *sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"],
    ]
    return left == []


@pytest.mark.slow
def test_a_check_passes_and_leaves_nothing_that_costs(double: Double, byoe: Run) -> None:
    ended = byoe(*arguments(double))
    assert ended.code == 0, ended.err + ended.out
    assert "PASS: the jobs, the image, the endpoint and the request work in this account." in ended.out
    assert "parity: PASS (2 of 2 trials equal)" in ended.out
    assert [job.status for job in double.jobs] == ["Completed"] * 2
    assert len(double.calls("InvokeEndpoint")) == 2  # the deployment's own test and the request
    assert is_clean(double)


@pytest.mark.slow
def test_a_check_that_fails_says_what_differs_and_cleans_up(double: Double, byoe: Run) -> None:
    double.inject(JobFailure(0, "AlgorithmError: broken"), JobFailure(1, "AlgorithmError: broken"))
    ended = byoe(*arguments(double))
    assert ended.code == 1
    assert "FAIL: two training jobs, as a tuning job: " in ended.out
    assert "AlgorithmError: broken" in ended.out
    assert double.calls("CreateEndpoint") == []
    assert is_clean(double)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["search.n_trials=9"], "action=check runs a study of its own, for at most 1 USD: omit search.n_trials=9"),
        (["mode.budget_usd=9"], "omit mode.budget_usd"),
        (["mode.role=null"], "mode.role is not set"),
    ],
)
def test_a_check_that_cannot_begin_starts_nothing(more: list[str], message: str, double: Double, byoe: Run) -> None:
    keys = {argument.partition("=")[0] for argument in more}
    ended = byoe(*(text for text in arguments(double) if text.partition("=")[0] not in keys), *more)
    assert ended.code == 2
    assert message in ended.err
    assert double.requests == []


def test_a_mode_without_an_account_is_refused(folder: Path, byoe: Run) -> None:
    ended = byoe("mode=local", "action=check")
    assert ended.code == 2
    assert "mode=local has no account to check: python run.py mode=remote action=check." in ended.err
