"""Endpoints on SageMaker: created or switched to another model, watched until they serve, invoked and deleted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from experiments.aws.account import Account, aws_errors, refusals_ignored
from experiments.aws.logs import log_lines
from experiments.aws.visibility import created_when_visible, visible_tags
from experiments.errors import ConfigError, EnsembleError
from experiments.sagemaker_requests.tags import TAG_PREFIX
from experiments.sagemaker_requests.validation import check_request
from experiments.system import clock

CONFIGURATION, MODEL = "endpoint configuration", "model"
LOG_GROUP = "/aws/sagemaker/Endpoints"
# Of an endpoint that failed: enough to include the reason, however much a server writes when it stops.
_LOG_LINES = 300
# The name of an endpoint's model or configuration: the endpoint's name and the beginning of the hash of the requests.
_PART_NAME = re.compile(r"(?P<endpoint>.+)-[0-9a-f]{8}")
_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# In these states it serves nothing, or a mix of two models, and cannot be switched (DescribeEndpoint in the API
# reference): it is deleted and created again.
_BROKEN = ("Failed", "OutOfService", "UpdateRollbackFailed")
# The answer about something that another command has deleted in the meantime.
_GONE = re.compile(r"could not find|not found|does not exist", re.IGNORECASE)


class EndpointFailed(EnsembleError):
    """SageMaker could not serve the model, or the deployment could not be rolled back.

    Attributes:
        log: The last lines that the endpoint's containers have written, oldest first.
    """

    def __init__(self, message: str, log: Iterable[str]) -> None:
        super().__init__(message)
        self.log = tuple(log)


class ModelError(Exception):
    """A model's container answered with an error.

    Attributes:
        status: The HTTP status.
        text: The body of the answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Part:
    """A configuration or a model that was created for an endpoint, and has byoe's tags.

    Attributes:
        kind: ``endpoint configuration`` or ``model``.
        name: Its name.
        endpoint: The endpoint's name.
    """

    kind: str
    name: str
    endpoint: str


def find_parts(account: Account, endpoint: str | None = None) -> Iterator[Part]:
    """Yield the configurations, then the models, that were created for one endpoint, or for any.

    Raises:
        BackendUnavailable: AWS refused.
    """
    sagemaker = account.client("sagemaker")
    filters = {} if endpoint is None else {"NameContains": endpoint}
    for kind, noun, listing in (
        (CONFIGURATION, "EndpointConfig", "list_endpoint_configs"),
        (MODEL, "Model", "list_models"),
    ):
        with aws_errors(f"sagemaker:List{noun}s", f"list each {kind}"):
            pages = sagemaker.get_paginator(listing).paginate(**filters)
            found = [entry for page in pages for entry in page[f"{noun}s"]]
        for entry in found:
            match = _PART_NAME.fullmatch(entry[f"{noun}Name"])
            if match is None or endpoint not in (None, match["endpoint"]):
                continue
            tags: list[dict[str, str]] = []
            with aws_errors("sagemaker:ListTags", f"read the tags of {kind} {match[0]}"), refusals_ignored(_GONE):
                tags = sagemaker.list_tags(ResourceArn=entry[f"{noun}Arn"])["Tags"]
            if any(tag["Key"].startswith(TAG_PREFIX) for tag in tags):
                yield Part(kind, match[0], match["endpoint"])


def delete_part(account: Account, part: Part) -> None:
    """Delete a configuration or a model, unless it is gone already.

    Raises:
        BackendUnavailable: AWS refused.
    """
    sagemaker = account.client("sagemaker")
    if part.kind == CONFIGURATION:
        with aws_errors("sagemaker:DeleteEndpointConfig", f"delete {part.kind} {part.name}"), refusals_ignored(_GONE):
            sagemaker.delete_endpoint_config(EndpointConfigName=part.name)
    else:
        with aws_errors("sagemaker:DeleteModel", f"delete {part.kind} {part.name}"), refusals_ignored(_GONE):
            sagemaker.delete_model(ModelName=part.name)


