"""What can be known of an account before a job fails in it: each check names its fix and, if denied, the IAM action."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from experiments.aws.account import AccessDenied, explained, role_trusts_sagemaker
from experiments.aws.storage import split
from experiments.backends.remote import RemoteSettings
from experiments.errors import BackendUnavailable, ConfigError
from experiments.study import StudySpec

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)(?P<tag>[:@].+)?"
)
_ARCHITECTURE = "amd64"


def check_account(study: StudySpec, settings: RemoteSettings) -> list[str]:
    """Check what a launch needs; return what could not be looked at, a sentence each.

    Raises:
        BackendUnavailable: Credentials, role, bucket, quota or image will not do; the message says what mends it.
        ConfigError: A value of the configuration will not do there.
    """
    settings.account.identity()
    check_bucket(settings)  # without it there is no upload
    checks: tuple[Callable[[], None], ...] = (
        lambda: _data(study, settings),
        lambda: check_role(settings),
        lambda: _quota(study, settings),
        lambda: _image(settings),
    )
    return list(_denied(checks))


def _denied(checks: tuple[Callable[[], None], ...]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except AccessDenied as denied:
            yield f"not checked before the launch: {denied}"


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


def _data(study: StudySpec, settings: RemoteSettings) -> None:
    """Raise ConfigError unless the user's own channels, which jobs are to read, are in the jobs' region."""
    in_place, region = study.channels.in_place, settings.account.region
    if in_place is None:
        return
    bucket, _ = split(in_place.location)
    with explained("s3:ListBucket", f"look at bucket {bucket}"):
        there = settings.account.client("s3").head_bucket(Bucket=bucket).get("BucketRegion", region)
    if there != region:
        raise ConfigError(
            f"dataset.path={in_place.location}/ is in {there}, and jobs in {region} read from buckets of their own "
            f"region only: copy it to a bucket there, or add mode.region={there} with a mode.bucket in it."
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


def _image(settings: RemoteSettings) -> None:
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
    _check_architecture(settings, found)


def _check_architecture(settings: RemoteSettings, found: re.Match[str]) -> None:
    from botocore.exceptions import ClientError

    tag = found["tag"] or ":latest"
    which = {"imageDigest": tag[1:]} if tag.startswith("@") else {"imageTag": tag[1:]}
    ecr = settings.account.client("ecr")
    with explained("ecr:BatchGetImage", f"look at image {settings.image}"):
        try:
            answer = ecr.batch_get_image(repositoryName=found["name"], registryId=found["account"], imageIds=[which])
        except ClientError as error:
            if error.response["Error"]["Code"] != "RepositoryNotFoundException":
                raise
            answer = {"images": []}
    if not answer["images"]:
        raise ConfigError(f"mode.image.uri={settings.image}: there is no such image: push it.")
    manifest: dict[str, Any] = json.loads(answer["images"][0]["imageManifest"])
    platforms = [entry.get("platform", {}).get("architecture") for entry in manifest.get("manifests", ())]
    if manifest.get("architecture"):
        platforms = [manifest["architecture"]]
    if platforms and _ARCHITECTURE not in platforms:
        raise ConfigError(
            f"mode.image.uri={settings.image} is built for {', '.join(map(str, platforms))}, and SageMaker's instances "
            f"are {_ARCHITECTURE}: build it with --platform linux/{_ARCHITECTURE} and push it again."
        )
