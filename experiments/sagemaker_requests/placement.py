"""Where and how a study's jobs run: everything in their requests that the study does not decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RemoteOptions:
    """Options that SageMaker has and its local mode lacks.

    Attributes:
        spot_wait_seconds: Limit of a spot job's runtime and waiting time together; None for a job on demand.
        keep_alive_seconds: How long an instance waits for another job.
        early_stopping: Whether the tuner stops jobs that are unlikely to win.
        warm_start: Tuning jobs that the tuner learns from.
        subnets: Subnets of the user's VPC; empty for SageMaker's own network.
        security_groups: Security groups of the user's VPC.
        volume_kms_key: KMS key of the instances' disks.
        output_kms_key: KMS key of the artifacts.
        tags: The user's own tags.
    """

    spot_wait_seconds: int | None = None
    keep_alive_seconds: int = 0
    early_stopping: bool = False
    warm_start: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    volume_kms_key: str | None = None
    output_kms_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """Where a study's jobs run and where their files are.

    Attributes:
        image: The container image.
        role: The IAM role that jobs assume.
        channels: Locations of the channels with rows, by name.
        code: Location of the source directory, or of its archive.
        output: Location below which artifacts are written.
        instance_type: The instance type.
        max_runtime_seconds: A training job that runs longer is stopped.
        isolated: Whether containers have no network.
        volume_gb: Size of an instance's disk.
        environment: Environment variables of every container.
        code_channel: Location that contains the archive, if containers without a network get it as a channel.
        reading: Hyperparameters by which the entry script reads channels in the user's format.
        options: Options that SageMaker local mode lacks.
    """

    image: str
    role: str
    channels: Mapping[str, str]
    code: str
    output: str
    instance_type: str
    max_runtime_seconds: int
    isolated: bool
    volume_gb: int = 10
    environment: Mapping[str, str] = field(default_factory=dict)
    code_channel: str | None = None
    reading: Mapping[str, str] = field(default_factory=dict)
    options: RemoteOptions = field(default_factory=RemoteOptions)
