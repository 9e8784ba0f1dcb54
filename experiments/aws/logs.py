"""The logs of jobs and endpoints in CloudWatch."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.aws.account import AccessDenied, Account, aws_errors


def log_lines(account: Account, group: str, stream_prefix: str = "") -> Iterator[str]:
    """Yield the lines of a log group: none if the group does not exist, the reason if access is denied."""
    from botocore.exceptions import ClientError

    where = {"logGroupName": group} | ({"logStreamNamePrefix": stream_prefix} if stream_prefix else {})
    try:
        with aws_errors("logs:FilterLogEvents", "read its log"):
            try:
                for page in account.client("logs").get_paginator("filter_log_events").paginate(**where):
                    yield from (event["message"] for event in page["events"])
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
    except AccessDenied as denied:
        yield str(denied)
