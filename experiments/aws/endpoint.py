"""Endpoints on SageMaker: made or switched to another model, watched until they serve, asked, and taken down."""

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
from experiments.sagemaker_requests.validation import check_request

CONFIGURATION, MODEL = "endpoint configuration", "model"
LOG_GROUP = "/aws/sagemaker/Endpoints"
# Of an endpoint that failed: enough to include the reason, however much a server writes when it stops.
_LOG_LINES = 300
_OURS = "byoe:"
# What an endpoint's models and configurations have behind its name: a part of the hash of their requests.
_MADE_FOR = re.compile(r"(?P<endpoint>.+)-[0-9a-f]{8}")
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
        status: Its HTTP status.
        text: What it said.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Part:
    """A configuration or a model that was made for an endpoint, and is tagged ours.

    Attributes:
        kind: ``endpoint configuration`` or ``model``.
        name: Its name.
        endpoint: The endpoint's name.
    """

    kind: str
    name: str
    endpoint: str


def find_parts(account: Account, endpoint: str | None = None) -> Iterator[Part]:
    """Yield the configurations, then the models, that were made for an endpoint, or for any.

    Raises:
        BackendUnavailable: AWS refused.
    """
    sagemaker = account.client("sagemaker")
    wanted = {} if endpoint is None else {"NameContains": endpoint}
    for kind, noun, listing in (
        (CONFIGURATION, "EndpointConfig", "list_endpoint_configs"),
        (MODEL, "Model", "list_models"),
    ):
        with aws_errors(f"sagemaker:List{noun}s", f"list each {kind}"):
            pages = sagemaker.get_paginator(listing).paginate(**wanted)
            found = [entry for page in pages for entry in page[f"{noun}s"]]
        for entry in found:
            made = _MADE_FOR.fullmatch(entry[f"{noun}Name"])
            if made is None or endpoint not in (None, made["endpoint"]):
                continue
            with aws_errors("sagemaker:ListTags", f"read the tags of {kind} {made[0]}"):
                tags = sagemaker.list_tags(ResourceArn=entry[f"{noun}Arn"])["Tags"]
            if any(tag["Key"].startswith(_OURS) for tag in tags):
                yield Part(kind, made[0], made["endpoint"])


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


