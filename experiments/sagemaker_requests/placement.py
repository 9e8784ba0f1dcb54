"""Where a study's jobs run: what the requests of its jobs have besides the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RemoteOptions:
    """What a study's jobs have on SageMaker only.

    Attributes:
        spot_wait_seconds: For a job on spare capacity with its waiting; None for one on demand.
        checkpoints: Location that an interrupted job finds what it has saved at; with ``spot_wait_seconds``.
        keep_alive_seconds: An instance waits so long for the next job.
        early_stopping: Whether the tuner stops jobs that look bad.
        warm_start: Tuning jobs that the tuner learns from.
        subnets: Of the user's VPC; none for SageMaker's own network.
        security_groups: Of the user's VPC.
        volume_kms_key: Key of the instances' disks.
        output_kms_key: Key of the artifacts.
        tags: The user's own tags.
    """

    spot_wait_seconds: int | None = None
    checkpoints: str | None = None
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
        role: The IAM role that jobs take on.
        train: Location of the train channel.
        validation: Location of the validation channel.
        code: Location of the source directory, or of its archive.
        code_channel: Location below which the archive is, where a container without network gets it as a channel.
        output: Location that artifacts go below.
        instance_type: Kind of machine.
        max_runtime_seconds: After so long a training job is stopped.
        isolated: Whether containers have no network.
        volume_gb: Size of a machine's disk.
        environment: Variables in every container.
        reading: Hyperparameters by which the entry script reads channels that are not of its own format.
        options: What SageMaker's local mode does not have.
    """

    image: str
    role: str
    train: str
    validation: str
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
