"""The configuration of ``mode=remote``, checked without sending anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.aws.account import Account, configured_region, find_account
from experiments.aws.budget import Bound
from experiments.aws.pricing import Price, find_price
from experiments.config.schema import RemoteModeConfig
from experiments.docker.image import REPOSITORY, ImageSpec, configured_image
from experiments.docker.sdk_image import SKLEARN_VERSION, sklearn_image
from experiments.errors import BackendUnavailable, ConfigError
from experiments.sagemaker_requests.limits import LONGEST_KEEP_ALIVE, LONGEST_RUNTIME, MOST_PARENTS
from experiments.sagemaker_requests.placement import RemoteOptions
from experiments.sagemaker_requests.tags import TAG_PREFIX
from experiments.study.spec import StudySpec

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"([A-Za-z0-9!_.*'()-]+/)*[A-Za-z0-9!_.*'()-]+")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
# How the settings look that have no default.
_EXAMPLES = {"role": "arn:aws:iam::<account>:role/<name>", "bucket": "<name>"}
# What a plan shows for values that are not set yet.
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
        missing: Placeholders that are shown, by the configuration key that a launch still needs.
    """

    settings: RemoteSettings
    missing: Mapping[str, str]


def remote_settings(mode: RemoteModeConfig, command: str) -> RemoteSettings:
    """Return the settings of a launch.

    Args:
        mode: The configuration.
        command: The command as typed, for messages.

    Raises:
        ConfigError: A value is invalid, or some are missing; the message names all of these.
        BackendUnavailable: No region is set.
    """
    missing = {key: example for key, example in _EXAMPLES.items() if not getattr(mode, key)}
    if missing:
        if configured_region(mode.region, mode.profile) is None:
            missing = {"region": "us-east-1", **missing}
        verb, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise ConfigError(
            f"{' and '.join(f'mode.{key}' for key in missing)} {verb} not set: add "
            f"{' '.join(f'mode.{key}={example}' for key, example in missing.items())}, once for all in "
            f"configs/local/mode/remote.yaml. docs/aws.md has the commands that create {them}; action=plan works "
            f"without {them}."
        )
    return _settings(mode, find_account(mode.region, mode.profile), command)


def planned_settings(mode: RemoteModeConfig, command: str) -> PlannedSettings:
    """Return settings with placeholders for what is not set; needs no account and no network.

    Raises:
        ConfigError: A value is invalid.
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
    """Raise ConfigError unless byoe's objects can be stored below the prefix."""
    if not prefix:
        raise ConfigError(
            "mode.prefix is empty: it separates byoe's objects from the others in the bucket. Use a name, such as "
            "mode.prefix=byoe."
        )
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(f"mode.prefix={prefix}: use letters, digits and !_.*'()-, with single slashes between them.")


def user_tags(mode: RemoteModeConfig) -> dict[str, str]:
    """Return the user's own tags, with their values as strings.

    Raises:
        ConfigError: A tag has no value.
    """
    for key, value in mode.tags.items():
        if value is None:
            raise ConfigError(f"mode.tags.{key} has no value: set one, or omit the tag.")
    return {key: str(value) for key, value in mode.tags.items()}


def container_image(region: str, instance_type: str) -> str:
    """Return the URI of AWS's scikit-learn container in a region.

    Raises:
        ConfigError: AWS has no such container there.
    """
    try:
        return sklearn_image(region, instance_type)
    except ValueError as error:
        raise ConfigError(
            f"AWS's scikit-learn container {SKLEARN_VERSION} is not available for mode.region={region} and "
            f"mode.instance_type={instance_type}: {error} Use another region, or mode.image.uri=<your own image>."
        ) from None


def _image(mode: RemoteModeConfig, to_push: ImageSpec | None, region: str) -> str:
    """Return the image of jobs and endpoints: the user's own, byoe's in the account's ECR, or AWS's container."""
    if to_push is not None:
        owner = str(mode.role).split(":")[4]  # a role's ARN names the account
        suffix = ".cn" if region.startswith("cn-") else ""
        registry = f"{owner}.dkr.ecr.{region}.amazonaws.com{suffix}"
        return f"{registry}/{REPOSITORY}:{to_push.version}"
    return mode.image.uri or container_image(region, mode.instance_type)


