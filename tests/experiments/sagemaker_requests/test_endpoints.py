"""The requests that make an endpoint, as whole documents."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from experiments.sagemaker_requests.endpoints import Serving, endpoint_requests
from experiments.sagemaker_requests.validation import InvalidRequest, check_request
from tests.experiments.sagemaker_requests.test_jobs import check_snapshot

SERVING = Serving(
    name="blue",
    version="1a2b3c4d",
    image="000000000000.dkr.ecr.us-east-1.amazonaws.com/byoe:1",
    role="arn:aws:iam::000000000000:role/byoe",
    model="s3://bucket/model.tar.gz",
    environment={"SAGEMAKER_PROGRAM": "inference.py", "BYOE_MAX_BODY_BYTES": "4194304"},
    isolated=True,
    memory_size_in_mb=2048,
    max_concurrency=5,
    tags={"mode": "remote"},
)
REALTIME = dataclasses.replace(
    SERVING, memory_size_in_mb=None, max_concurrency=None, instance_type="ml.c6i.large", instance_count=2
)


def check_all(requests: dict[str, dict[str, Any]]) -> None:
    for operation, document in requests.items():
        check_request(operation, document, local=False)


@pytest.mark.parametrize(("name", "serving"), [("endpoint_serverless", SERVING), ("endpoint_realtime", REALTIME)])
def test_requests_are_those_of_the_snapshots(name: str, serving: Serving) -> None:
    requests = endpoint_requests(serving)
    check_all(requests)
    check_snapshot(name, requests)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"memory_size_in_mb": 512}, "MemorySizeInMB"),
        ({"memory_size_in_mb": 7168}, "MemorySizeInMB"),
        ({"memory_size_in_mb": 1536}, "one of 1024, 2048"),
        ({"max_concurrency": 0}, "MaxConcurrency"),
        ({"max_concurrency": 201}, "MaxConcurrency"),
        ({"name": "a_b"}, "ModelName"),
        ({"version": "v" * 64}, "ModelName"),
        ({"model": "bucket/model.tar.gz"}, "ModelDataUrl"),
        ({"role": "byoe"}, "ExecutionRoleArn"),
        ({"environment": {"not a name": "1"}}, "Environment"),
    ],
)
def test_what_aws_would_refuse_is_refused_here(change: dict[str, object], place: str) -> None:
    requests = endpoint_requests(dataclasses.replace(SERVING, **change))
    with pytest.raises(InvalidRequest, match=place):
        check_all(requests)


def test_network_isolation_is_requested_on_instances_and_not_for_serverless() -> None:
    """AWS lists network isolation among the features that serverless endpoints do not support."""
    assert endpoint_requests(SERVING)["CreateModel"]["EnableNetworkIsolation"] is False
    assert endpoint_requests(REALTIME)["CreateModel"]["EnableNetworkIsolation"] is True
