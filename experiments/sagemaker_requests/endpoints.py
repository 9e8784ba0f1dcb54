"""The requests that serve a model: ``CreateModel``, ``CreateEndpointConfig`` and ``CreateEndpoint``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Serving:
    """What an endpoint is made of and how it is run.

    Attributes:
        name: The endpoint's name.
        version: Tells this model and configuration of the endpoint from those before; the name of both ends with it.
        image: The container image.
        role: The IAM role that the model takes on.
        model: Location of ``model.tar.gz``.
        environment: Variables in the container.
        isolated: Whether the container has no network but that which requests come by; on instances only.
        memory_size_in_mb: Memory of a serverless endpoint; None for one on instances.
        max_concurrency: Requests at a time of a serverless endpoint.
        instance_type: Kind of machine of an endpoint on instances.
        instance_count: How many machines.
        tags: Tags of all three.
    """

    name: str
    version: str
    image: str
    role: str
    model: str
    environment: Mapping[str, str]
    isolated: bool
    memory_size_in_mb: int | None = None
    max_concurrency: int | None = None
    instance_type: str | None = None
    instance_count: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)


def endpoint_requests(serving: Serving) -> dict[str, dict[str, Any]]:
    """Return by operation the requests that make an endpoint, in order."""
    name = f"{serving.name}-{serving.version}"
    tags = [{"Key": f"byoe:{key}", "Value": value} for key, value in serving.tags.items()]
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
            # A serverless endpoint cannot be cut off (AWS documentation, "Serverless Inference", feature exclusions).
            "EnableNetworkIsolation": serving.isolated and serving.memory_size_in_mb is None,
            "Tags": tags,
        },
        "CreateEndpointConfig": {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags},
        "CreateEndpoint": {"EndpointName": serving.name, "EndpointConfigName": name, "Tags": tags},
    }
