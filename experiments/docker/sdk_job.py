"""One training job in SageMaker's local mode, by the SDK itself: the very request, the toolkit's own ``train``.

``run_job`` is called in a process of its own, since the SDK prints the container's log to standard output, changes the
environment and keeps state for the process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.docker.engine import LABEL, RUN_LABEL, connect, labels, remove_containers
from experiments.errors import BackendUnavailable

if TYPE_CHECKING:
    from docker import DockerClient

# Imported by the process that such jobs are forked from.
PRELOAD = ("sagemaker.core.local.local_session", "docker", "experiments.docker.sdk_job")
# The network that the SDK's compose file names; the SDK has no setting for it.
NETWORK = "sagemaker-local"
# The SDK wants a region and writes the session's credentials into its compose file: it gets stand-ins.
_REGION = "us-east-1"
_STAND_IN = "none"
_PROJECT_LABEL = "com.docker.compose.project"
_NETWORK_LABEL = "com.docker.compose.network"
_TELEMETRY_OFF = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


def run_job(document: dict[str, Any], root: str, container: dict[str, Any]) -> bool:
    """Run a ``CreateTrainingJob`` request in SageMaker's local mode; its artifacts go where the request says.

    Args:
        document: The request, with ``file://`` locations.
        root: Folder for what the SDK makes on its way; removed at the end.
        container: Settings of the container beside those of the SDK, in compose's words; its labels name it.

    Returns:
        Whether the script ended well. The SDK knows no more than that; why it did not is in log and artifacts.
    """
    with _no_account():
        import boto3
        from sagemaker.core.local.local_session import LocalSession

        boto_session = boto3.Session(aws_access_key_id=_STAND_IN, aws_secret_access_key=_STAND_IN, region_name=_REGION)
        session = LocalSession(boto_session=boto_session, sagemaker_config=_TELEMETRY_OFF)
        session.config = {"local": {"local_code": True, "container_root": root, "container_config": container}}
        try:
            with _folders_of_the_user():
                session.sagemaker_client.create_training_job(**document)
            if document["EnableNetworkIsolation"]:
                with closing(connect()) as client:
                    # Whoever has ended meanwhile may have removed the network, and compose then makes one of its own.
                    find_network(client, isolated=True)
        except RuntimeError as error:  # the exit code of compose
            print(error)
            return False
        else:
            return True
        finally:
            with suppress(Exception), closing(connect()) as client:  # a dead engine has no containers
                remove_containers(client, container["labels"])
                # Compose calls a project after its folder. It has made the network itself if ours was gone by then.
                _remove_networks(client, [f"{_PROJECT_LABEL}={folder.name}" for folder in Path(root).iterdir()])
            shutil.rmtree(root, ignore_errors=True)


def make_network(run: str) -> None:
    """Make the network of the SDK's compose file without a way out, unless there is one already.

    Raises:
        BackendUnavailable: There is one of that name that leads outside.
    """
    from docker.errors import APIError

    with closing(connect()) as client:
        if find_network(client, isolated=True):
            return
        # With the label of compose, which takes it for its own.
        made = labels("network", run=run) | {_NETWORK_LABEL: NETWORK}
        try:
            client.networks.create(NETWORK, driver="bridge", internal=True, labels=made, check_duplicate=True)
        except APIError as error:
            if error.status_code != 409 or not find_network(client, isolated=True):  # another run has just made it
                raise


def find_network(client: DockerClient, *, isolated: bool) -> bool:
    """Return whether the network of the SDK's compose file is there.

    Args:
        client: The engine's.
        isolated: Whether it must have no way out, or must have one.

    Raises:
        BackendUnavailable: It is there, and is the other kind.
    """
    # The engine finds names that contain the one asked for, too.
    for network in client.networks.list(names=[NETWORK]):
        if network.name == NETWORK and bool(network.attrs["Internal"]) is not isolated:
            kind, wanted = ("leads outside", "none") if isolated else ("leads nowhere", "bridge")
            raise BackendUnavailable(
                f"the Docker network {NETWORK}, which jobs of SageMaker's local mode join, is there and {kind}, so "
                f"mode.network={wanted} cannot hold. End what uses it, then remove it: docker network rm {NETWORK}"
            )
        if network.name == NETWORK:
            return True
    return False


def remove_run(run: str) -> None:
    """Remove the containers and the network that this run has made; the end of a process calls it too."""
    with suppress(Exception), closing(connect()) as client:  # as above
        remove_containers(client, {RUN_LABEL: run})
        # Whoever ends last removes a network that several runs have shared.
        _remove_networks(client, [f"{LABEL}=network"])


def _remove_networks(client: DockerClient, filters: list[str]) -> None:
    """Remove the networks that have any of these labels and that no container uses."""
    from docker.errors import APIError

    for network in [found for label in filters for found in client.networks.list(filters={"label": label})]:
        with suppress(APIError):  # in use
            network.remove()


@contextmanager
def _folders_of_the_user() -> Iterator[None]:
    """Have the SDK make all the folders that it mounts, so that they are the user's.

    It leaves two of them to the engine, which makes them for root, and the script, which runs as the user, could not
    write there. The SDK has no setting for that; the function is one of its own.
    """
    from sagemaker.core.local import image

    make = image._create_config_file_directories

    def make_all(root: str, host: str) -> None:
        make(root, host)
        for folder in (Path(root) / "model", Path(root) / host / "output" / "data"):
            folder.mkdir(mode=0o700, exist_ok=True)

    image._create_config_file_directories = make_all
    try:
        yield
    finally:
        image._create_config_file_directories = make


@contextmanager
def _no_account() -> Iterator[Mapping[str, str]]:
    """Hide the user's AWS settings from the SDK, which would put what it finds into files and containers."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("AWS_", "SAGEMAKER_"))}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update(nothing, AWS_EC2_METADATA_DISABLED="true")
    try:
        yield kept
    finally:
        for name in (*nothing, "AWS_EC2_METADATA_DISABLED"):
            os.environ.pop(name, None)
        os.environ.update(kept)
