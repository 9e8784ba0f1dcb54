"""Logs in CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from experiments.aws.account import Account
from experiments.aws.logs import log_lines

GROUP = "/aws/sagemaker/TrainingJobs"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # moto's own


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Account("us-east-1")


def test_the_lines_of_a_log_are_read(account: Account) -> None:
    logs, now = account.client("logs"), round(time.time() * 1000)
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="mine-001/algo-1")
    events = [{"timestamp": now + at, "message": text} for at, text in enumerate(["began", "ended"])]
    logs.put_log_events(logGroupName=GROUP, logStreamName="mine-001/algo-1", logEvents=events)
    assert list(log_lines(account, GROUP, "mine-001/")) == ["began", "ended"]


def test_a_log_that_does_not_exist_has_no_lines(account: Account) -> None:
    assert list(log_lines(account, GROUP, "mine-001/")) == []


def test_a_log_that_may_not_be_read_is_the_reason(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "FilterLogEvents")

    monkeypatch.setattr(account.client("logs"), "get_paginator", denied)
    (line,) = log_lines(account, GROUP)
    assert "the credentials need the IAM action logs:FilterLogEvents" in line
