"""The requests that serve a model: ``CreateModel``, ``CreateEndpointConfig`` and ``CreateEndpoint``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.sagemaker_requests.tags import TAG_PREFIX


@dataclass(frozen=True)
class Serving:
    """How an endpoint serves a model.

    Attributes:
        name: The endpoint's name.
        version: The suffix of the names of model and configuration, which separates them from earlier ones.
        image: The container image.
        role: The IAM role that the model assumes.
        model: Location of ``model.tar.gz``.
        isolated: Whether the container has no network besides that of the requests; on instances only.
        memory_size_in_mb: Memory of a serverless endpoint; None for one on instances.
        max_concurrency: Number of concurrent requests to a serverless endpoint.
        instance_type: Instance type of an endpoint on instances.
        instance_count: Number of instances.
        environment: Environment variables of the container.
        tags: Tags of model, configuration and endpoint.
    """

    name: str
    version: str
    image: str
    role: str
    model: str
    isolated: bool
    memory_size_in_mb: int | None = None
    max_concurrency: int | None = None
    instance_type: str | None = None
    instance_count: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def endpoint_requests(serving: Serving) -> dict[str, dict[str, Any]]:
    """Return the requests that create an endpoint, by operation, in order."""
    name = f"{serving.name}-{serving.version}"
    tags = [{"Key": f"{TAG_PREFIX}{key}", "Value": value} for key, value in serving.tags.items()]
    variant: dict[str, Any] = {"VariantName": "AllTraffic", "ModelName": name}
    if serving.memory_size_in_mb is not None:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": serving.memory_size_in_mb,
            "MaxConcurrency": serving.max_concurrency,
        }
    else:
        variant |= {"InstanceType": serving.instance_type, "InitialInstanceCount": serving.instance_count}
    container = {"Image": serving.image, "ModelDataUrl": serving.model, "Environment": dict(serving.environment)}
    return {
        "CreateModel": {
            "ModelName": name,
            "PrimaryContainer": container,
            "ExecutionRoleArn": serving.role,
            # A serverless endpoint cannot be isolated (AWS documentation, "Serverless Inference", feature exclusions).
            "EnableNetworkIsolation": serving.isolated and serving.memory_size_in_mb is None,
            "Tags": tags,
        },
        "CreateEndpointConfig": {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags},
        "CreateEndpoint": {"EndpointName": serving.name, "EndpointConfigName": name, "Tags": tags},
    }
