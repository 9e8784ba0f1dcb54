"""Run one training job in SageMaker local mode with the SDK itself: the same request, and the toolkit's ``train``.

Call ``run_job`` in a separate process: the SDK prints the container's log to standard output, changes the environment
and keeps state for the process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.docker.engine import LABEL, RUN_LABEL, connect, labels, open_engine, remove_containers
from experiments.errors import BackendUnavailable

if TYPE_CHECKING:
    from docker import DockerClient

# Imported by the process that forks the jobs.
PRELOAD = ("sagemaker.core.local.local_session", "docker", "experiments.docker.sdk_job")
# The network that the SDK's compose file names; the SDK has no setting for it.
NETWORK = "sagemaker-local"
# The SDK needs a region and writes the session's credentials into its compose file, so it gets placeholders.
_REGION = "us-east-1"
_STAND_IN = "none"
_PROJECT_LABEL = "com.docker.compose.project"
_NETWORK_LABEL = "com.docker.compose.network"
_TELEMETRY_OFF = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


def run_job(document: dict[str, Any], root: str, container: dict[str, Any]) -> bool:
    """Run a ``CreateTrainingJob`` request in SageMaker local mode; its artifacts are written where the request says.

    Args:
        document: The request, with ``file://`` locations.
        root: Folder for the SDK's temporary files, removed at the end.
        container: compose's settings of the container in addition to the SDK's; its labels identify it.

    Returns:
        Whether the script succeeded. The SDK reports no more; the reason of a failure is in the log and the artifacts.
    """
    with _account_hidden():
        import boto3
        from sagemaker.core.local.local_session import LocalSession

        boto_session = boto3.Session(aws_access_key_id=_STAND_IN, aws_secret_access_key=_STAND_IN, region_name=_REGION)
        session = LocalSession(boto_session=boto_session, sagemaker_config=_TELEMETRY_OFF)
        session.config = {"local": {"local_code": True, "container_root": root, "container_config": container}}
        try:
            with _folders_owned_by_user():
                session.sagemaker_client.create_training_job(**document)
            if document["EnableNetworkIsolation"]:
                with open_engine() as client:
                    # A run that ended in the meantime may have removed the network, and compose then creates another.
                    find_network(client, isolated=True)
        except RuntimeError as error:  # the exit code of compose
            print(error)
            return False
        else:
            return True
        finally:
            with suppress(Exception), closing(connect()) as client:  # an engine that has stopped has no containers
                remove_containers(client, container["labels"])
                # Compose names a project after its folder, and creates a network if byoe's was removed.
                _remove_networks(client, [f"{_PROJECT_LABEL}={folder.name}" for folder in Path(root).iterdir()])
            shutil.rmtree(root, ignore_errors=True)


def create_network(run: str) -> None:
    """Create the network of the SDK's compose file without a route to the outside, unless it exists already.

    Raises:
        BackendUnavailable: A network of that name exists and has a route to the outside.
    """
    from docker.errors import APIError

    with open_engine() as client:
        if find_network(client, isolated=True):
            return
        # With compose's label, so that compose uses it.
        network_labels = labels("network", run=run) | {_NETWORK_LABEL: NETWORK}
        try:
            client.networks.create(NETWORK, driver="bridge", internal=True, labels=network_labels, check_duplicate=True)
        except APIError as error:
            if error.status_code != 409 or not find_network(client, isolated=True):  # another run has just created it
                raise


def find_network(client: DockerClient, *, isolated: bool) -> bool:
    """Return whether the network of the SDK's compose file exists.

    Args:
        client: The engine's client.
        isolated: Whether the network must have no route to the outside, or must have one.

    Raises:
        BackendUnavailable: The network exists and is of the other kind.
    """
    # The engine also finds names that contain this one.
    for network in client.networks.list(names=[NETWORK]):
        if network.name == NETWORK and bool(network.attrs["Internal"]) is not isolated:
            kind, wanted = (
                ("has a route to the outside", "none") if isolated else ("has no route to the outside", "bridge")
            )
            raise BackendUnavailable(
                f"the Docker network {NETWORK}, which jobs of SageMaker local mode join, exists and {kind}, so "
                f"mode.network={wanted} is not possible. Stop what uses it, then remove it: docker network rm {NETWORK}"
            )
        if network.name == NETWORK:
            return True
    return False


def remove_run(run: str) -> None:
    """Remove the containers and the network of a run; the resident process calls it too when its harness ends."""
    with suppress(Exception), closing(connect()) as client:  # as above
        remove_containers(client, {RUN_LABEL: run})
        # The run that ends last removes a network that several runs shared.
        _remove_networks(client, [f"{LABEL}=network"])


def _remove_networks(client: DockerClient, filters: list[str]) -> None:
    """Remove the networks with any of these labels that no container uses."""
    from docker.errors import APIError

    for network in [found for label in filters for found in client.networks.list(filters={"label": label})]:
        with suppress(APIError):  # in use
            network.remove()


@contextmanager
def _folders_owned_by_user() -> Iterator[None]:
    """Have the SDK create all folders that it mounts, so that the user owns them.

    It leaves two of them to the engine, which creates them for root, and the script, which runs as the user, could not
    write there. The SDK has no setting for this, so its own function is replaced inside the block.
    """
    from sagemaker.core.local import image

    create = image._create_config_file_directories

    def create_all(root: str, host: str) -> None:
        create(root, host)
        for folder in (Path(root) / "model", Path(root) / host / "output" / "data"):
            folder.mkdir(mode=0o700, exist_ok=True)

    image._create_config_file_directories = create_all
    try:
        yield
    finally:
        image._create_config_file_directories = create


@contextmanager
def _account_hidden() -> Iterator[Mapping[str, str]]:
    """Hide the user's AWS settings from the SDK, which would write credentials into files and containers."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("AWS_", "SAGEMAKER_"))}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update(nothing, AWS_EC2_METADATA_DISABLED="true")
    try:
        yield kept
    finally:
        for name in (*nothing, "AWS_EC2_METADATA_DISABLED"):
            os.environ.pop(name, None)
        os.environ.update(kept)
