"""Endpoints on SageMaker."""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.aws.account import Account, NotChecked, find_account
from experiments.aws.budget import Rate, check_rate
from experiments.aws.endpoint import EndpointFailed, ModelError, RemoteEndpoint, find_parts
from experiments.aws.image_push import push_image_if_missing
from experiments.aws.inventory import Resource, open_inventory
from experiments.aws.preflight import check_account_for_endpoint
from experiments.aws.pricing import find_price
from experiments.aws.settings import RemoteSettings, remote_settings
from experiments.aws.storage import Storage, Upload, encryption
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.paths import endpoints_folder
from experiments.config.schema import RemoteModeConfig, ServingConfig
from experiments.errors import ConfigError, storage_errors
from experiments.reporting.console import dollars, print_plain
from experiments.sagemaker_requests.endpoints import Serving
from experiments.sagemaker_requests.limits import SERVERLESS_REGIONS, USUAL_SERVERLESS_MEMORY
from experiments.serving.base import DeployFailed, Deployment, Host, Status, StatusEntry
from experiments.serving.client import Answer, RequestRefused
from experiments.serving.example import EXAMPLE_ACCEPT, check_predictions, example_request
from experiments.serving.memory import with_memory
from experiments.serving.models import Model, place_model
from experiments.serving.plan import check_answers, check_serving, serving_requests
from experiments.serving.records import check_name
from experiments.serving.server_log import relevant_lines
from experiments.system.archives import MODEL_ARCHIVE
from experiments.system.project import COMMAND

# The name in an account for the configured endpoint's default name, which is meant for this machine.
DEFAULT_NAME = "byoe"
_LOCAL_NAME = "local"
# Below the folder of this machine's endpoints, whose names cannot begin with an underscore.
REMOTE_FOLDER = "_cloud"