class RemoteEndpoint:
    """One endpoint of an account."""

    def __init__(self, account: Account, name: str, poll_seconds: float) -> None:
        """Use the account; nothing is sent yet.

        Args:
            account: The account and region.
            name: The endpoint's name.
            poll_seconds: Time between two requests for its status.
        """
        self.name = name
        self._account = account
        self._poll_seconds = poll_seconds
        self._client = account.client("sagemaker")

    def find(self) -> dict[str, Any] | None:
        """Return AWS's description of the endpoint, or None if it does not exist."""
        from botocore.exceptions import ClientError

        with aws_errors("sagemaker:DescribeEndpoint", f"look at endpoint {self.name}"):
            try:
                found: dict[str, Any] = self._client.describe_endpoint(EndpointName=self.name)
            except ClientError as error:
                if "Could not find" in error.response["Error"].get("Message", ""):
                    return None
                raise
        return found

    def check_owned(self, found: Mapping[str, Any]) -> None:
        """Raise ConfigError unless the endpoint has byoe's tags."""
        tags = visible_tags(lambda: self._tags(found["EndpointArn"]), found["CreationTime"])
        if not any(key.startswith(TAG_PREFIX) for key in tags):
            raise ConfigError(
                f"endpoint={self.name}: the account has an endpoint of that name that byoe did not deploy. Choose "
                "another name."
            )

    def _tags(self, arn: str) -> dict[str, str]:
        with aws_errors("sagemaker:ListTags", "read the endpoint's tags"):
            return {tag["Key"]: tag["Value"] for tag in self._client.list_tags(ResourceArn=arn)["Tags"]}

    def instances(self) -> dict[str, int]:
        """Return the number of the endpoint's instances by type: none if it is serverless, broken or does not exist.

        Raises:
            ConfigError: byoe did not deploy the endpoint that has this name.
            NotChecked: AWS does not permit describing the endpoint's configuration.
        """
        found = self.find()
        if found is None:
            return {}
        self.check_owned(found)
        if found["EndpointStatus"] in _BROKEN:
            return {}
        name, variants = found["EndpointConfigName"], []
        with (
            aws_errors("sagemaker:DescribeEndpointConfig", f"look at endpoint configuration {name}"),
            refusals_ignored(_GONE),
        ):
            variants = self._client.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
        now = {variant["VariantName"]: variant for variant in found.get("ProductionVariants", ())}
        counts: dict[str, int] = {}
        for variant in variants:
            if "InstanceType" in variant:
                current = now.get(variant["VariantName"], {}).get("CurrentInstanceCount")
                count = current or variant.get("InitialInstanceCount", 1)
                counts[variant["InstanceType"]] = counts.get(variant["InstanceType"], 0) + count
        return counts

    def serve(
        self,
        requests: Mapping[str, Mapping[str, Any]],
        report: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """Create the endpoint, or switch it to another model; return when it serves the model and has passed the check.

        A deployment that fails is rolled back: the endpoint gets its previous configuration again, or is deleted if it
        did not exist. In the end, everything is deleted that was created for the endpoint and that it does not use. An
        interrupt leaves the endpoint and both configurations as they are, and the next call continues from there.

        Args:
            requests: ``CreateModel``, ``CreateEndpointConfig`` and ``CreateEndpoint``, named by their content.
            report: Called with the endpoint's status while it changes.
            check: Tests the endpoint once it serves the model, and raises an EnsembleError if it does not pass.

        Raises:
            ConfigError: byoe did not deploy the endpoint that has this name.
            EndpointFailed: SageMaker could not serve the model, or the deployment could not be rolled back.
            BackendUnavailable: AWS refused.
            EnsembleError: The check failed.
        """
        found = self._settled(report)
        if found is not None:
            self.check_owned(found)
            if found["EndpointStatus"] in _BROKEN:
                self.delete(report)
                found = None
        config = requests["CreateEndpointConfig"]["EndpointConfigName"]
        try:
            if found is None or found["EndpointConfigName"] != config:
                self._request(requests, config, report, create=found is None)
                now = self._settled(report)
                if not _serves(now, config):
                    log = deque(log_lines(self._account, f"{LOG_GROUP}/{self.name}"), _LOG_LINES)
                    raise EndpointFailed(self._failure(now), log)
            check()
        except EnsembleError as error:
            try:
                self._roll_back(found, config, report)
            except EnsembleError as problem:
                raise EndpointFailed(
                    f"{error}\nThe deployment could not be rolled back: {problem}\nEndpoint {self.name} may serve this "
                    "model, and may be billed. Deploy another model, or delete the endpoint.",
                    error.log if isinstance(error, EndpointFailed) else (),
                ) from error
            raise
        self._remove_unused(config)

    def _roll_back(self, before: Mapping[str, Any] | None, config: str, report: Callable[[str], None]) -> None:
        """Return to what the endpoint was before its switch to a configuration, and delete what it does not use.

        Args:
            before: Its description before the switch; None if it did not exist, so that it is deleted.
            config: The configuration to which it was switched, or was to be switched.
            report: Called with the endpoint's status while it changes.

        Raises:
            EndpointFailed: There is nothing to return to, or the endpoint could not be switched back.
            ConfigError: Someone else has created an endpoint of this name in the meantime.
            BackendUnavailable: AWS refused.
        """
        now = self._settled(report)
        if now is not None:
            self.check_owned(now)  # someone else may have created it while this call did
        if before is None or now is None:
            self.delete(report)
            return
        if now["EndpointConfigName"] == config:
            previous = before["EndpointConfigName"]
            if previous == config:  # an earlier command was interrupted before it removed the previous configuration
                parts = find_parts(self._account, self.name)
                others = (part.name for part in parts if part.kind == CONFIGURATION and part.name != config)
                previous = next(others, None)
            if previous is None:
                raise EndpointFailed(f"endpoint {self.name} served no other model before", ())
            self._switch(previous)
            now = self._settled(report)
            if not _serves(now, previous):
                raise EndpointFailed(self._failure(now), ())
        self._remove_unused(now["EndpointConfigName"])

    def _request(
        self,
        requests: Mapping[str, Mapping[str, Any]],
        config: str,
        report: Callable[[str], None],
        *,
        create: bool,
    ) -> None:
        """Create the model and its configuration, and request the endpoint or its switch to them."""
        for operation in ("CreateModel", "CreateEndpointConfig"):
            self._create(operation, requests, report)
        if create:
            with aws_errors("sagemaker:CreateEndpoint", f"create endpoint {self.name}"):
                created_when_visible(lambda: self._client.create_endpoint(**requests["CreateEndpoint"]), report)
        else:
            self._switch(config)

    def _switch(self, config: str) -> None:
        """Request the endpoint's switch to a configuration."""
        update = {"EndpointName": self.name, "EndpointConfigName": config}
        check_request("UpdateEndpoint", update, local=False)
        with aws_errors("sagemaker:UpdateEndpoint", f"switch endpoint {self.name}"):
            self._client.update_endpoint(**update)

    def delete(self, report: Callable[[str], None]) -> None:
        """Delete the endpoint, if it exists, its configurations and its models; return when that is done.

        This includes what an interrupted deletion or deployment has left.

        Args:
            report: Called with the endpoint's status while it changes: SageMaker deletes it only when it has settled.
        """
        if self._settled(report) is not None:
            with aws_errors("sagemaker:DeleteEndpoint", f"delete endpoint {self.name}"), refusals_ignored(_GONE):
                self._client.delete_endpoint(EndpointName=self.name)
            self._settled(report)
        self._remove_unused(None)

    def invoke(self, body: bytes, content_type: str, accept: str) -> tuple[str, bytes]:
        """Send one request, and return the answer's content type and body.

        Raises:
            ModelError: The model's container answered with an error.
            BackendUnavailable: AWS refused.
        """
        from botocore.exceptions import ClientError

        runtime = self._account.client("sagemaker-runtime")
        with aws_errors("sagemaker:InvokeEndpoint", f"invoke endpoint {self.name}"):
            try:
                answer = runtime.invoke_endpoint(
                    EndpointName=self.name, Body=body, ContentType=content_type, Accept=accept
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ModelError":
                    raise
                text = error.response.get("OriginalMessage") or error.response["Error"].get("Message", "")
                raise ModelError(int(error.response.get("OriginalStatusCode") or 500), str(text)) from None
            return str(answer["ContentType"]), bytes(answer["Body"].read())

    def _create(self, operation: str, requests: Mapping[str, Mapping[str, Any]], report: Callable[[str], None]) -> None:
        """Create a model or configuration, unless it exists, as it does after a command that was killed."""
        from botocore.exceptions import ClientError

        call = {
            "CreateModel": self._client.create_model,
            "CreateEndpointConfig": self._client.create_endpoint_config,
        }[operation]
        with aws_errors(f"sagemaker:{operation}", f"create what endpoint {self.name} serves"):
            try:
                created_when_visible(lambda: call(**requests[operation]), report)
            except ClientError as error:
                if "already exist" not in error.response["Error"].get("Message", ""):
                    raise

    def _settled(self, report: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the endpoint when it no longer changes, or None if it does not exist."""
        while (found := self.find()) is not None and found["EndpointStatus"] in _CHANGING:
            report(found["EndpointStatus"])
            clock.sleep(self._poll_seconds)
        return found

    def _remove_unused(self, config: str | None) -> None:
        """Delete the endpoint's configurations and models, except this configuration and its model of the same name."""
        for part in list(find_parts(self._account, self.name)):
            if part.name != config:
                delete_part(self._account, part)

    def _failure(self, found: Mapping[str, Any] | None) -> str:
        reason = "it was deleted" if found is None else found.get("FailureReason", f"it is {found['EndpointStatus']}")
        return f"endpoint {self.name} could not be served: {reason}"


def _serves(found: Mapping[str, Any] | None, config: str) -> TypeGuard[Mapping[str, Any]]:
    return found is not None and found["EndpointStatus"] == "InService" and found["EndpointConfigName"] == config
