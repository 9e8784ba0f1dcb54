"""What can be known of an account before a job fails in it: each check names its fix and, if denied, the IAM action."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from experiments.aws.account import NotChecked, aws_errors
from experiments.aws.ecr import ARCHITECTURE, Registry
from experiments.aws.settings import RemoteSettings
from experiments.aws.storage import split_location
from experiments.config.schema import ServingConfig
from experiments.errors import BackendUnavailable, ConfigError
from experiments.study.spec import StudySpec

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)(?P<tag>[:@].+)?"
)


@dataclass(frozen=True)
class _Need:
    """Instances that a launch takes of one quota.

    Attributes:
        quota: The quota's name.
        instances: How many.
        key: The key of the configuration that says so.
        other: What to take instead where the account has none.
    """

    quota: str
    instances: int
    key: str
    other: str


def check_account(study: StudySpec, settings: RemoteSettings) -> list[str]:
    """Check what a launch needs; return what could not be looked at, a sentence each.

    Raises:
        BackendUnavailable: Credentials, role, bucket, quota or image will not do; the message says what mends it.
        ConfigError: A value of the configuration will not do there.
    """
    return _check_all(settings, _needs_of_study(study, settings), lambda: _data(study, settings))


def check_account_for_endpoint(serving: ServingConfig, settings: RemoteSettings) -> list[str]:
    """Check what an endpoint needs; return what could not be looked at, a sentence each.

    Raises:
        BackendUnavailable: Credentials, role, bucket, quota or image will not do; the message says what mends it.
        ConfigError: A value of the configuration will not do there.
    """
    return _check_all(settings, _needs_of_endpoint(serving))


def _check_all(settings: RemoteSettings, needs: list[_Need], *first: Callable[[], None]) -> list[str]:
    """Check what every launch needs, after what this one needs besides; return what could not be looked at."""
    settings.account.identity()
    check_bucket(settings)  # without it there is no upload
    checks = (
        *first,
        lambda: check_role(settings),
        lambda: _check_quotas(needs, settings),
        lambda: check_image(settings),
    )
    return list(_not_checked(checks))


def _not_checked(checks: tuple[Callable[[], None], ...]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except NotChecked as reason:
            yield f"not checked before the launch: {reason}"


def check_bucket(settings: RemoteSettings) -> None:
    """Raise ConfigError unless the bucket is there, in the region; AccessDenied where it may not be looked at."""
    from botocore.exceptions import ClientError

    s3, region = settings.account.client("s3"), settings.account.region
    with aws_errors("s3:ListBucket", f"look at bucket {settings.bucket}"):
        try:
            answer = s3.head_bucket(Bucket=settings.bucket)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("404", "NoSuchBucket"):
                raise ConfigError(
                    f"mode.bucket={settings.bucket}: there is no such bucket. `aws s3 mb s3://{settings.bucket} "
                    f"--region {region}` makes it."
                ) from None
            if code in ("301", "PermanentRedirect"):
                raise ConfigError(_elsewhere(settings, "another region")) from None
            raise
    there = answer.get("BucketRegion", region)
    if there != region:
        raise ConfigError(_elsewhere(settings, there))


def _elsewhere(settings: RemoteSettings, there: str) -> str:
    return (
        f"mode.bucket={settings.bucket} is in {there}, and jobs in {settings.account.region} read from a bucket of "
        "their own region only: take another bucket, or another mode.region."
    )


def _data(study: StudySpec, settings: RemoteSettings) -> None:
    """Raise ConfigError unless the user's own channels, which jobs are to read, are in the jobs' region."""
    in_place, region = study.channels.in_place, settings.account.region
    if in_place is None:
        return
    bucket, _ = split_location(in_place.location)
    with aws_errors("s3:ListBucket", f"look at bucket {bucket}"):
        there = settings.account.client("s3").head_bucket(Bucket=bucket).get("BucketRegion", region)
    if there != region:
        raise ConfigError(
            f"dataset.path={in_place.location}/ is in {there}, and jobs in {region} read from buckets of their own "
            f"region only: copy it to a bucket there, or add mode.region={there} with a mode.bucket in it."
        )


def check_role(settings: RemoteSettings) -> None:
    """Raise ConfigError unless the role exists; AccessDenied where it may not be looked at.

    Its policies are left to AWS, which refuses to create a job with a role that SageMaker cannot assume and says so.
    """
    from botocore.exceptions import ClientError

    name = settings.role.rpartition("/")[2]
    with aws_errors("iam:GetRole", f"look at role {name}"):
        try:
            role = settings.account.client("iam").get_role(RoleName=name)["Role"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            raise ConfigError(
                f"mode.role={settings.role}: there is no such role. docs/aws.md has the commands that make it."
            ) from None
    if role["Arn"] != settings.role:
        raise ConfigError(f"mode.role={settings.role}: this account's role of that name is {role['Arn']}.")


def _needs_of_study(study: StudySpec, settings: RemoteSettings) -> list[_Need]:
    kinds = {"spot training job usage" if settings.options.spot_wait_seconds is not None else "training job usage": ""}
    if settings.options.keep_alive_seconds:
        kinds["training warm pool usage"] = ", or leave mode.keep_alive_seconds out"
    return [
        _Need(f"{settings.instance_type} for {kind}", study.parallel, "search.parallel", f"mode.instance_type{more}")
        for kind, more in kinds.items()
    ]


def _needs_of_endpoint(serving: ServingConfig) -> list[_Need]:
    if serving.instance_type is None:  # serverless
        return []
    quota, count = f"{serving.instance_type} for endpoint usage", serving.instance_count or 1
    return [_Need(quota, count, "serving.instance_count", "serving.instance_type, or serving=serverless")]


def _check_quotas(needs: list[_Need], settings: RemoteSettings) -> None:
    """Raise unless the account may have so many instances; NotChecked where its quotas may not be looked at."""
    if not needs:
        return
    with aws_errors("servicequotas:ListServiceQuotas", "look at the account's quotas"):
        pages = settings.account.client("service-quotas").get_paginator("list_service_quotas")
        quotas = {
            q["QuotaName"]: q["Value"] for page in pages.paginate(ServiceCode="sagemaker") for q in page["Quotas"]
        }
    for need in needs:
        most = quotas.get(need.quota)
        if most is not None and need.instances > most:
            raise _too_few(need, most, settings.account.region)


def _too_few(need: _Need, most: float, region: str) -> BackendUnavailable | ConfigError:
    if most < 1:
        return BackendUnavailable(
            f"this account's quota {need.quota!r} in {region} is 0: ask for more in the console under Service Quotas, "
            f"Amazon SageMaker, or take another {need.other}."
        )
    return ConfigError(
        f"{need.key}={need.instances}: this account's quota {need.quota!r} in {region} is {most:g}, and what is "
        f"being stopped counts too. Add {need.key}={int(most)}, or ask for more in the console under Service Quotas."
    )


def check_image(settings: RemoteSettings) -> None:
    """Raise ConfigError unless the image is in the region's ECR and for its instances; NotChecked if that is hidden."""
    if settings.requirements:  # AWS's own, from the SDK's table of what there is
        return
    found = _ECR.fullmatch(settings.image)
    if found is None:
        raise ConfigError(
            f"mode.image.uri={settings.image}: SageMaker runs images from ECR, as "
            "<account>.dkr.ecr.<region>.amazonaws.com/<name>:<tag>."
        )
    if found["region"] != settings.account.region:
        raise ConfigError(
            f"mode.image.uri={settings.image} is in {found['region']}, and jobs run in {settings.account.region}: "
            "push it there."
        )
    version = (found["tag"] or ":latest")[1:]
    architectures = Registry(settings.account).architectures(found["name"], version, found["account"])
    if architectures is None:
        raise ConfigError(
            f"mode.image.uri={settings.image}: there is no such image. `python run.py mode=remote action=push` pushes "
            "this project's and says its name."
        )
    if ARCHITECTURE not in architectures:
        raise ConfigError(
            f"mode.image.uri={settings.image} is built for {', '.join(architectures)}, and SageMaker's instances are "
            f"{ARCHITECTURE}: `python run.py mode=remote action=push` builds this project's for them."
        )
