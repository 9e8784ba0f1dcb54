"""What can be known of an account before a job fails in it: each check names its fix and, if denied, the IAM action."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from experiments.aws.account import NotChecked, explained, role_trusts_sagemaker
from experiments.aws.ecr import ARCHITECTURE, Registry
from experiments.backends.remote import RemoteSettings
from experiments.errors import BackendUnavailable, ConfigError
from experiments.study import StudySpec

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)(?P<tag>[:@].+)?"
)


def check_account(study: StudySpec, settings: RemoteSettings) -> list[str]:
    """Check what a launch needs; return what could not be looked at, a sentence each.

    Raises:
        BackendUnavailable: Credentials, role, bucket, quota or image will not do; the message says what mends it.
        ConfigError: A value of the configuration will not do there.
    """
    settings.account.identity()
    check_bucket(settings)  # without it there is no upload
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_role(settings),
        lambda: _quota(study, settings),
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
    with explained("s3:ListBucket", f"look at bucket {settings.bucket}"):
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


def check_role(settings: RemoteSettings) -> None:
    """Raise ConfigError unless SageMaker may take the role on; AccessDenied where it may not be looked at."""
    from botocore.exceptions import ClientError

    name = settings.role.rpartition("/")[2]
    with explained("iam:GetRole", f"look at role {name}"):
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
    if not role_trusts_sagemaker(role["AssumeRolePolicyDocument"]):
        raise ConfigError(
            f"mode.role={settings.role}: SageMaker may not take it on. Its trust policy must allow sts:AssumeRole to "
            "sagemaker.amazonaws.com; docs/aws.md has it."
        )


def _quota(study: StudySpec, settings: RemoteSettings) -> None:
    kind = "spot training job usage" if settings.cloud.spot_wait_seconds is not None else "training job usage"
    name = f"{settings.instance_type} for {kind}"
    with explained("servicequotas:ListServiceQuotas", "look at the account's quotas"):
        pages = settings.account.client("service-quotas").get_paginator("list_service_quotas")
        quotas = {
            q["QuotaName"]: q["Value"] for page in pages.paginate(ServiceCode="sagemaker") for q in page["Quotas"]
        }
    most = quotas.get(name)
    if most is None or study.parallel <= most:
        return
    if most < 1:
        raise BackendUnavailable(
            f"this account's quota {name!r} in {settings.account.region} is 0: ask for more in the console under "
            "Service Quotas, Amazon SageMaker, or take another mode.instance_type."
        )
    raise ConfigError(
        f"search.parallel={study.parallel}: this account's quota {name!r} in {settings.account.region} is {most:g}, "
        f"which jobs that are stopping count against too. Add search.parallel={int(most)}, or ask for more in the "
        "console under Service Quotas."
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
