"""Checks of an account before a launch. A failed check names its fix; one that AWS does not permit becomes a note."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from experiments.aws.account import NotChecked, aws_errors
from experiments.aws.ecr import ARCHITECTURE, DOCKER_MANIFEST, Registry
from experiments.aws.settings import RemoteSettings
from experiments.aws.storage import split_location
from experiments.config.schema import ServingConfig
from experiments.errors import BackendUnavailable, ConfigError
from experiments.study.spec import StudySpec
from experiments.system.project import COMMAND

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)(?P<tag>[:@].+)?"
)


@dataclass(frozen=True)
class _QuotaDemand:
    """The instances that a launch needs under one quota.

    Attributes:
        quota: The quota's name.
        instances: The number of instances.
        key: The configuration key that sets it.
        alternative: What to change if the quota is 0, as in "or use another <alternative>".
        running: The instances under the quota that run until the launch is complete.
    """

    quota: str
    instances: int
    key: str
    alternative: str
    running: int = 0


def check_account(study: StudySpec, settings: RemoteSettings) -> list[str]:
    """Check what a launch needs; return a note for each check that AWS does not permit.

    Raises:
        BackendUnavailable: The credentials or a quota do not suffice; the message names the fix.
        ConfigError: The bucket, role, image or another configured value cannot be used in this account.
    """
    return _check_all(settings, _study_demands(study, settings), lambda: _check_channels(study, settings))


def check_account_for_endpoint(
    serving: ServingConfig, settings: RemoteSettings, running: Mapping[str, int]
) -> list[str]:
    """Check what an endpoint needs; return a note for each check that AWS does not permit.

    Args:
        serving: How the endpoint is configured.
        settings: The settings.
        running: The instances on which it runs now, by type.

    Raises:
        BackendUnavailable: The credentials or a quota do not suffice; the message names the fix.
        ConfigError: The bucket, role, image or another configured value cannot be used in this account.
    """
    return _check_all(settings, _endpoint_demands(serving, running), for_endpoint=True)


def _check_all(
    settings: RemoteSettings, demands: list[_QuotaDemand], *more: Callable[[], None], for_endpoint: bool = False
) -> list[str]:
    """Run the checks that every launch needs, and some more; return a note for each that AWS does not permit."""
    settings.account.identity()
    check_bucket(settings)  # always: nothing can be uploaded without it
    checks = (
        *more,
        lambda: check_role(settings),
        lambda: _check_quotas(demands, settings),
        lambda: check_image(settings, for_endpoint=for_endpoint),
    )
    return list(_notes(checks))


def _notes(checks: tuple[Callable[[], None], ...]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except NotChecked as reason:
            yield f"not checked before the launch: {reason}"


def check_bucket(settings: RemoteSettings) -> None:
    """Raise ConfigError unless the bucket exists in the region, and AccessDenied if AWS does not permit the check."""
    from botocore.exceptions import ClientError

    s3, region = settings.account.client("s3"), settings.account.region
    with aws_errors("s3:ListBucket", f"read bucket {settings.bucket}"):
        try:
            answer = s3.head_bucket(Bucket=settings.bucket)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("404", "NoSuchBucket"):
                raise ConfigError(
                    f"mode.bucket={settings.bucket}: there is no such bucket. Create it with `aws s3 mb "
                    f"s3://{settings.bucket} --region {region}`."
                ) from None
            if code in ("301", "PermanentRedirect"):
                raise ConfigError(_wrong_region(settings, "another region")) from None
            raise
    found = answer.get("BucketRegion", region)
    if found != region:
        raise ConfigError(_wrong_region(settings, found))


def _wrong_region(settings: RemoteSettings, place: str) -> str:
    return (
        f"mode.bucket={settings.bucket} is in {place}, and jobs in {settings.account.region} can only read a bucket in "
        "their own region: use another bucket, or another mode.region."
    )


def _check_channels(study: StudySpec, settings: RemoteSettings) -> None:
    """Raise ConfigError unless channels that jobs read in place are in the jobs' region."""
    in_place, region = study.channels.in_place, settings.account.region
    if in_place is None:
        return
    bucket, _ = split_location(in_place.location)
    with aws_errors("s3:ListBucket", f"read bucket {bucket}"):
        found = settings.account.client("s3").head_bucket(Bucket=bucket).get("BucketRegion", region)
    if found != region:
        raise ConfigError(
            f"dataset.path={in_place.location}/ is in {found}, and jobs in {region} can only read buckets in their own "
            f"region: copy the data to a bucket in {region}, or use mode.region={found} with a mode.bucket there."
        )


