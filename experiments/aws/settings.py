"""``mode=remote``'s part of the configuration, checked; nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.aws.account import Account, find_account
from experiments.aws.budget import Bound
from experiments.aws.pricing import Price, find_price
from experiments.config.schema import RemoteModeConfig
from experiments.errors import BackendUnavailable, ConfigError
from experiments.sagemaker_requests.placement import RemoteOptions
from experiments.study.spec import StudySpec

# AWS's container with the scikit-learn of entry/requirements.txt.
SKLEARN_VERSION = "1.9-0"
# AWS's longest training job, warm pool and wait, in seconds.
LONGEST_RUNTIME = 28 * 86_400
LONGEST_KEEP_ALIVE = 3600
MOST_PARENTS = 5
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"([A-Za-z0-9!_.*'()-]+/)*[A-Za-z0-9!_.*'()-]+")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
# What a plan shows where the configuration has no value yet.
_PLACEHOLDERS = {
    "region": "us-east-1",
    "role": "arn:aws:iam::000000000000:role/to-be-set",
    "bucket": "to-be-set",
}


@dataclass(frozen=True)
class PlannedSettings:
    """Settings for a plan.

    Attributes:
        settings: As for a launch.
        missing: By key of the configuration, what a launch still wants, with the stand-in that is shown.
    """

    settings: RemoteSettings
    missing: Mapping[str, str]


def remote_settings(mode: RemoteModeConfig, command: str) -> RemoteSettings:
    """Return the settings of a launch.

    Args:
        mode: The configuration.
        command: As typed, for messages.

    Raises:
        ConfigError: A value is missing or not possible.
        BackendUnavailable: No region is set.
    """
    for key, example in (("role", "arn:aws:iam::<account>:role/<name>"), ("bucket", "<name of yours>")):
        if not getattr(mode, key):
            raise ConfigError(
                f"mode.{key} is not set: add mode.{key}={example}, once for all in configs/local/mode/remote.yaml. "
                "docs/aws.md says what it must permit; action=plan needs none of it."
            )
    return _settings(mode, find_account(mode.region, mode.profile), command)


def planned_settings(mode: RemoteModeConfig, command: str) -> PlannedSettings:
    """Return the settings of a launch with stand-ins for what is not set; needs no account and no network.

    Raises:
        ConfigError: A value is not possible.
    """
    missing = {key: text for key, text in _PLACEHOLDERS.items() if not getattr(mode, key)}
    region = mode.region
    if region is None:
        try:
            region = find_account(None, mode.profile).region
        except BackendUnavailable:
            region = missing["region"]
        else:
            del missing["region"]
    mode = replace(mode, role=mode.role or missing["role"], bucket=mode.bucket or missing["bucket"])
    settings = _settings(mode, Account(region, mode.profile), command)
    return PlannedSettings(settings, {f"mode.{key}": text for key, text in missing.items()})


def check_prefix(prefix: str) -> None:
    """Raise ConfigError unless everything of ours in the bucket can be below the prefix."""
    if not prefix:
        raise ConfigError(
            "mode.prefix is empty: everything of ours in the bucket is below it, and must be told from what is "
            "not ours. Give it a name, such as mode.prefix=byoe."
        )
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(f"mode.prefix={prefix}: no slashes at its ends, and of the letters that S3 takes.")


def user_tags(mode: RemoteModeConfig) -> dict[str, str]:
    """Return the user's own tags as texts.

    Raises:
        ConfigError: One has no value.
    """
    for key, value in mode.tags.items():
        if value is None:
            raise ConfigError(f"mode.tags.{key} has no value: give it one, or leave it out.")
    return {key: str(value) for key, value in mode.tags.items()}


def container_image(region: str, instance_type: str) -> str:
    """Return AWS's scikit-learn container in a region.

    Raises:
        ConfigError: AWS has none there.
    """
    from sagemaker.core import image_uris

    try:
        return str(
            image_uris.retrieve(
                "sklearn", region, version=SKLEARN_VERSION, py_version="py3", instance_type=instance_type
            )
        )
    except ValueError as error:
        raise ConfigError(
            f"AWS's scikit-learn container {SKLEARN_VERSION} is not to be had for mode.region={region} and "
            f"mode.instance_type={instance_type}: {error} Take another region, or mode.image.uri=<image of your own>."
        ) from None


def _settings(mode: RemoteModeConfig, account: Account, command: str) -> RemoteSettings:
    _check(mode)
    wait = mode.max_wait_seconds
    if mode.spot and wait is None:
        wait = min(2 * mode.max_runtime_seconds, LONGEST_RUNTIME)
    return RemoteSettings(
        account=account,
        image=mode.image.uri or container_image(account.region, mode.instance_type),
        role=str(mode.role),
        bucket=str(mode.bucket),
        prefix=mode.prefix,
        requirements=mode.image.uri is None,
        instance_type=mode.instance_type,
        volume_gb=mode.volume_gb,
        max_runtime_seconds=mode.max_runtime_seconds,
        isolated=mode.isolated,
        price=find_price(mode.instance_type, account.region, mode.price_usd_per_hour),
        budget_usd=mode.budget_usd,
        poll_seconds=mode.poll_seconds,
        command=command,
        options=RemoteOptions(
            spot_wait_seconds=wait,
            keep_alive_seconds=mode.keep_alive_seconds,
            early_stopping=mode.early_stopping,
            warm_start=tuple(mode.warm_start),
            subnets=tuple(mode.subnets),
            security_groups=tuple(mode.security_groups),
            volume_kms_key=mode.volume_kms_key,
            output_kms_key=mode.output_kms_key,
            tags=user_tags(mode),
        ),
    )


def _check(mode: RemoteModeConfig) -> None:
    if not _ROLE.fullmatch(str(mode.role)):
        raise ConfigError(f"mode.role={mode.role}: a role's ARN is wanted, as arn:aws:iam::<account>:role/<name>.")
    if not _BUCKET.fullmatch(str(mode.bucket)):
        raise ConfigError(f"mode.bucket={mode.bucket}: a bucket's name is wanted, without s3:// and without a path.")
    check_prefix(mode.prefix)
    for key, low, high in (
        ("max_runtime_seconds", 1, LONGEST_RUNTIME),
        ("volume_gb", 1, 16384),
        ("keep_alive_seconds", 0, LONGEST_KEEP_ALIVE),
        ("poll_seconds", 0.01, 3600),
    ):
        value = getattr(mode, key)
        if not low <= value <= high:
            raise ConfigError(f"mode.{key}={value:g} is not from {low:g} to {high}.")
    for key in ("price_usd_per_hour", "budget_usd"):
        value = getattr(mode, key)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"mode.{key}={value:g} is no amount above 0.")
    _check_spot(mode)
    if bool(mode.subnets) != bool(mode.security_groups):
        raise ConfigError("mode.subnets and mode.security_groups go together: give both, or neither.")
    if mode.isolated and mode.image.uri is None:
        raise ConfigError(
            "mode.isolated=true: AWS's container installs packages as it starts, which takes a network. Give an image "
            "of your own by mode.image.uri, or leave it out."
        )
    if len(mode.warm_start) > MOST_PARENTS:
        raise ConfigError(f"mode.warm_start has {len(mode.warm_start)} tuning jobs; AMT takes at most {MOST_PARENTS}.")
    ours = [key for key in mode.tags if str(key).startswith("byoe:")]
    if ours:
        raise ConfigError(f"mode.tags: {ours[0]!r} begins with 'byoe:', which is ours: give it another name.")


def _check_spot(mode: RemoteModeConfig) -> None:
    wait = mode.max_wait_seconds
    if wait is not None and not mode.spot:
        raise ConfigError(f"mode.max_wait_seconds={wait} goes with mode.spot=true: add it, or leave this out.")
    if wait is not None and not mode.max_runtime_seconds <= wait <= LONGEST_RUNTIME:
        raise ConfigError(
            f"mode.max_wait_seconds={wait} includes the run itself: it is from mode.max_runtime_seconds="
            f"{mode.max_runtime_seconds} to {LONGEST_RUNTIME}."
        )
    if mode.spot and mode.keep_alive_seconds:
        raise ConfigError("mode.spot=true and mode.keep_alive_seconds exclude one another: a warm pool is on demand.")


@dataclass(frozen=True)
class RemoteSettings:
    """How SageMaker runs a study.

    Attributes:
        account: The account and region.
        image: The container image.
        role: ARN of the role that jobs take on.
        bucket: The bucket.
        prefix: What everything of ours in the bucket begins with, without slashes at its ends.
        requirements: Whether jobs install their requirements as they start.
        instance_type: Kind of machine.
        volume_gb: Size of its disk.
        max_runtime_seconds: After so long a job is stopped.
        isolated: Whether containers have no network.
        price: Of an instance; None where it is not known.
        budget_usd: What a new launch may cost at most.
        poll_seconds: How often AWS is asked.
        command: The command as typed, for messages.
        options: What the documents have on SageMaker only; its checkpoints are set here, below the study's prefix.
    """

    account: Account
    image: str
    role: str
    bucket: str
    prefix: str
    requirements: bool
    instance_type: str
    volume_gb: int
    max_runtime_seconds: int
    isolated: bool
    price: Price | None
    budget_usd: float | None
    poll_seconds: float
    command: str
    options: RemoteOptions = field(default_factory=RemoteOptions)

    def location(self, *parts: str) -> str:
        """Return ``s3://bucket/prefix/...``."""
        return "s3://" + "/".join([self.bucket, *filter(None, [self.prefix]), *parts])

    def bound(self, study: StudySpec, jobs: int | None = None) -> Bound:
        """Return what a study can be billed for at most, or so many of its jobs."""
        seconds = self.max_runtime_seconds + self.options.keep_alive_seconds
        return Bound(study.n_trials if jobs is None else jobs, seconds, self.instance_type, self.price)