class CloudEndpoint:
    """One endpoint of an account."""

    def __init__(self, account: Account, name: str, poll_seconds: float) -> None:
        """Use the account; nothing is sent yet.

        Args:
            account: The account and region.
            name: The endpoint's name.
            poll_seconds: How often AWS is asked how it is.
        """
        self.name = name
        self._account = account
        self._poll_seconds = poll_seconds
        self._client = account.client("sagemaker")

    def find(self) -> dict[str, Any] | None:
        """Return what AWS says of it, or None where there is none."""
        return self._found("sagemaker:DescribeEndpoint", lambda: self._client.describe_endpoint(EndpointName=self.name))

    def check_ours(self, found: Mapping[str, Any]) -> None:
        """Raise ConfigError unless the endpoint is tagged ours."""
        with aws_errors("sagemaker:ListTags", "read the endpoint's tags"):
            tags = self._client.list_tags(ResourceArn=found["EndpointArn"])["Tags"]
        if not any(tag["Key"].startswith(_OURS) for tag in tags):
            raise ConfigError(
                f"endpoint={self.name}: there is an endpoint of that name that is not ours: take another name."
            )

    def serve(self, requests: Mapping[str, Mapping[str, Any]], tell: Callable[[str], None]) -> None:
        """Make the endpoint of the requests, or switch it to them; return when it serves them.

        Args:
            requests: ``CreateModel``, ``CreateEndpointConfig`` and ``CreateEndpoint``, named by their content.
            tell: Told the endpoint's status, as it changes.

        Raises:
            EndpointFailed: SageMaker could not serve it; what was made for it is removed again.
            BackendUnavailable: AWS refused.
        """
        found = self._settled(tell)
        if found is not None:
            self.check_ours(found)
            if found["EndpointStatus"] == "Failed":  # it serves nothing, and cannot be switched
                self.delete(tell)
                found = None
        config = requests["CreateEndpointConfig"]["EndpointConfigName"]
        if found is not None and found["EndpointConfigName"] == config:
            return
        made = [operation for operation in ("CreateModel", "CreateEndpointConfig") if self._make(operation, requests)]
        model = requests["CreateModel"]["ModelName"]
        try:
            self._switch(requests, config, anew=found is None)
        except BackendUnavailable:
            self._remove(config, model, made)
            raise
        now = self._settled(tell)
        if now is None or now["EndpointStatus"] != "InService" or now["EndpointConfigName"] != config:
            failure = self._failure(now)
            log = deque(log_lines(self._account, f"{LOG_GROUP}/{self.name}"), _LOG_LINES)
            if found is None:
                self._quietly(lambda: self._client.delete_endpoint(EndpointName=self.name))
                self._settled(tell)
            self._remove(config, model, made)
            raise EndpointFailed(failure, log)
        if found is not None:
            self._remove_config(found["EndpointConfigName"])

    def _switch(self, requests: Mapping[str, Mapping[str, Any]], config: str, *, anew: bool) -> None:
        """Ask for the endpoint, or for its switch to a configuration."""
        if anew:
            with aws_errors("sagemaker:CreateEndpoint", f"create endpoint {self.name}"):
                self._client.create_endpoint(**requests["CreateEndpoint"])
            return
        update = {"EndpointName": self.name, "EndpointConfigName": config}
        check_request("UpdateEndpoint", update, local=False)
        with aws_errors("sagemaker:UpdateEndpoint", f"switch endpoint {self.name}"):
            self._client.update_endpoint(**update)

    def delete(self, tell: Callable[[str], None]) -> None:
        """Delete the endpoint, if it is there, its configuration and its models; return when they are gone.

        What a deletion or deployment that was interrupted has left of it goes too.

        Args:
            tell: Told the endpoint's status, as it changes: one that is being made or switched cannot be deleted yet.
        """
        found = self._settled(tell)
        if found is not None:
            self._delete(found, tell)
        for part in list(find_parts(self._account, self.name)):
            delete_part(self._account, part)

    def _delete(self, found: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        with aws_errors("sagemaker:DeleteEndpoint", f"delete endpoint {self.name}"):
            self._client.delete_endpoint(EndpointName=self.name)
        self._settled(tell)
        self._remove_config(found["EndpointConfigName"])

    def invoke(self, body: bytes, content_type: str, accept: str) -> tuple[str, bytes]:
        """Return an answer's content type and body.

        Raises:
            ModelError: The model's container answered with an error.
            BackendUnavailable: AWS refused.
        """
        from botocore.exceptions import ClientError

        runtime = self._account.client("sagemaker-runtime")
        with aws_errors("sagemaker:InvokeEndpoint", f"ask endpoint {self.name}"):
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

    def _make(self, operation: str, requests: Mapping[str, Mapping[str, Any]]) -> bool:
        """Create a model or configuration; return False where it is there, as after a command that was killed."""
        from botocore.exceptions import ClientError

        call = {
            "CreateModel": self._client.create_model,
            "CreateEndpointConfig": self._client.create_endpoint_config,
        }[operation]
        with aws_errors(f"sagemaker:{operation}", f"serve by endpoint {self.name}"):
            try:
                call(**requests[operation])
            except ClientError as error:
                if "already exist" in error.response["Error"].get("Message", ""):
                    return False
                raise
        return True

    def _settled(self, tell: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the endpoint once it no longer changes, or None where there is none."""
        while (found := self.find()) is not None and found["EndpointStatus"] in _CHANGING:
            tell(found["EndpointStatus"])
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

    def _remove(self, config: str, model: str, made: list[str]) -> None:
        if "CreateEndpointConfig" in made:
            self._quietly(lambda: self._client.delete_endpoint_config(EndpointConfigName=config))
        if "CreateModel" in made:
            self._quietly(lambda: self._client.delete_model(ModelName=model))

    def _quietly(self, call: Callable[[], Any]) -> None:
        """Tidy up after a failure, which is what is said, whatever becomes of this."""
        with suppress(BackendUnavailable), aws_errors("sagemaker:Delete*", "tidy up"):
            call()

    def _failure(self, found: Mapping[str, Any] | None) -> str:
        reason = "it is gone" if found is None else found.get("FailureReason", f"it is {found['EndpointStatus']}")
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