def check_role(settings: RemoteSettings) -> None:
    """Raise ConfigError unless the role exists, and AccessDenied if AWS does not permit the check.

    Its policies are left to AWS, which refuses to create a job with a role that SageMaker cannot assume and says so.
    """
    from botocore.exceptions import ClientError

    name = settings.role.rpartition("/")[2]
    with aws_errors("iam:GetRole", f"read role {name}"):
        try:
            role = settings.account.client("iam").get_role(RoleName=name)["Role"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            raise ConfigError(
                f"mode.role={settings.role}: there is no such role. docs/aws.md has the commands that create it."
            ) from None
    if role["Arn"] != settings.role:
        raise ConfigError(f"mode.role={settings.role}: this account's role with that name is {role['Arn']}.")


def _study_demands(study: StudySpec, settings: RemoteSettings) -> list[_QuotaDemand]:
    kinds = {"spot training job usage" if settings.options.spot_wait_seconds is not None else "training job usage": ""}
    if settings.options.keep_alive_seconds:
        kinds["training warm pool usage"] = ", or omit mode.keep_alive_seconds"
    return [
        _QuotaDemand(
            f"{settings.instance_type} for {kind}", study.parallel, "search.parallel", f"mode.instance_type{more}"
        )
        for kind, more in kinds.items()
    ]


def _endpoint_demands(serving: ServingConfig, running: Mapping[str, int]) -> list[_QuotaDemand]:
    if serving.instance_type is None:  # serverless
        return []
    quota, count = f"{serving.instance_type} for endpoint usage", serving.instance_count or 1
    alternative = "serving.instance_type, or serving=serverless"
    # The old instances serve until the new ones do ("Blue/Green Deployments" in AWS's guide).
    also = running.get(serving.instance_type, 0)
    return [_QuotaDemand(quota, count, "serving.instance_count", alternative, also)]


def _check_quotas(demands: list[_QuotaDemand], settings: RemoteSettings) -> None:
    """Raise an error if a quota is below a demand, and NotChecked if AWS does not permit listing the quotas."""
    if not demands:
        return
    with aws_errors("servicequotas:ListServiceQuotas", "list the account's quotas"):
        pages = settings.account.client("service-quotas").get_paginator("list_service_quotas")
        quotas = {
            q["QuotaName"]: q["Value"] for page in pages.paginate(ServiceCode="sagemaker") for q in page["Quotas"]
        }
    for demand in demands:
        quota = quotas.get(demand.quota)
        if quota is not None and demand.instances + demand.running > quota:
            raise _quota_exceeded(demand, quota, settings.account.region)


def _quota_exceeded(demand: _QuotaDemand, quota: float, region: str) -> BackendUnavailable | ConfigError:
    if quota < 1:
        return BackendUnavailable(
            f"this account's quota {demand.quota!r} in {region} is 0: request an increase in the console under Service "
            f"Quotas, Amazon SageMaker, or use another {demand.alternative}."
        )
    left = int(quota) - demand.running
    if left < 1:
        return ConfigError(
            f"{demand.key}={demand.instances}: this account's quota {demand.quota!r} in {region} is {quota:g}, and the "
            f"endpoint's {demand.running} present instances run until the new ones serve. Delete the endpoint first, "
            f"request an increase in the console under Service Quotas, or use another {demand.alternative}."
        )
    return ConfigError(
        f"{demand.key}={demand.instances}: this account's quota {demand.quota!r} in {region} is {quota:g}, and "
        f"instances that are stopping or being replaced count too. Use {demand.key}={left} or less, or request an "
        "increase in the console under Service Quotas."
    )


def check_image(settings: RemoteSettings, *, for_endpoint: bool = False) -> None:
    """Check that the image is in the region's ECR and built for SageMaker's architecture.

    Args:
        settings: The settings.
        for_endpoint: Whether it is to serve, which needs a manifest in Docker's format.

    Raises:
        ConfigError: It is not.
        NotChecked: AWS does not permit the check.
    """
    if settings.requirements:  # AWS's own container, from the SDK's table
        return
    if settings.to_push is not None:  # the push checks it
        return
    found = _ECR.fullmatch(settings.image)
    if found is None:
        raise ConfigError(
            f"mode.image.uri={settings.image}: SageMaker runs images from ECR, such as "
            "<account>.dkr.ecr.<region>.amazonaws.com/<name>:<tag>."
        )
    if found["region"] != settings.account.region:
        raise ConfigError(
            f"mode.image.uri={settings.image} is in {found['region']}, and jobs run in {settings.account.region}: "
            "push it to that region."
        )
    version = (found["tag"] or ":latest")[1:]
    image = Registry(settings.account).find_image(found["name"], version, found["account"])
    if image is None:
        raise ConfigError(
            f"mode.image.uri={settings.image}: there is no such image. `{COMMAND} mode=remote action=push` pushes "
            "byoe's and prints its name."
        )
    if ARCHITECTURE not in image.architectures:
        raise ConfigError(
            f"mode.image.uri={settings.image} is built for {', '.join(image.architectures)}, and SageMaker's instances "
            f"are {ARCHITECTURE}: `{COMMAND} mode=remote action=push` builds byoe's for them."
        )
    if for_endpoint and image.media_type != DOCKER_MANIFEST:
        raise ConfigError(
            f"mode.image.uri={settings.image} has a manifest of type {image.media_type}, and endpoints on SageMaker "
            f"accept {DOCKER_MANIFEST}. Build your image with `docker buildx build --provenance=false --output "
            f"type=docker`, or use byoe's: `{COMMAND} mode=remote action=push` pushes it in this format."
        )
