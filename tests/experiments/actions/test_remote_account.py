"""The user's AWS settings, credentials and role: whatever is wrong with them is one message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import QUICK, Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import Expiry, Refusal
from tests.experiments.actions.test_remote import arguments, created, opened

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(120),
]
Run = Callable[..., Ended]
STATUS = ("mode=remote", "action=status")
SIGN_ON = """\
[profile signed]
sso_session = company
sso_account_id = 123456789012
sso_role_name = data
region = us-east-1
[sso-session company]
sso_start_url = https://company.awsapps.com/start
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""


@pytest.fixture
def double(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with opened(Double(tmp_path / "aws"), monkeypatch) as double:
        yield double


def denied_by(operation: str, code: str, action: str) -> Refusal:
    """Return a refusal that names a different action than the requested one."""
    message = f"User: arn:aws:iam::123456789012:user/u is not authorized to perform: {action} on resource: r because no"
    return Refusal(operation, code, message, times=None)


@pytest.mark.parametrize(
    ("fault", "action"),
    [
        (denied_by("CreateHyperParameterTuningJob", "AccessDeniedException", "iam:PassRole"), "iam:PassRole"),
        (denied_by("PutObject", "AccessDeniedException", "kms:GenerateDataKey"), "kms:GenerateDataKey"),
    ],
    ids=["role", "key"],
)
def test_the_action_that_aws_names_is_the_one_that_is_missing(
    fault: Refusal, action: str, double: Double, byoe: Run
) -> None:
    double.inject(fault)
    ended = byoe(*arguments(double, "mode.budget_usd=2"))
    assert ended.code == 2
    assert f"the credentials need the IAM action {action}." in ended.err


@pytest.mark.parametrize("operation", ["HeadObject", "HeadBucket"])
def test_credentials_that_expire_before_a_head_request_are_reported_as_expired(
    operation: str, double: Double, byoe: Run
) -> None:
    double.inject(Expiry(operation))
    ended = byoe(*arguments(double, "mode.budget_usd=2"))
    assert ended.code == 2
    assert "the AWS credentials have expired. Renew them" in ended.err
    assert created(double) == []


@pytest.mark.parametrize(
    ("variables", "config", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": None}, "", "there are no AWS credentials: Partial credentials found in env"),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "[default]\ncredential_process = /bin/false\n",
            "the AWS credentials could not be obtained: Error when retrieving credentials from custom-process",
        ),
        ({}, "no file of settings", "the AWS settings cannot be used: Unable to parse config file: "),
        ({"AWS_DEFAULT_REGION": "eu west"}, "", "the AWS settings cannot be used: Provided region_name 'eu west'"),
        ({"AWS_ENDPOINT_URL": "foo"}, "", "the AWS settings cannot be used: Invalid endpoint: foo."),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_PROFILE": "signed"},
            SIGN_ON,
            "Run `aws sso login`, with --profile <name> if mode.profile or AWS_PROFILE is set.",
        ),
    ],
    ids=["no secret", "process", "no settings", "region", "address", "sign-on"],
)
def test_unusable_settings_are_one_message(
    variables: dict[str, str | None],
    config: str,
    message: str,
    double: Double,
    byoe: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "config").write_text(config)
    for name, value in {"AWS_CONFIG_FILE": str(tmp_path / "config"), **variables}.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    ended = byoe(*STATUS)
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) == 1
    ended = byoe("mode=remote", "action=plan", *QUICK)
    assert "Traceback" not in ended.err
    assert ended.code == (2 if "region" in message else 0), ended.err  # a region is in the request


def test_an_invalid_name_is_not_reported_as_a_network_fault(double: Double, byoe: Run) -> None:
    ended = byoe("mode=remote", "action=attach", "job=")
    assert ended.code == 2
    assert "could not be reached" not in ended.err


@pytest.mark.parametrize("action", ["status", "clean"])
def test_the_prefix_is_never_the_whole_bucket(action: str, double: Double, byoe: Run) -> None:
    ended = byoe("mode=remote", f"action={action}", f"mode.bucket={double.bucket}", "mode.prefix=")
    assert ended.code == 2
    assert "mode.prefix is empty" in ended.err
    if action == "clean":
        ended = byoe("mode=remote", "action=clean", f"mode.bucket={double.bucket}", "mode.prefix=team/byoe")
        assert f"To remove them: aws s3 rm --recursive s3://{double.bucket}/team/byoe/" in ended.out


def test_a_single_training_cannot_be_warm_started(double: Double, byoe: Run) -> None:
    ended = byoe(*arguments(double, "action=train", "mode.budget_usd=2", "mode.warm_start=[before]"))
    assert ended.code == 2
    assert "mode.warm_start=before is for a search, and action=train is not one" in ended.err
    assert created(double) == []
