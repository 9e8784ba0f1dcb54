"""The user's AWS account: clients that wait out throttling, and AWS's refusals in words that say what mends them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from experiments.config.schema import ModeConfig, account_mode
from experiments.errors import BackendUnavailable, ConfigError

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_INVALID = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
_ATTEMPTS = 10
# S3 alone can be asked without a region, by this one's endpoint, which says where a bucket is.
_REGION_OF_S3 = "us-east-1"
# What a HEAD is answered with, which has no body to say more in.
_BAD_REQUEST = 400
# How AWS says which action is missing; it is not always the one that was asked for.
_PERFORM = re.compile(r"perform: ([\w-]+:\w+)")
_ROLE_REFUSED = re.compile(r"assume role|sts:AssumeRole")
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
            with _settings_read():
                session = boto3.Session(profile_name=self.profile, region_name=self.region)
                client = session.client(service, config=config)
            if service == "s3":
                for operation in ("HeadBucket", "HeadObject"):
                    client.meta.events.register(f"after-call.s3.{operation}", self._look_into_head)
            self._clients[service] = client
        return self._clients[service]

    def identity(self) -> str:
        """Return the number of the account.

        Raises:
            BackendUnavailable: There are no credentials, or AWS does not take them.
        """
        with aws_errors("sts:GetCallerIdentity", "read whose credentials these are"):
            return str(self.client("sts").get_caller_identity()["Account"])

    def _look_into_head(self, http_response: Any, **_: Any) -> None:
        """Have AWS say what it has against the credentials, where the answer to a HEAD says nothing of it."""
        if http_response.status_code == _BAD_REQUEST:
            self.identity()


def find_account(region: str | None, profile: str | None) -> Account:
    """Return the account that the configuration and the user's AWS settings mean; nothing is sent.

    Raises:
        BackendUnavailable: No region is set, or the settings cannot be read.
        ConfigError: There is no such profile.
    """
    found = _region(region, profile)
    if found is None:
        raise BackendUnavailable(
            "no AWS region is set: add mode.region=<region>, such as mode.region=us-east-1, or set AWS_DEFAULT_REGION."
        )
    return Account(found, profile)


def storage_account(mode: ModeConfig) -> Account:
    """Return the account by which a command reads what the user has on S3: that of ``mode=remote``, else the default.

    Raises:
        BackendUnavailable: The user's AWS settings cannot be read.
        ConfigError: There is no such profile.
    """
    remote = account_mode(mode)
    region, profile = (remote.region, remote.profile) if remote else (None, None)
    return Account(_region(region, profile) or _REGION_OF_S3, profile)


def _region(region: str | None, profile: str | None) -> str | None:
    """Return the region that is given, or that of the user's AWS settings."""
    import boto3
    import botocore.session
    from botocore.exceptions import ProfileNotFound

    try:
        with _settings_read():
            found: str | None = boto3.Session(profile_name=profile).region_name
    except ProfileNotFound:
        known = ", ".join(botocore.session.Session().available_profiles) or "none"
        named = f"mode.profile={profile}" if profile else f"AWS_PROFILE={os.environ.get('AWS_PROFILE')}"
        raise ConfigError(
            f"{named}: ~/.aws has no such profile. It has: {known}. `aws configure sso` makes one."
        ) from None
    return region or found


@contextmanager
def _settings_read() -> Iterator[None]:
    """Turn what is wrong with the user's AWS settings into one clear message; a profile that is not there is left.

    Raises:
        BackendUnavailable: They cannot be read, or are not possible.
    """
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        yield
    except ProfileNotFound:
        raise
    except (BotoCoreError, ValueError) as error:  # an address that is none is a ValueError
        raise _of_settings(error) or BackendUnavailable(
            f"the AWS settings cannot be used: {_sentence(error)} They are the variables AWS_*, the files of ~/.aws, "
            "mode.region and mode.profile; `aws configure list` shows them."
        ) from None


@contextmanager
def aws_errors(action: str, purpose: str) -> Iterator[None]:
    """Turn AWS's refusals inside the block into one clear message.

    Args:
        action: The IAM action that the call needs, such as ``s3:PutObject``; where AWS names another, that is named.
        purpose: What it was wanted for, as in "AWS does not let you <purpose>".

    Raises:
        AccessDenied: The credentials do not permit it.
        BackendUnavailable: There are none, they have expired, or AWS cannot be reached or refuses for another reason.
        ConfigError: A value is none that AWS could take.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except ClientError as error:
        raise _of_code(error.response["Error"], action, purpose, str(error)) from error
    except ParamValidationError as error:
        raise ConfigError(f"no request can be made to {purpose}: {_sentence(error)}") from None
    except (BotoCoreError, Boto3Error) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ClientError):  # as the transfer of a file wraps it
            raise _of_code(cause.response["Error"], action, purpose, str(error)) from error
        raise _of_settings(error) or BackendUnavailable(
            f"AWS could not be reached to {purpose}: {error}. Run the same command again."
        ) from error


def error_code(error: BaseException) -> str | None:
    """Return AWS's code of an error that ``aws_errors`` has put into words."""
    response = getattr(error.__cause__, "response", None)
    return str(response["Error"]["Code"]) if response else None


def _of_settings(error: Exception) -> BackendUnavailable | None:
    """Return the message for credentials that are not there, or None where the error is another."""
    from botocore import exceptions

    sign_on = (exceptions.SSOError, exceptions.TokenRetrievalError)
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return BackendUnavailable(
            f"there are no AWS credentials: {error}. `aws configure` or `aws sso login` makes them, and mode.profile "
            "names a profile; docs/aws.md says what they must permit."
        )
    if isinstance(error, sign_on):
        return BackendUnavailable(
            f"AWS's single sign-on has no valid token: {_sentence(error)} `aws sso login` makes one, with --profile "
            "<name> where mode.profile or AWS_PROFILE names one."
        )
    if isinstance(error, exceptions.CredentialRetrievalError):
        return BackendUnavailable(
            f"the AWS credentials could not be had: {_sentence(error)} They are from what ~/.aws names for the "
            "profile, such as its credential_process; `aws sts get-caller-identity` tries them."
        )
    return None


def _sentence(error: Exception) -> str:
    """Return an error's text in one line, with a full stop."""
    return " ".join(str(error).split()).rstrip(".") + "."


def _of_code(answer: dict[str, Any], action: str, purpose: str, text: str) -> BackendUnavailable:
    code = str(answer.get("Code"))
    if code in _EXPIRED:
        return BackendUnavailable(f"the AWS credentials have expired. {_RENEW}")
    if code in _INVALID:
        return BackendUnavailable(f"AWS does not take these credentials ({code}). {_RENEW}")
    if code in _DENIED:
        said = _PERFORM.search(str(answer.get("Message")))
        return AccessDenied.of(said[1] if said else action, purpose)
    message = str(answer.get("Message") or text)
    hint = " docs/aws.md has the commands that create the role." if _ROLE_REFUSED.search(message) else ""
    return BackendUnavailable(f"AWS refused to {purpose}: {message} ({code}).{hint}")
