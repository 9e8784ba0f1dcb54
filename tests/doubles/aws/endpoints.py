"""Models, endpoint configurations and endpoints: how the double stores and how SageMaker describes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.doubles.aws.records import ACCOUNT, LONGEST_REASON, REGION, now, present

if TYPE_CHECKING:
    from tests.doubles.aws.serving import ModelServer

# In these states an endpoint can be neither updated nor deleted.
IN_PROGRESS = ("Creating", "Updating", "Deleting")


def arn_of(kind: str, name: str) -> str:
    """Return the ARN of a ``model``, an ``endpoint-config`` or an ``endpoint``, which AWS writes in lower case."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name.lower()}"


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        document: Its request.
        index: Its number among all models, configurations and endpoints of the double, in order of creation.
        created: When.
    """

    document: Mapping[str, Any]
    index: int
    created: float = field(default_factory=now)
    status: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["ModelName"])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return arn_of("model", self.name)

    @property
    def modified(self) -> float:
        """When it was last changed."""
        return self.created

    def describe(self) -> dict[str, Any]:
        """Return what ``DescribeModel`` answers."""
        repeated = {name: value for name, value in self.document.items() if name != "Tags"}
        return {"EnableNetworkIsolation": False, **repeated, "ModelArn": self.arn, "CreationTime": self.created}

    def summarise(self) -> dict[str, Any]:
        """Return its entry of ``ListModels``."""
        return {"ModelName": self.name, "ModelArn": self.arn, "CreationTime": self.created}


@dataclass(frozen=True)
class EndpointConfig:
    """One endpoint configuration.

    Attributes:
        document: Its request.
        index: As a model's.
        created: When it was made.
    """

    document: Mapping[str, Any]
    index: int
    created: float = field(default_factory=now)
    status: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["EndpointConfigName"])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return arn_of("endpoint-config", self.name)

    @property
    def modified(self) -> float:
        """When it was last changed."""
        return self.created

    @property
    def variant(self) -> Mapping[str, Any]:
        """The production variant that is served."""
        variant: Mapping[str, Any] = self.document["ProductionVariants"][0]
        return variant

    @property
    def is_serverless(self) -> bool:
        """Whether it is serverless."""
        return "ServerlessConfig" in self.variant

    def describe(self) -> dict[str, Any]:
        """Return what ``DescribeEndpointConfig`` answers."""
        repeated = {name: value for name, value in self.document.items() if name != "Tags"}
        variants = [
            {**variant, "InitialVariantWeight": float(variant.get("InitialVariantWeight", 1))}
            for variant in self.document["ProductionVariants"]
        ]
        more = {"ProductionVariants": variants, "EndpointConfigArn": self.arn, "CreationTime": self.created}
        return {"EnableNetworkIsolation": False, **repeated, **more}

    def summarise(self) -> dict[str, Any]:
        """Return its entry of ``ListEndpointConfigs``."""
        return {"EndpointConfigName": self.name, "EndpointConfigArn": self.arn, "CreationTime": self.created}


@dataclass(frozen=True)
class Deployment:
    """An endpoint configuration that an endpoint has or will have, with its model as it was at that time.

    Attributes:
        config: The configuration.
        container: The model's container.
        index: As a model's.
        began: When it was requested.
    """

    config: EndpointConfig
    container: Mapping[str, Any]
    index: int
    began: float = field(default_factory=now)

    def summarise(self) -> dict[str, Any]:
        """Return its production variant as ``DescribeEndpoint`` has it."""
        variant, image = self.config.variant, str(self.container["Image"])
        weight = float(variant.get("InitialVariantWeight", 1))
        count = 0 if self.config.is_serverless else variant.get("InitialInstanceCount", 1)
        digest = hashlib.sha256(image.encode()).hexdigest()
        deployed = {
            "SpecifiedImage": image,
            "ResolvedImage": f"{image.partition('@')[0].rpartition(':')[0] or image}@sha256:{digest}",
            "ResolutionTime": self.began,
        }
        return present(
            {
                "VariantName": variant["VariantName"],
                "DeployedImages": [deployed],
                "CurrentWeight": weight,
                "DesiredWeight": weight,
                "CurrentInstanceCount": count,
                "DesiredInstanceCount": count,
                "CurrentServerlessConfig": variant.get("ServerlessConfig"),
                "DesiredServerlessConfig": variant.get("ServerlessConfig"),
            }
        )


@dataclass
class Endpoint:
    """One endpoint.

    Attributes:
        name: Its name.
        index: As a model's.
        number: Its number among the double's endpoints, in order of creation, from 0.
        config: Its configuration; before it is in service for the first time, the one that it will have.
        current: The deployment that it serves.
        pending: The deployment to which it is being switched.
        server: The server that answers its requests.
        status: ``EndpointStatus``.
        failure: ``FailureReason``.
        statuses: Every status so far.
    """

    name: str
    index: int
    number: int
    config: EndpointConfig
    current: Deployment | None = None
    pending: Deployment | None = None
    server: ModelServer | None = None
    status: str = ""
    failure: str | None = None
    statuses: list[str] = field(default_factory=list)
    created: float = field(default_factory=now)
    modified: float = 0.0

    @property
    def arn(self) -> str:
        """Its ARN."""
        return arn_of("endpoint", self.name)

    def enter(self, status: str, failure: str | None = None) -> None:
        """Change the status."""
        self.status, self.modified = status, now()
        self.failure = None if failure is None else failure[:LONGEST_REASON]
        self.statuses.append(status)

    def begin(self, status: str, deployment: Deployment) -> None:
        """Start to switch to another deployment."""
        self.pending = deployment
        self.enter(status)

    def switch(self, server: ModelServer) -> ModelServer | None:
        """Switch to the pending deployment; return the previous server, if there was one."""
        assert self.pending is not None
        before, self.server = self.server, server
        self.current, self.config, self.pending = self.pending, self.pending.config, None
        self.enter("InService")
        return before

    def fail(self, reason: str) -> None:
        """Drop the pending deployment and keep the current one."""
        self.pending = None
        self.enter("Failed" if self.server is None else "InService", reason)

    def describe(self) -> dict[str, Any]:
        """Return what ``DescribeEndpoint`` answers."""
        pending = None
        if self.pending is not None:
            pending = {
                "EndpointConfigName": self.pending.config.name,
                "ProductionVariants": [_pending(self.pending)],
                "StartTime": self.pending.began,
            }
        return self.summarise() | present(
            {
                "EndpointConfigName": self.config.name,
                "ProductionVariants": None if self.current is None else [self.current.summarise()],
                "FailureReason": self.failure,
                "PendingDeploymentSummary": pending,
            }
        )

    def summarise(self) -> dict[str, Any]:
        """Return its entry of ``ListEndpoints``."""
        return {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "EndpointStatus": self.status,
        }


def _pending(deployment: Deployment) -> dict[str, Any]:
    return {"VariantName": deployment.config.variant["VariantName"]}
