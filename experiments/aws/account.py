"""The user's AWS account: clients that wait out throttling, and AWS's refusals in words that say what mends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from experiments.errors import BackendUnavailable, ConfigError

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_INVALID = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
_ATTEMPTS = 10
_RENEW = "Renew them, such as by `aws sso login`, and run the same command again: it goes on from there."


class NotChecked(BackendUnavailable):
    """Something could not be looked at; the message says why."""


class AccessDenied(NotChecked):
    """AWS does not permit an operation; the message names the IAM action."""

    @classmethod
    def of(cls, action: str, purpose: str) -> AccessDenied:
        """Return the error of an IAM action that is missing, as in "AWS does not let you <purpose>"."""
        return cls(
            f"AWS does not let you {purpose}: the credentials need the IAM action {action}. docs/aws.md has a policy."
        )


@dataclass(frozen=True)
class Account:
    """One account and region.

    Attributes:
        region: The region.
        profile: The profile of ``~/.aws``, or None.
    """

    region: str
    profile: str | None = None

    _clients: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def client(self, service: str) -> Any:
        """Return boto3's client of a service."""
        import boto3
        from botocore.config import Config

        if service not in self._clients:
            config = Config(
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}, connect_timeout=10, read_timeout=60
            )
            session = boto3.Session(profile_name=self.profile, region_name=self.region)
            self._clients[service] = session.client(service, config=config)
        return self._clients[service]

    def identity(self) -> str:
        """Return the number of the account.

        Raises:
            BackendUnavailable: There are no credentials, or AWS does not take them.
        """
        with explained("sts:GetCallerIdentity", "read whose credentials these are"):
            return str(self.client("sts").get_caller_identity()["Account"])


def find_account(region: str | None, profile: str | None) -> Account:
    """Return the account that the configuration and the user's AWS settings mean; nothing is sent.

    Raises:
        BackendUnavailable: No region is set.
        ConfigError: There is no such profile.
    """
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        found = region or boto3.Session(profile_name=profile).region_name
    except ProfileNotFound:
        known = ", ".join(boto3.Session().available_profiles) or "none"
        raise ConfigError(
            f"mode.profile={profile}: ~/.aws has no such profile. It has: {known}. `aws configure sso` makes one."
        ) from None
    if found is None:
        raise BackendUnavailable(
            "no AWS region is set: add mode.region=<region>, such as mode.region=us-east-1, or set AWS_DEFAULT_REGION."
        )
    return Account(found, profile)


@contextmanager
def explained(action: str, purpose: str) -> Iterator[None]:
    """Turn AWS's refusals inside the block into one clear message.

    Args:
        action: The IAM action that the call needs, such as ``s3:PutObject``.
        purpose: What it was wanted for, as in "AWS does not let you <purpose>".

    Raises:
        AccessDenied: The credentials do not permit it.
        BackendUnavailable: There are none, they have expired, or AWS cannot be reached or refuses for another reason.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise BackendUnavailable(
            f"there are no AWS credentials: {error}. `aws configure` or `aws sso login` makes them, and mode.profile "
            "names a profile; docs/aws.md says what they must permit."
        ) from None
    except ClientError as error:
        raise _of_code(error.response["Error"], action, purpose, str(error)) from error
    except (BotoCoreError, Boto3Error) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ClientError):  # as the transfer of a file wraps it
            raise _of_code(cause.response["Error"], action, purpose, str(error)) from error
        raise BackendUnavailable(
            f"AWS could not be reached to {purpose}: {error}. Run the same command again."
        ) from error


def error_code(error: BaseException) -> str | None:
    """Return AWS's code of an error that ``explained`` has put into words."""
    response = getattr(error.__cause__, "response", None)
    return str(response["Error"]["Code"]) if response else None


def role_trusts_sagemaker(document: Any) -> bool:
    """Return whether a role's trust policy lets SageMaker take the role on."""
    policy = json.loads(document) if isinstance(document, str) else document
    for statement in policy.get("Statement", ()):
        services = statement.get("Principal", {}).get("Service", []) if statement.get("Effect") == "Allow" else []
        if "sagemaker.amazonaws.com" in ([services] if isinstance(services, str) else services):
            return True
    return False


def _of_code(answer: dict[str, Any], action: str, purpose: str, text: str) -> BackendUnavailable:
    code = str(answer.get("Code"))
    if code in _EXPIRED:
        return BackendUnavailable(f"the AWS credentials have expired. {_RENEW}")
    if code in _INVALID:
        return BackendUnavailable(f"AWS does not take these credentials ({code}). {_RENEW}")
    if code in _DENIED:
        return AccessDenied.of(action, purpose)
    return BackendUnavailable(f"AWS refused to {purpose}: {answer.get('Message') or text} ({code}).")
