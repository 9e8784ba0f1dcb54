"""``mode=remote``'s endpoints: a model served by SageMaker, asked and taken down like one on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.aws.account import find_account
from experiments.aws.budget import Rate, check_rate
from experiments.aws.endpoint import CloudEndpoint, ModelError, find_parts
from experiments.aws.preflight import check_account_for_endpoint
from experiments.aws.pricing import find_price
from experiments.aws.settings import remote_settings
from experiments.aws.storage import Storage, Upload, encryption
from experiments.config.arguments import typed_command
from experiments.config.compose import Composed
from experiments.config.paths import endpoints_folder
from experiments.config.schema import RemoteModeConfig
from experiments.errors import ConfigError, storage_errors
from experiments.reporting.console import print_plain
from experiments.serving.client import Answer, RequestRefused
from experiments.serving.memory import with_memory
from experiments.serving.models import Model, place_model
from experiments.serving.plan import Site, check_serving, serving_requests
from experiments.serving.records import check_name
from experiments.serving.smoke_test import DeployFailed, check_predictions, example_request
from experiments.system.archives import MODEL_ARCHIVE

# What an endpoint is called in an account where the configuration has the name of the one on this machine.
DEFAULT_NAME = "byoe"
_LOCAL_NAME = "local"
# Below the folder of this machine's endpoints, whose names cannot begin like that.
CLOUD_FOLDER = "_cloud"


def endpoint_name(composed: Composed) -> str:
    """Return the name of the endpoint that the configuration means in an account."""
    name = composed.config.endpoint
    return DEFAULT_NAME if name == _LOCAL_NAME else name


def deploy_to_cloud(composed: Composed, mode: RemoteModeConfig, words: Sequence[str], console: Console) -> int:
    """Serve a model by an endpoint on SageMaker and say how it is asked; return 0.

    Raises:
        InputError: A mistake in the configuration, a model that is none, or what AWS refuses.
        EndpointFailed, DeployFailed: It did not come up, or predicts otherwise than the model did when it was trained.
    """
    name, serving = endpoint_name(composed), composed.config.serving
    check_name(name)
    check_serving(serving)
    settings = remote_settings(mode, typed_command(words))
    account = settings.account
    if serving.instance_type is not None:
        price = find_price(serving.instance_type, account.region, mode.price_usd_per_hour)
        rate = Rate(serving.instance_count or 1, serving.instance_type, price)
        check_rate(rate, mode.budget_usd, settings.command)
    with tempfile.TemporaryDirectory(prefix="byoe-") as folder:
        model = place_model(composed, Path(folder))
        rehearses = typed_command(["mode=sagemaker", "action=deploy", *(w for w in words if w.startswith("model="))])
        serving, memory = with_memory(serving, _endpoints(composed), model.bundle_hash, rehearses)
        location = settings.location("models", model.bundle_hash[:16], MODEL_ARCHIVE)
        site = Site(
            name=name,
            version="version",
            image=settings.image,
            role=settings.role,
            model=location,
            isolated=settings.isolated,
            local=False,
            tags={"mode": mode.name, "bundle_hash": model.bundle_hash},
        )
        # By its content, so that a command that was killed finds what it had made.
        site = replace(site, version=_digest(serving_requests(serving, site)))
        requests = serving_requests(serving, site)
        with console.status("looking at the account"):
            notes = check_account_for_endpoint(serving, settings)
        for note in notes:
            print_plain(console, f"note: {note}")
        endpoint = CloudEndpoint(account, name, mode.poll_seconds)
        with console.status(f"uploading {location}"):
            storage = Storage(account.client("s3"), encryption(mode.output_kms_key))
            storage.upload([Upload(Path(folder) / MODEL_ARCHIVE, location)], lambda _: None)
        print_plain(console, f"endpoint {name}: serving {model.origin} in {settings.image}.")
        if memory:
            other = " AWS's container has other servers in it, and may take more." if settings.requirements else ""
            print_plain(console, f"its memory: {memory}{other}")
        try:
            with console.status(f"endpoint {name}") as status:
                endpoint.serve(requests, lambda text: status.update(f"endpoint {name}: {text}; this takes minutes"))
                _prove(mode, name, model)
        except KeyboardInterrupt:
            print_plain(
                console,
                f"endpoint {name} goes on being made, and is paid for: the same command waits for it, python run.py "
                f"mode=remote action=delete endpoint={name} removes it.",
            )
            raise
        _keep(composed, mode, name, model)
    _show(name, serving.name, model, mode, console)
    return 0


def invoke_in_cloud(composed: Composed, mode: RemoteModeConfig, body: bytes, content_type: str, accept: str) -> Answer:
    """Return the answer of an endpoint on SageMaker.

    Raises:
        RequestRefused: The model's container answered with an error.
        BackendUnavailable: AWS refused.
    """
    return _invoke(mode, endpoint_name(composed), body, content_type, accept)


def delete_in_cloud(composed: Composed, mode: RemoteModeConfig, console: Console) -> int:
    """Delete an endpoint on SageMaker with its configuration and model; return 0.

    Raises:
        InputError: There is none of that name, or it is not ours.
        BackendUnavailable: AWS refused.
    """
    name, account = endpoint_name(composed), find_account(mode.region, mode.profile)
    endpoint = CloudEndpoint(account, name, mode.poll_seconds)
    found = endpoint.find()
    if found is not None:
        endpoint.check_ours(found)
    elif next(find_parts(account, name), None) is None:
        raise ConfigError(
            f"endpoint={name}: there is no such endpoint in this account and region. python run.py mode=remote "
            "action=status lists ours."
        )
    with console.status(f"endpoint {name}") as status:
        endpoint.delete(lambda text: status.update(f"endpoint {name}: {text}"))
    shutil.rmtree(_folder(composed, name), ignore_errors=True)
    print_plain(console, f"endpoint {name} is deleted, with its configuration and model.")
    return 0


def _endpoints(composed: Composed) -> Path:
    return endpoints_folder(composed.config)


def _folder(composed: Composed, name: str) -> Path:
    return _endpoints(composed) / CLOUD_FOLDER / name


def _keep(composed: Composed, mode: RemoteModeConfig, name: str, model: Model) -> None:
    """Keep on this machine which model the endpoint serves, for the suite that tests endpoints."""
    folder = _folder(composed, name)
    record = {
        "endpoint": name,
        "region": find_account(mode.region, mode.profile).region,
        "profile": mode.profile,
        "origin": model.origin,
        "bundle_hash": model.bundle_hash,
        "model_dir": str(folder / "model"),
    }
    with storage_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model.folder, folder / "model")
        (folder / "record.json").write_text(json.dumps(record, indent=1))


def _invoke(mode: RemoteModeConfig, name: str, body: bytes, content_type: str, accept: str) -> Answer:
    endpoint = CloudEndpoint(find_account(mode.region, mode.profile), name, mode.poll_seconds)
    try:
        return Answer(200, *endpoint.invoke(body, content_type, accept))
    except ModelError as error:
        try:
            details = json.loads(error.text)
        except ValueError:
            details = {"message": error.text}
        raise RequestRefused(error.status, details if isinstance(details, dict) else {}) from None


def _prove(mode: RemoteModeConfig, name: str, model: Model) -> None:
    body, expected = example_request(model.manifest)
    try:
        answer = _invoke(mode, name, body, "application/json", "application/json")
    except RequestRefused as error:
        raise DeployFailed(f"the model refuses its own example: {error}") from None
    problem = check_predictions(answer.json(), expected)
    if problem is not None:
        raise DeployFailed(f"endpoint {name} does not predict what the model did when it was trained: {problem}")


def _digest(requests: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(requests, sort_keys=True).encode()).hexdigest()[:8]


def _show(name: str, serving: str, model: Model, mode: RemoteModeConfig, console: Console) -> None:
    billed = "by the request" if serving == "serverless" else "by the hour, until it is deleted"
    print_plain(
        console,
        f"endpoint {name} serves {model.origin}; it predicts {model.manifest['target']} and is billed {billed}.",
    )
    account = find_account(mode.region, mode.profile)
    body, _ = example_request(model.manifest, rows=1)
    quoted = body.decode().replace("'", "'\\''")
    print_plain(
        console,
        f"\n  aws sagemaker-runtime invoke-endpoint --region {account.region} --endpoint-name {name} --content-type "
        f"application/json --cli-binary-format raw-in-base64-out --body '{quoted}' /dev/stdout\n"
        f"  python run.py mode=remote action=delete endpoint={name}   # takes it down\n",
    )
