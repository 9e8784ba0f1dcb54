"""Errors of AWS as messages; ``tests/experiments/actions/test_remote_account.py`` has them as users see them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from experiments.aws.account import AccessDenied, Account, aws_errors, error_code, find_account
from experiments.errors import BackendUnavailable, ConfigError


def refusal(code: str, message: str = "no reason") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (refusal("ExpiredToken"), BackendUnavailable, "the AWS credentials have expired. Renew them"),
        (refusal("InvalidClientTokenId"), BackendUnavailable, "AWS rejects these credentials (InvalidClientTokenId)."),
        (
            refusal("403"),
            AccessDenied,
            "AWS does not let you write x: the credentials need the IAM action s3:PutObject.",
        ),
        (
            refusal("AccessDenied", "User u is not authorized to perform: kms:Decrypt on resource r"),
            AccessDenied,
            "the credentials need the IAM action kms:Decrypt.",
        ),
        (refusal("SlowDown"), BackendUnavailable, "AWS refused to write x: no reason (SlowDown)."),
        (
            refusal("ValidationException", "Could not assume role r."),
            BackendUnavailable,
            "docs/aws.md has the commands that create the role.",
        ),
        (EndpointConnectionError(endpoint_url="http://x"), BackendUnavailable, "AWS could not be reached to write x: "),
        (ParamValidationError(report="Invalid type\n for key"), ConfigError, "the request to write x is invalid: "),
    ],
)
def test_an_error_of_aws_is_one_message(error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as raised, aws_errors("s3:PutObject", "write x"):
        raise error
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_code_of_a_refusal_is_kept() -> None:
    with pytest.raises(BackendUnavailable) as raised, aws_errors("s3:GetObject", "read x"):
        raise refusal("NoSuchKey")
    assert error_code(raised.value) == "NoSuchKey"
    assert error_code(ValueError()) is None


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.mark.usefixtures("no_settings")
def test_the_region_is_configured_or_from_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable, match=r"no AWS region is set: add mode\.region=<region>"):
        find_account(None, None)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert find_account(None, None) == Account("eu-west-1")
    assert find_account("us-east-1", None) == Account("us-east-1")


@pytest.mark.usefixtures("no_settings")
def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"mode\.profile=other: ~/\.aws has no such profile\. It has: none\."):
        find_account("us-east-1", "other")
