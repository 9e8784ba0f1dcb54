"""The user's AWS account: clients that retry when throttled, and AWS's errors as messages that name the fix."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.config.schema import ModeConfig
from experiments.errors import BackendUnavailable, ConfigError
from experiments.sagemaker_requests.limits import SECONDS_TO_INVOKE

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.loaders import Loader

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_INVALID = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
_ATTEMPTS = 10
_SECONDS_TO_READ = 60
# An invocation that has timed out may still be computed, so it is repeated once only. Prices can be given instead.
_FEWER_ATTEMPTS = {"sagemaker-runtime": 2, "pricing": 1}
_SECONDS_TO_CONNECT = {"pricing": 3}
# S3 needs no region of the user's: the endpoint of this one redirects to the bucket's.
_DEFAULT_S3_REGION = "us-east-1"
# The answer to a HEAD request with invalid credentials; it has no body that gives the reason.
_BAD_REQUEST = 400
# AWS names the missing action, which is not always the one that was called: creating a job also needs iam:PassRole.
_MISSING_ACTION = re.compile(r"perform: ([\w-]+:\w+)")
_ROLE_REFUSED = re.compile(r"assume role|sts:AssumeRole")
# The answer to CreateEndpoint and UpdateEndpoint above the account's quota of serverless memory.
_MEMORY_QUOTA = re.compile(r"Memory size in MB per serverless endpoint' is (\d+)")
_RENEW = "Renew them, for example with `aws sso login`, and run the same command again: it continues from there."


class NotChecked(BackendUnavailable):
    """Something could not be checked; the message has the reason."""


class AccessDenied(NotChecked):
    """The credentials lack a permission; the message names the IAM action."""

    @classmethod
    def of(cls, action: str, purpose: str) -> AccessDenied:
        """Return the error for a missing IAM action, with the text "AWS does not let you <purpose>"."""
        return cls(
            f"AWS does not let you {purpose}: the credentials need the IAM action {action}. docs/aws.md has a policy."
        )


@dataclass(frozen=True)
class Account:
    """One account in one region.

    Attributes:
        region: The region.
        profile: The profile in ``~/.aws``, or None for the default.
    """

    region: str
    profile: str | None = None

    _clients: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service; one is created per service."""
        from botocore.config import Config

        if service not in self._clients:
            invokes = service == "sagemaker-runtime"
            attempts = _FEWER_ATTEMPTS.get(service, _ATTEMPTS)
            config = Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=_SECONDS_TO_CONNECT.get(service, 10),
                read_timeout=SECONDS_TO_INVOKE if invokes else _SECONDS_TO_READ,
            )
            with _settings_errors():
                client = _session(self.profile, self.region).client(service, config=config)
            if service == "s3":
                for operation in ("HeadBucket", "HeadObject"):
                    client.meta.events.register(f"after-call.s3.{operation}", self._explain_bad_request)
            self._clients[service] = client
        return self._clients[service]

    def identity(self) -> str:
        """Return the account's ID.

        Raises:
            BackendUnavailable: There are no credentials, or AWS rejects them.
        """
        with aws_errors("sts:GetCallerIdentity", "look up the account of these credentials"):
            return str(self.client("sts").get_caller_identity()["Account"])

    def _explain_bad_request(self, http_response: Any, **_: Any) -> None:
        """Raise the reason why AWS rejects the credentials, which the answer to a HEAD request does not have."""
        if http_response.status_code == _BAD_REQUEST:
            self.identity()


def find_account(region: str | None, profile: str | None) -> Account:
    """Return the account that the configuration and the user's AWS settings select; nothing is sent.

    Raises:
        BackendUnavailable: No region is set, or the settings cannot be read.
        ConfigError: The profile does not exist.
    """
    found = configured_region(region, profile)
    if found is None:
        raise BackendUnavailable(
            "no AWS region is set: add mode.region=<region>, such as mode.region=us-east-1, or set AWS_DEFAULT_REGION."
        )
    return Account(found, profile)


def storage_account(mode: ModeConfig) -> Account:
    """Return the account whose credentials read the user's data on S3: that of ``mode=remote``, else the default.

    Raises:
        BackendUnavailable: The user's AWS settings cannot be read.
        ConfigError: The profile does not exist.
    """
    remote = mode.account
    region, profile = (remote.region, remote.profile) if remote else (None, None)
    return Account(configured_region(region, profile) or _DEFAULT_S3_REGION, profile)


def _session(profile: str | None, region: str | None) -> Session:
    """Return a session of the user's AWS settings; all share what botocore has read of AWS's services."""
    import boto3
    import botocore.session

    session = botocore.session.get_session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return boto3.Session(profile_name=profile, region_name=region, botocore_session=session)


@functools.cache
def _loader(search_path: str | None) -> Loader:
    """Return what reads the descriptions of AWS's services, which takes tenths of a second for each."""
    from botocore.loaders import create_loader

    return create_loader(search_path)


