"""Endpoints on SageMaker: created or switched to another model, watched until they serve, invoked and deleted."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from experiments.aws.account import Account, aws_errors
from experiments.aws.logs import log_lines
from experiments.errors import BackendUnavailable, ConfigError, EnsembleError
from experiments.sagemaker_requests.tags import TAG_PREFIX
from experiments.sagemaker_requests.validation import check_request

CONFIGURATION, MODEL = "endpoint configuration", "model"
LOG_GROUP = "/aws/sagemaker/Endpoints"
# Of an endpoint that failed: enough to include the reason, however much a server writes when it stops.
_LOG_LINES = 300
# The name of an endpoint's model or configuration: the endpoint's name and the beginning of the hash of the requests.
_PART_NAME = re.compile(r"(?P<endpoint>.+)-[0-9a-f]{8}")
_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class EndpointFailed(EnsembleError):
    """SageMaker could not serve the model; an endpoint that existed before keeps serving its own.

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
            with aws_errors("sagemaker:ListTags", f"read the tags of {kind} {match[0]}"):
                tags = sagemaker.list_tags(ResourceArn=entry[f"{noun}Arn"])["Tags"]
            if any(tag["Key"].startswith(TAG_PREFIX) for tag in tags):
                yield Part(kind, match[0], match["endpoint"])


def delete_part(account: Account, part: Part) -> None:
    """Delete a configuration or a model.

    Raises:
        BackendUnavailable: AWS refused.
    """
    sagemaker = account.client("sagemaker")
    if part.kind == CONFIGURATION:
        with aws_errors("sagemaker:DeleteEndpointConfig", f"delete {part.kind} {part.name}"):
            sagemaker.delete_endpoint_config(EndpointConfigName=part.name)
    else:
        with aws_errors("sagemaker:DeleteModel", f"delete {part.kind} {part.name}"):
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
        return self._found("sagemaker:DescribeEndpoint", lambda: self._client.describe_endpoint(EndpointName=self.name))

    def check_owned(self, found: Mapping[str, Any]) -> None:
        """Raise ConfigError unless the endpoint has byoe's tags."""
        with aws_errors("sagemaker:ListTags", "read the endpoint's tags"):
            tags = self._client.list_tags(ResourceArn=found["EndpointArn"])["Tags"]
        if not any(tag["Key"].startswith(TAG_PREFIX) for tag in tags):
            raise ConfigError(
                f"endpoint={self.name}: the account has an endpoint of that name that byoe did not deploy. Choose "
                "another name."
            )

    def serve(self, requests: Mapping[str, Mapping[str, Any]], report: Callable[[str], None]) -> None:
        """Create the endpoint, or switch it to another model; return when it serves the model.

        Args:
            requests: ``CreateModel``, ``CreateEndpointConfig`` and ``CreateEndpoint``, named by their content.
            report: Called with the endpoint's status while it changes.

        Raises:
            EndpointFailed: SageMaker could not serve the model; what was created for it was deleted.
            BackendUnavailable: AWS refused.
        """
        found = self._settled(report)
        if found is not None:
            self.check_owned(found)
            if found["EndpointStatus"] == "Failed":  # it serves nothing and cannot be switched
                self.delete(report)
                found = None
        config = requests["CreateEndpointConfig"]["EndpointConfigName"]
        if found is not None and found["EndpointConfigName"] == config:
            return
        created = [
            operation for operation in ("CreateModel", "CreateEndpointConfig") if self._create(operation, requests)
        ]
        model = requests["CreateModel"]["ModelName"]
        try:
            self._switch(requests, config, create=found is None)
        except BackendUnavailable:
            self._remove(config, model, created)
            raise
        now = self._settled(report)
        if now is None or now["EndpointStatus"] != "InService" or now["EndpointConfigName"] != config:
            failure = self._failure(now)
            log = deque(log_lines(self._account, f"{LOG_GROUP}/{self.name}"), _LOG_LINES)
            if found is None:
                self._quietly(lambda: self._client.delete_endpoint(EndpointName=self.name))
                self._settled(report)
            self._remove(config, model, created)
            raise EndpointFailed(failure, log)
        if found is not None:
            self._remove_config(found["EndpointConfigName"])

    def _switch(self, requests: Mapping[str, Mapping[str, Any]], config: str, *, create: bool) -> None:
        """Request the endpoint, or its switch to a configuration."""
        if create:
            with aws_errors("sagemaker:CreateEndpoint", f"create endpoint {self.name}"):
                self._client.create_endpoint(**requests["CreateEndpoint"])
            return
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
        found = self._settled(report)
        if found is not None:
            self._delete(found, report)
        for part in list(find_parts(self._account, self.name)):
            delete_part(self._account, part)

    def _delete(self, found: Mapping[str, Any], report: Callable[[str], None]) -> None:
        with aws_errors("sagemaker:DeleteEndpoint", f"delete endpoint {self.name}"):
            self._client.delete_endpoint(EndpointName=self.name)
        self._settled(report)
        self._remove_config(found["EndpointConfigName"])

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

    def _create(self, operation: str, requests: Mapping[str, Mapping[str, Any]]) -> bool:
        """Create a model or configuration; return False if it exists, as it does after a command that was killed."""
        from botocore.exceptions import ClientError

        call = {
            "CreateModel": self._client.create_model,
            "CreateEndpointConfig": self._client.create_endpoint_config,
        }[operation]
        with aws_errors(f"sagemaker:{operation}", f"create what endpoint {self.name} serves"):
            try:
                call(**requests[operation])
            except ClientError as error:
                if "already exist" in error.response["Error"].get("Message", ""):
                    return False
                raise
        return True

    def _settled(self, report: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the endpoint when it no longer changes, or None if it does not exist."""
        while (found := self.find()) is not None and found["EndpointStatus"] in _CHANGING:
            report(found["EndpointStatus"])
            time.sleep(self._poll_seconds)
        return found

    def _remove_config(self, config: str) -> None:
        described = self._found(
            "sagemaker:DescribeEndpointConfig",
            lambda: self._client.describe_endpoint_config(EndpointConfigName=config),
        )
        if described is None:
            return
        with aws_errors("sagemaker:DeleteEndpointConfig", f"delete endpoint configuration {config}"):
            self._client.delete_endpoint_config(EndpointConfigName=config)
        for variant in described["ProductionVariants"]:
            with aws_errors("sagemaker:DeleteModel", f"delete model {variant['ModelName']}"):
                self._client.delete_model(ModelName=variant["ModelName"])

    def _remove(self, config: str, model: str, created: list[str]) -> None:
        if "CreateEndpointConfig" in created:
            self._quietly(lambda: self._client.delete_endpoint_config(EndpointConfigName=config))
        if "CreateModel" in created:
            self._quietly(lambda: self._client.delete_model(ModelName=model))

    def _quietly(self, call: Callable[[], Any]) -> None:
        """Clean up after a failure. That failure is reported, even if the cleaning fails too."""
        with suppress(BackendUnavailable), aws_errors("sagemaker:Delete*", "clean up"):
            call()

    def _failure(self, found: Mapping[str, Any] | None) -> str:
        reason = "it was deleted" if found is None else found.get("FailureReason", f"it is {found['EndpointStatus']}")
        return f"endpoint {self.name} could not be served: {reason}"

    def _found(self, action: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with aws_errors(action, f"look at endpoint {self.name}"):
            try:
                return call()
            except ClientError as error:
                if "Could not find" in error.response["Error"].get("Message", ""):
                    return None
                raise