def _settings(mode: RemoteModeConfig, account: Account, command: str) -> RemoteSettings:
    _check(mode)
    to_push = configured_image(mode.image) if mode.image.push else None
    wait = mode.max_wait_seconds
    if mode.spot and wait is None:
        wait = min(2 * mode.max_runtime_seconds, LONGEST_RUNTIME)
    return RemoteSettings(
        account=account,
        image=_image(mode, to_push, account.region),
        role=str(mode.role),
        bucket=str(mode.bucket),
        prefix=mode.prefix,
        requirements=mode.image.uri is None and not mode.image.push,
        to_push=to_push,
        instance_type=mode.instance_type,
        volume_gb=mode.volume_gb,
        max_runtime_seconds=mode.max_runtime_seconds,
        isolated=mode.isolated,
        price=find_price(mode.instance_type, account, mode.price_usd_per_hour),
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
        raise ConfigError(f"mode.role={mode.role}: use a role's ARN, such as arn:aws:iam::<account>:role/<name>.")
    if not _BUCKET.fullmatch(str(mode.bucket)):
        raise ConfigError(f"mode.bucket={mode.bucket}: use a bucket's name, without s3:// and without a path.")
    check_prefix(mode.prefix)
    for key, low, high in (
        ("max_runtime_seconds", 1, LONGEST_RUNTIME),
        ("volume_gb", 1, 16384),
        ("keep_alive_seconds", 0, LONGEST_KEEP_ALIVE),
        ("poll_seconds", 0.01, 3600),
    ):
        value = getattr(mode, key)
        if not low <= value <= high:
            raise ConfigError(f"mode.{key}={value:g} is not between {low:g} and {high}.")
    for key in ("price_usd_per_hour", "budget_usd"):
        value = getattr(mode, key)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"mode.{key}={value:g}: use a finite amount above 0.")
    _check_spot(mode)
    if bool(mode.subnets) != bool(mode.security_groups):
        raise ConfigError("mode.subnets and mode.security_groups belong together: set both, or neither.")
    if mode.image.push and mode.image.uri is not None:
        raise ConfigError(
            f"mode.image.push=true uses byoe's image, and mode.image.uri={mode.image.uri} another: omit one of them."
        )
    if mode.isolated and mode.image.uri is None and not mode.image.push:
        raise ConfigError(
            "mode.isolated=true: AWS's container installs packages when it starts, which needs a network. Add "
            "mode.image.push=true for byoe's image or mode.image.uri=<your own>, or omit mode.isolated."
        )
    if len(mode.warm_start) > MOST_PARENTS:
        raise ConfigError(f"mode.warm_start has {len(mode.warm_start)} tuning jobs; AMT takes at most {MOST_PARENTS}.")
    reserved = [key for key in mode.tags if str(key).startswith(TAG_PREFIX)]
    if reserved:
        raise ConfigError(
            f"mode.tags: {reserved[0]!r} begins with {TAG_PREFIX!r}, which is reserved: use another name."
        )


def _check_spot(mode: RemoteModeConfig) -> None:
    wait = mode.max_wait_seconds
    if wait is not None and not mode.spot:
        raise ConfigError(f"mode.max_wait_seconds={wait} needs mode.spot=true: add it, or omit mode.max_wait_seconds.")
    if wait is not None and not mode.max_runtime_seconds <= wait <= LONGEST_RUNTIME:
        raise ConfigError(
            f"mode.max_wait_seconds={wait} includes the run itself: use a value between mode.max_runtime_seconds="
            f"{mode.max_runtime_seconds} and {LONGEST_RUNTIME}."
        )
    if mode.spot and mode.keep_alive_seconds:
        raise ConfigError(
            "mode.spot=true and mode.keep_alive_seconds exclude each other: warm pools are on demand. Omit one of them."
        )


@dataclass(frozen=True)
class RemoteSettings:
    """How SageMaker runs a study.

    Attributes:
        account: The account and region.
        image: The container image.
        role: ARN of the role that jobs assume.
        bucket: The bucket.
        prefix: The prefix of byoe's objects in the bucket, without slashes at its ends.
        requirements: Whether the image is AWS's container, in which jobs install their requirements when they start.
        to_push: byoe's image, if it is pushed to the account's ECR before it is used; else None.
        instance_type: The instance type.
        volume_gb: Size of an instance's disk.
        max_runtime_seconds: A job that runs longer is stopped.
        isolated: Whether containers have no network.
        price: The price of an instance; None if it is unknown.
        budget_usd: What a new launch may cost at most.
        poll_seconds: Seconds between two requests for the state of jobs.
        command: The command as typed, for messages.
        options: What requests have on SageMaker only.
    """

    account: Account
    image: str
    role: str
    bucket: str
    prefix: str
    requirements: bool
    to_push: ImageSpec | None
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
        """Return the upper bound of the cost of a study, or of that number of its jobs."""
        return Bound(
            study.n_trials if jobs is None else jobs,
            self.max_runtime_seconds,
            self.instance_type,
            self.price,
            self.options.keep_alive_seconds,
        )