class RemoteHost(Host):
    """SageMaker, in the account of ``mode=remote``."""

    def __init__(self, composed: Composed, mode: RemoteModeConfig, console: Console) -> None:
        """Use the configuration; nothing is sent.

        Args:
            composed: The configuration.
            mode: The account, and how endpoints are created in it.
            console: Where progress is shown.
        """
        name = composed.config.endpoint
        self.endpoint = DEFAULT_NAME if name == _LOCAL_NAME else name
        self._composed = composed
        self._mode = mode
        self._console = console
        self._endpoints = endpoints_folder(composed.config)
        self._record = self._endpoints / REMOTE_FOLDER / self.endpoint

    def deploy(self, announce: Callable[[Deployment], None]) -> None:
        """Create the endpoint, or switch it to the model, within the budget."""
        serving = self._composed.config.serving
        check_name(self.endpoint)
        check_serving(serving)
        settings = remote_settings(self._mode, typed_command(self._composed.arguments))
        if serving.name == "serverless":
            _check_serverless(settings)
        self._check_budget(settings)
        with tempfile.TemporaryDirectory(prefix="byoe-") as folder:
            model = place_model(self._composed, Path(folder))
            check_answers(serving, model)
            rehearse = typed_command(["mode=sagemaker", "action=deploy", *self._model_argument()])
            serving, memory = with_memory(serving, self._endpoints, model.bundle_hash, rehearse)
            location = settings.location("models", model.bundle_hash[:16], MODEL_ARCHIVE)
            requests = self._requests(serving, settings, model, location)
            with self._console.status("checking the account"):
                notes = self._check_account(serving, settings)
            for note in notes:
                print_plain(self._console, f"note: {note}")
            if settings.to_push is not None:
                push_image_if_missing(settings.account, settings.to_push, settings.options.tags, self._console)
            with self._console.status(f"uploading {location}"):
                storage = Storage(settings.account.client("s3"), encryption(self._mode.output_kms_key))
                storage.upload([Upload(Path(folder) / MODEL_ARCHIVE, location)], lambda _: None)
            print_plain(self._console, f"endpoint {self.endpoint}: serving {model.origin} in {settings.image}.")
            if memory:
                print_plain(self._console, f"memory: {memory}")
            self._serve(requests, model)
            self._keep_record(model)
        announce(Deployment(model, self._summary(model)))

    def next_commands(self, model: Model) -> tuple[str, ...]:
        """Return a request with one row of the model's example by AWS's command line, and the deletion."""
        body, _ = example_request(model.manifest, rows=1)
        quoted = shlex.quote(body.decode())
        request = (
            f"aws sagemaker-runtime invoke-endpoint --region {self._account.region} --endpoint-name {self.endpoint} "
            f"--content-type application/json --cli-binary-format raw-in-base64-out --body {quoted} /dev/stdout"
        )
        return request, f"{_deleting(self.endpoint)}   # deletes the endpoint"

    def invoke(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Send one request to the endpoint through SageMaker."""
        try:
            return Answer(200, *self._remote_endpoint().invoke(body, content_type, accept))
        except ModelError as error:
            try:
                details = json.loads(error.text)
            except ValueError:
                details = {"message": error.text}
            raise RequestRefused(error.status, details if isinstance(details, dict) else {}) from None

    def status(self) -> Status:
        """Return everything in the account that is tagged as byoe's, jobs included, with what it has cost."""
        inventory = open_inventory(self._mode)
        with self._console.status("reading the account"):
            found = list(inventory.resources(ended=True))
        return Status(tuple(StatusEntry(resource.line) for resource in found), _account_summary(found))

    def delete(self) -> None:
        """Delete the endpoint with its configuration and model, and what is known of it on this machine."""
        endpoint = self._remote_endpoint()
        found = endpoint.find()
        if found is not None:
            endpoint.check_owned(found)
        elif next(find_parts(self._account, self.endpoint), None) is None:
            raise ConfigError(
                f"endpoint={self.endpoint}: there is no such endpoint in this account and region. {COMMAND} "
                "mode=remote action=status lists byoe's."
            )
        with self._console.status(f"endpoint {self.endpoint}") as status:
            endpoint.delete(lambda text: status.update(f"endpoint {self.endpoint}: {text}"))
        shutil.rmtree(self._record, ignore_errors=True)

    @functools.cached_property
    def _account(self) -> Account:
        return find_account(self._mode.region, self._mode.profile)

    def _remote_endpoint(self) -> RemoteEndpoint:
        return RemoteEndpoint(self._account, self.endpoint, self._mode.poll_seconds)

    def _model_argument(self) -> list[str]:
        return [argument for argument in self._composed.arguments if argument.startswith("model=")]

    def _check_budget(self, settings: RemoteSettings) -> None:
        serving = self._composed.config.serving
        if serving.instance_type is not None:
            given = self._mode.price_usd_per_hour
            price = find_price(serving.instance_type, settings.account, given, "Hosting")
            rate = Rate(serving.instance_count or 1, serving.instance_type, price)
            check_rate(rate, self._mode.budget_usd, settings.command)

    def _check_account(self, serving: ServingConfig, settings: RemoteSettings) -> list[str]:
        """Check what the endpoint needs, and that it can be switched; return notes for the user.

        Raises:
            ConfigError: AWS would not switch the endpoint of this name, or a value cannot be used in this account.
            BackendUnavailable: The credentials or a quota do not suffice.
        """
        notes, running = [], {}
        try:
            running = self._remote_endpoint().instances()
        except NotChecked as reason:
            notes.append(f"not checked before the launch: {reason}")
        if running and serving.name == "serverless":
            # An endpoint on instances cannot be converted to a serverless one (AWS's guide, "Deploy models with Amazon
            # SageMaker Serverless Inference").
            raise ConfigError(
                f"endpoint={self.endpoint} runs on instances, and SageMaker does not switch such an endpoint to "
                f"serverless. Delete it first: {_deleting(self.endpoint)}. Or "
                "deploy under another name with endpoint=<name>, or stay on instances with serving=realtime. Nothing "
                "was uploaded."
            )
        notes += check_account_for_endpoint(serving, settings, running)
        if (serving.memory_size_in_mb or 0) > USUAL_SERVERLESS_MEMORY:
            notes.append(
                f"many accounts allow a serverless endpoint at most {USUAL_SERVERLESS_MEMORY:,} MB. If AWS refuses "
                f"{serving.memory_size_in_mb:,} MB, request an increase in the console under Service Quotas."
            )
        return notes

    def _requests(
        self, serving: ServingConfig, settings: RemoteSettings, model: Model, location: str
    ) -> dict[str, dict[str, Any]]:
        """Return the requests of the endpoint, named by their content so that a repeated command finds what exists."""
        place = Serving(
            name=self.endpoint,
            version="version",
            image=settings.image,
            role=settings.role,
            model=location,
            isolated=settings.isolated,
            tags={"mode": self._mode.name, "bundle_hash": model.bundle_hash},
            user_tags=settings.options.tags,
            subnets=settings.options.subnets,
            security_groups=settings.options.security_groups,
            volume_kms_key=settings.options.volume_kms_key,
        )
        version = _digest(serving_requests(serving, place, local=False))
        return serving_requests(serving, replace(place, version=version), local=False)

    def _serve(self, requests: Mapping[str, Mapping[str, Any]], model: Model) -> None:
        """Create or switch the endpoint, wait until it serves the model, and test it."""
        name = self.endpoint
        body, expected = example_request(model.manifest)
        state = f"SageMaker may still be creating or switching endpoint {name}"

        def check() -> None:
            nonlocal state
            state = f"Endpoint {name} is in service, but its test or its rollback was not completed"
            self._run_smoke_test(body, expected)

        try:
            with self._console.status(f"endpoint {name}") as status:
                self._remote_endpoint().serve(
                    requests, lambda text: status.update(f"endpoint {name}: {text}; this takes minutes"), check
                )
        except EndpointFailed as error:
            log = relevant_lines(error.log)
            raise DeployFailed(f"{error}\n{log}" if log else str(error)) from None
        except KeyboardInterrupt:
            print_plain(
                self._console,
                f"{state}. It is billed. Run the same command again to complete the deployment, or delete the "
                f"endpoint: {_deleting(name)}",
            )
            raise

    def _run_smoke_test(self, body: bytes, expected: Sequence[float]) -> None:
        try:
            answer = self.invoke(body, "application/json", EXAMPLE_ACCEPT)
        except RequestRefused as error:
            raise DeployFailed(f"the model refuses its own example: {error}") from None
        problem = check_predictions(answer.json(), expected)
        if problem is not None:
            raise DeployFailed(
                f"endpoint {self.endpoint} does not predict what the model predicted in training: {problem}"
            )

    def _keep_record(self, model: Model) -> None:
        """Keep on this machine which model the endpoint serves, for the suite that tests endpoints."""
        record = {
            "endpoint": self.endpoint,
            "region": self._account.region,
            "profile": self._mode.profile,
            "origin": model.origin,
            "bundle_hash": model.bundle_hash,
            "model_dir": str(self._record / "model"),
        }
        with storage_errors(self._record):
            shutil.rmtree(self._record, ignore_errors=True)
            shutil.copytree(model.folder, self._record / "model")
            (self._record / "record.json").write_text(json.dumps(record, indent=1))

    def _summary(self, model: Model) -> str:
        serverless = self._composed.config.serving.name == "serverless"
        billed = "by the request" if serverless else "by the hour, until it is deleted"
        return f"endpoint {self.endpoint} serves {model.origin}; it predicts {model.target} and is billed {billed}."


def _check_serverless(settings: RemoteSettings) -> None:
    """Raise ConfigError for a setting that a serverless endpoint cannot have.

    AWS's container cannot start there: its server writes /etc/sagemaker-nginx.conf (aws/sagemaker-containers,
    src/sagemaker_containers/_server.py), and pip installs into an environment that belongs to root, while the container
    has another user and can write below /tmp only. The other settings are among the "Feature exclusions" of AWS's
    guide, or are about instances.
    """
    fix = "use serving=realtime, an endpoint on instances"
    if settings.requirements:
        raise ConfigError(
            "serving=serverless: AWS's scikit-learn container cannot start on a serverless endpoint, since it writes "
            "to /etc there and installs packages, which is not permitted. Either serve with byoe's image: add "
            "mode.image.push=true, which builds it on this machine's Docker and pushes it to your ECR, or "
            f"mode.image.uri=<an image that action=push has pushed>. Or {fix}. Nothing was uploaded."
        )
    region, options = settings.account.region, settings.options
    if region not in SERVERLESS_REGIONS:
        raise ConfigError(
            f"mode.region={region}: SageMaker has no serverless endpoints there. Use another region, or {fix}."
        )
    if settings.isolated:
        raise ConfigError(
            f"mode.isolated=true: a serverless endpoint has a network. Add mode.isolated=false, or {fix}."
        )
    if options.subnets:
        raise ConfigError(
            "mode.subnets and mode.security_groups: a serverless endpoint cannot be connected to a VPC. Add "
            f"mode.subnets=[] and mode.security_groups=[], or {fix}."
        )
    if options.volume_kms_key is not None:
        raise ConfigError(
            "mode.volume_kms_key encrypts the disks of instances, and a serverless endpoint has none. Add "
            f"mode.volume_kms_key=null, or {fix}."
        )


def _account_summary(found: list[Resource]) -> str:
    if not found:
        return "byoe has nothing in this account and region."
    known = [resource.usd for resource in found if resource.usd is not None]
    unknown = sum(resource.usd is None and resource.is_job for resource in found)
    running = sum(resource.costs for resource in found)
    text = f"byoe's resources: {len(found)}, still billed: {running}. Training: {dollars(sum(known))} so far"
    text += f", without {unknown} jobs whose price is not known" if unknown else ""
    text += "; endpoints are billed by the request or the hour."
    return f"{text}\n{COMMAND} mode=remote action=clean removes what still costs money." if running else text


def _digest(requests: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(requests, sort_keys=True).encode()).hexdigest()[:8]


def _deleting(endpoint: str) -> str:
    """Return the command that deletes an endpoint."""
    return typed_command(["mode=remote", "action=delete", f"endpoint={endpoint}"])