def configured_region(region: str | None, profile: str | None) -> str | None:
    """Return the given region, or the one in the user's AWS settings."""
    import botocore.session
    from botocore.exceptions import ProfileNotFound

    try:
        with _settings_errors():
            found: str | None = _session(profile, None).region_name
    except ProfileNotFound:
        known = ", ".join(botocore.session.Session().available_profiles) or "none"
        named = f"mode.profile={profile}" if profile else f"AWS_PROFILE={os.environ.get('AWS_PROFILE')}"
        raise ConfigError(
            f"{named}: ~/.aws has no such profile. It has: {known}. Create one with `aws configure sso`."
        ) from None
    return region or found


@contextmanager
def _settings_errors() -> Iterator[None]:
    """Raise errors in the user's AWS settings as one message; a profile that does not exist is not handled here.

    Raises:
        BackendUnavailable: The settings cannot be read, or have an invalid value.
    """
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        yield
    except ProfileNotFound:
        raise
    except (BotoCoreError, ValueError) as error:  # an invalid endpoint URL is a ValueError
        raise _credentials_error(error) or BackendUnavailable(
            f"the AWS settings cannot be used: {_sentence(error)} Correct the variables AWS_*, the files in ~/.aws, "
            "mode.region or mode.profile; `aws configure list` shows the effective settings."
        ) from None


@contextmanager
def refusals_ignored(message: re.Pattern[str]) -> Iterator[None]:
    """Ignore AWS's refusal of a request if its message matches, such as that of deleting what no longer exists."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if not message.search(str(error.response["Error"].get("Message", ""))):
            raise


@contextmanager
def aws_errors(action: str, purpose: str) -> Iterator[None]:
    """Raise errors of AWS and boto3 inside the block as one message each.

    Args:
        action: The IAM action that the call needs, such as ``s3:PutObject``. If AWS names another one, the message
            has that.
        purpose: What the call is for, as in "AWS does not let you <purpose>".

    Raises:
        AccessDenied: The credentials lack a permission.
        BackendUnavailable: There are no credentials, they have expired, or AWS cannot be reached or refuses for
            another reason.
        ConfigError: boto3 rejects a value before it sends the request.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except ClientError as error:
        raise _refusal(error.response["Error"], action, purpose, str(error)) from error
    except ParamValidationError as error:
        raise ConfigError(f"the request to {purpose} is invalid: {_sentence(error)}") from None
    except (BotoCoreError, Boto3Error) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ClientError):  # the transfer of a file wraps it
            raise _refusal(cause.response["Error"], action, purpose, str(error)) from error
        raise _credentials_error(error) or BackendUnavailable(
            f"AWS could not be reached to {purpose}: {error}. Run the same command again."
        ) from error


def error_code(error: BaseException) -> str | None:
    """Return AWS's code of an error that ``aws_errors`` raised, or None if it came from elsewhere."""
    response = getattr(error.__cause__, "response", None)
    return str(response["Error"]["Code"]) if response else None


def _credentials_error(error: Exception) -> BackendUnavailable | None:
    """Return the error for credentials that cannot be obtained, or None if the error has another cause."""
    from botocore import exceptions

    sign_on = (exceptions.SSOError, exceptions.TokenRetrievalError)
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return BackendUnavailable(
            f"there are no AWS credentials: {error}. Run `aws configure` or `aws sso login`, or select a profile with "
            "mode.profile; docs/aws.md lists the permissions that they need."
        )
    if isinstance(error, sign_on):
        return BackendUnavailable(
            f"AWS's single sign-on has no valid token: {_sentence(error)} Run `aws sso login`, with --profile <name> "
            "if mode.profile or AWS_PROFILE is set."
        )
    if isinstance(error, exceptions.CredentialRetrievalError):
        return BackendUnavailable(
            f"the AWS credentials could not be obtained: {_sentence(error)} Check the profile in ~/.aws, for example "
            "its credential_process, with `aws sts get-caller-identity`."
        )
    return None


def _sentence(error: Exception) -> str:
    """Return the text of an error in one line, with a full stop."""
    return " ".join(str(error).split()).rstrip(".") + "."


def _refusal(answer: dict[str, Any], action: str, purpose: str, text: str) -> BackendUnavailable:
    code = str(answer.get("Code"))
    if code in _EXPIRED:
        return BackendUnavailable(f"the AWS credentials have expired. {_RENEW}")
    if code in _INVALID:
        return BackendUnavailable(f"AWS rejects these credentials ({code}). {_RENEW}")
    if code in _DENIED:
        named = _MISSING_ACTION.search(str(answer.get("Message")))
        return AccessDenied.of(named[1] if named else action, purpose)
    message = str(answer.get("Message") or text)
    if (memory := _MEMORY_QUOTA.search(message)) is not None:
        return BackendUnavailable(
            f"this account allows a serverless endpoint at most {int(memory[1]):,} MB. Use serving.memory_size_in_mb="
            f"{memory[1]} or less if the model fits, request an increase in the console under Service Quotas, Amazon "
            f"SageMaker, or add serving=realtime. AWS refused to {purpose}: {message} ({code})."
        )
    hint = " docs/aws.md has the commands that create the role." if _ROLE_REFUSED.search(message) else ""
    return BackendUnavailable(f"AWS refused to {purpose}: {message} ({code}).{hint}")
