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
        tags: byoe's tags of model, configuration and endpoint, without their prefix.
        user_tags: The user's own tags of them.
        subnets: Subnets of the user's VPC, to which the container is connected; on instances only.
        security_groups: Security groups of the user's VPC.
        volume_kms_key: KMS key of the instances' disks; on instances only.
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
    user_tags: Mapping[str, str] = field(default_factory=dict)
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    volume_kms_key: str | None = None


def endpoint_requests(serving: Serving) -> dict[str, dict[str, Any]]:
    """Return the requests that create an endpoint, by operation, in order."""
    name = f"{serving.name}-{serving.version}"
    named = {**serving.user_tags, **{f"{TAG_PREFIX}{key}": value for key, value in serving.tags.items()}}
    tags = [{"Key": key, "Value": value} for key, value in named.items()]
    variant: dict[str, Any] = {"VariantName": "AllTraffic", "ModelName": name}
    if serving.memory_size_in_mb is not None:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": serving.memory_size_in_mb,
            "MaxConcurrency": serving.max_concurrency,
        }
    else:
        variant |= {"InstanceType": serving.instance_type, "InitialInstanceCount": serving.instance_count}
    container = {"Image": serving.image, "ModelDataUrl": serving.model, "Environment": dict(serving.environment)}
    model: dict[str, Any] = {
        "ModelName": name,
        "PrimaryContainer": container,
        "ExecutionRoleArn": serving.role,
        # A serverless endpoint cannot be isolated (AWS documentation, "Serverless Inference", feature exclusions).
        "EnableNetworkIsolation": serving.isolated and serving.memory_size_in_mb is None,
        "Tags": tags,
    }
    if serving.subnets:
        model["VpcConfig"] = {"Subnets": [*serving.subnets], "SecurityGroupIds": [*serving.security_groups]}
    config: dict[str, Any] = {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags}
    if serving.volume_kms_key is not None:
        config["KmsKeyId"] = serving.volume_kms_key
    return {
        "CreateModel": model,
        "CreateEndpointConfig": config,
        "CreateEndpoint": {"EndpointName": serving.name, "EndpointConfigName": name, "Tags": tags},
    }
