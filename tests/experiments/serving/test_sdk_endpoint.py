"""The same archive and image, served by the SageMaker SDK's own local mode."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from experiments.config.compose import compose
from experiments.docker.engine import connect
from experiments.sagemaker_requests.endpoints import Serving, endpoint_requests
from experiments.sagemaker_requests.jobs import LOCAL_INSTANCE, LOCAL_ROLE
from experiments.serving.example import example_request
from experiments.serving.models import place_model
from tests.conftest import QUICK, Ended
from tests.support.docker import require_image

# Run in a new process, since the SDK keeps state in its process and serves from one of its threads.
CLIENT = """
import json, sys
import boto3
from sagemaker.core.local.local_session import LocalSagemakerRuntimeClient, LocalSession

given = json.load(sys.stdin)
boto = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
off = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
session = LocalSession(boto_session=boto, sagemaker_config=off)
settings = {"labels": {"byoe-test": given["label"]}}
local = {"local_code": True, "serving_port": given["port"], "container_root": given["root"], "container_config": settings}
session.config = {"local": local}
client = session.sagemaker_client
model, config, endpoint = (given["requests"][name] for name in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"))
client.create_model(ModelName=model["ModelName"], PrimaryContainer=model["PrimaryContainer"])
client.create_endpoint_config(config["EndpointConfigName"], config["ProductionVariants"])
client.create_endpoint(endpoint["EndpointName"], endpoint["EndpointConfigName"])
try:
    runtime = LocalSagemakerRuntimeClient(session.config)
    types = {"ContentType": "application/json", "Accept": "application/json"}
    answer = runtime.invoke_endpoint(given["body"].encode(), endpoint["EndpointName"], **types)
    print("ANSWER", answer["Body"].read().decode())
finally:
    client.delete_endpoint(endpoint["EndpointName"])
"""


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_the_sdk_serves_the_same_predictions(project: Path, byoe: Callable[..., Ended]) -> None:
    image = require_image().tag
    assert byoe("mode=local", "action=train", "study=mine", *QUICK).code == 0
    place, root = Path("placed"), Path("root")
    for folder in (place, root):
        folder.mkdir()
    model = place_model(compose(["mode=local"]), place)
    serving = Serving(
        name="conformance",
        version="1",
        image=image,
        role=LOCAL_ROLE,
        model=(place / "model.tar.gz").absolute().as_uri(),
        environment={"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        isolated=False,
        instance_type=LOCAL_INSTANCE,
    )
    body, expected = example_request(model.manifest)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = {
        "requests": endpoint_requests(serving),
        "port": port,
        "root": str(root.absolute()),
        "body": body.decode(),
        "label": project.name,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", CLIENT],
            input=json.dumps(given),
            env=kept | {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        (line,) = [line for line in ended.stdout.splitlines() if line.startswith("ANSWER ")] or [ended.stderr[-3000:]]
        assert json.loads(line.removeprefix("ANSWER "))["predictions"] == expected
    finally:
        with closing(connect()) as client:
            for container in client.containers.list(all=True, filters={"label": f"byoe-test={project.name}"}):
                container.remove(force=True)
            for network in client.networks.list(names=["sagemaker-local"]):
                network.remove()
