"""Endpoints of the double, served by byoe's model server and invoked with boto3."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import psutil
import pytest

from ensemble.bundle import save_bundle
from ensemble.reading import Roles, read_file
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.training import fit_ensemble
from experiments.serving.example import check_predictions, example_request
from experiments.system.archives import pack
from tests.conftest import PROJECT, environment, until
from tests.doubles.aws.checks import code_of, raw_answer, wrong
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import EndpointFailure, denied, throttled
from tests.doubles.aws.images import LAYERS
from tests.support.docker import left_behind, require_image

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/byoe:1"
NO_PING = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint."
)
ARN = "arn:aws:sagemaker:us-east-1:123456789012"
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@dataclass(frozen=True)
class Trained:
    """A trained ensemble.

    Attributes:
        archive: Its ``model.tar.gz``.
        broken: One whose inference script fails.
        body: Its example as a request.
        predictions: What it predicts for it.
    """

    archive: Path
    broken: Path
    body: bytes
    predictions: list[float]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train an ensemble and save it with the functions of the entry script, which is faster than a study."""
    folder = tmp_path_factory.mktemp("trained")
    bundle, rows = folder / "model", np.random.RandomState(0).normal(size=(80, 3))
    (folder / "rows.csv").write_text("a,b,price\n" + "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in rows.tolist()))
    table = read_file(folder / "rows.csv", Roles("price"))
    members = (
        MemberSpec("xgboost", "xgboost", {"num_round": 5}),
        MemberSpec("catboost", "catboost", {"iterations": 5}),
    )
    recipe = Recipe(members, blend="weighted", folds=FoldSpec(k=2))
    save_bundle(bundle, recipe, fit_ensemble(recipe, table, None, threads=1), table, table.content_hash())
    pack(bundle, folder / "model.tar.gz")
    shutil.copytree(bundle, folder / "broken")
    (folder / "broken" / "code" / "inference.py").write_text("raise SystemError('no such thing')\n")
    pack(folder / "broken", folder / "broken.tar.gz")
    body, predictions = example_request(json.loads((bundle / "manifest.json").read_text()))
    return Trained(folder / "model.tar.gz", folder / "broken.tar.gz", body, predictions)


@pytest.fixture(scope="module")
def double(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    """Return a double that has the models."""
    folder = tmp_path_factory.mktemp("aws")
    before = {*threading.enumerate()}
    OTHERS.update(servers())
    with Double(folder) as found:
        upload(found, trained)
        yield found
    assert list(folder.iterdir()) == []
    assert not {*threading.enumerate()} - before
    assert servers() == []


def upload(double: Double, trained: Trained) -> None:
    """Upload the models, and put an image into ECR."""
    double.put_image("byoe", "1", "amd64")
    storage = double.client("s3")
    for archive in (trained.archive, trained.broken):
        storage.upload_file(str(archive), double.bucket, f"models/{archive.name}")
    storage.put_object(Bucket=double.bucket, Key="models/text.tar.gz", Body=b"text")


def define(double: Double, name: str, archive: str = "model.tar.gz", variant: Any = None, **env: str) -> str:
    """Create a model and an endpoint configuration of one name, which is returned."""
    sagemaker = double.client("sagemaker")
    given = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {
        "Image": IMAGE,
        "ModelDataUrl": f"s3://{double.bucket}/models/{archive}",
        "Environment": {**given, "BYOE_MODEL_NAME": name, **env},
    }
    tags = [{"Key": "byoe:mode", "Value": "remote"}]
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=double.role, PrimaryContainer=container, Tags=tags)
    variants = [{"VariantName": "AllTraffic", "ModelName": name, **(variant or SERVERLESS)}]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, Tags=tags)
    return name


def create(double: Double, name: str, config: str) -> None:
    """Create an endpoint."""
    tags = [{"Key": "byoe:mode", "Value": "remote"}]
    double.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tags)


def update(double: Double, name: str, config: str) -> None:
    """Update an endpoint."""
    double.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=config)


def ask(double: Double, name: str, body: bytes, **more: str) -> dict[str, Any]:
    """Invoke an endpoint."""
    arguments = {"ContentType": "application/json", "Accept": "application/json", **more}
    answer = double.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=body, **arguments)
    return {**answer, "Body": answer["Body"].read()}


def describe(double: Double, name: str) -> dict[str, Any]:
    """Describe an endpoint."""
    answer: dict[str, Any] = double.client("sagemaker").describe_endpoint(EndpointName=name)
    return answer


def is_right(double: Double, name: str, trained: Trained) -> bool:
    """Return whether an endpoint predicts the example as the model did."""
    return check_predictions(json.loads(ask(double, name, trained.body)["Body"]), trained.predictions) is None


# Servers of the tests that ran before in this process.
OTHERS: set[int] = set()


def servers() -> list[int]:
    """Return the ids of the model servers' processes, masters and workers, without ``OTHERS``."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "serve.py" in " ".join(process.cmdline()) and process.pid not in OTHERS:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def log(double: Double, name: str) -> str:
    """Return what an endpoint's servers have written."""
    pages = double.client("logs").get_paginator("filter_log_events")
    group = f"/aws/sagemaker/Endpoints/{name}"
    return "\n".join(event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"])


@pytest.mark.slow
def test_an_endpoint_serves_its_model_until_it_is_deleted(double: Double, trained: Trained) -> None:
    sagemaker, runtime = double.client("sagemaker"), double.client("sagemaker-runtime")
    double.hold_endpoint("Houses")
    create(double, "Houses", define(double, "houses-1"))
    assert describe(double, "Houses")["EndpointStatus"] == "Creating"
    assert "ProductionVariants" not in describe(double, "Houses")
    missing = "Endpoint Houses of account 123456789012 not found."
    assert code_of(runtime.invoke_endpoint, EndpointName="Houses", Body=b"{}") == ("ValidationError", missing)
    busy = ("ValidationException", f'Cannot update in-progress endpoint "{ARN}:endpoint/houses".')
    assert code_of(sagemaker.delete_endpoint, EndpointName="Houses") == busy
    assert code_of(sagemaker.update_endpoint, EndpointName="Houses", EndpointConfigName="houses-1") == busy
    double.release_endpoint()
    double.wait_for_endpoint("Houses")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="Houses")

    answer = ask(double, "Houses", trained.body)
    assert check_predictions(json.loads(answer["Body"]), trained.predictions) is None
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert double.calls("InvokeEndpoint")[-1] == {
        "EndpointName": "Houses",
        "ContentType": "application/json",
        "Accept": "application/json",
    }
    assert code_of(runtime.invoke_endpoint, EndpointName="houses", Body=b"{}")[0] == "ValidationError"
    described = describe(double, "Houses")
    assert described["EndpointConfigName"] == "houses-1"
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"] == SERVERLESS["ServerlessConfig"]
    assert sagemaker.list_tags(ResourceArn=described["EndpointArn"])["Tags"][0]["Key"] == "byoe:mode"
    sagemaker.add_tags(ResourceArn=described["EndpointArn"], Tags=[{"Key": "more", "Value": ""}])
    assert len(sagemaker.list_tags(ResourceArn=described["EndpointArn"])["Tags"]) == 2
    assert until(lambda: '"path": "/invocations"' in log(double, "Houses"))

    sagemaker.delete_endpoint(EndpointName="Houses")
    sagemaker.delete_endpoint_config(EndpointConfigName="houses-1")
    sagemaker.delete_model(ModelName="houses-1")
    assert describe(double, "Houses")["EndpointStatus"] == "Deleting"
    assert code_of(runtime.invoke_endpoint, EndpointName="Houses", Body=b"{}")[0] == "ValidationError"
    gone = ("ValidationException", f'Could not find endpoint "{ARN}:endpoint/houses".')
    assert until(lambda: not sagemaker.list_endpoints(NameContains="Houses")["Endpoints"])
    assert code_of(sagemaker.describe_endpoint, EndpointName="Houses") == gone
    assert servers() == []


@pytest.mark.slow
def test_a_refused_request_gets_the_error_of_sagemaker(double: Double, trained: Trained) -> None:
    runtime = double.client("sagemaker-runtime")
    create(double, "strict", define(double, "strict-1"))
    create(double, "roomy", define(double, "roomy-1", variant=INSTANCES))
    double.wait_for_endpoint("strict")
    double.wait_for_endpoint("roomy")
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        ask(double, "strict", b"{}", ContentType="text/nonsense")
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["OriginalStatusCode"] == 415
    assert json.loads(error["OriginalMessage"])["error"]
    assert error["LogStreamArn"] == "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/strict"
    assert error["Error"]["Message"].startswith('Received client error (415) from primary with message "{')
    with pytest.raises(runtime.exceptions.ValidationError, match=r"Request \S+ has oversize body\."):
        ask(double, "strict", bytes(4 * 2**20 + 1))
    code, message = code_of(runtime.invoke_endpoint, EndpointName="roomy", Body=bytes(6 * 2**20 + 1))
    assert (code, message) == ("413", "HTTP content length exceeded 6291456 bytes.")
    double.inject(throttled("InvokeEndpoint"), denied("InvokeEndpoint"))
    assert code_of(runtime.invoke_endpoint, EndpointName="strict", Body=b"{}")[0] == "AccessDeniedException"
    double.heal()
    for master in servers():  # and nothing starts it again
        os.kill(master, signal.SIGKILL)
    with pytest.raises(runtime.exceptions.ModelError, match="Received server error"):
        ask(double, "strict", trained.body)
    for name in ("strict", "roomy"):
        double.client("sagemaker").delete_endpoint(EndpointName=name)
    assert until(lambda: not double.state.endpoints)


@pytest.mark.slow
def test_an_update_switches_and_one_that_fails_does_not(double: Double, trained: Trained) -> None:
    create(double, "changing", define(double, "changing-1"))
    double.wait_for_endpoint("changing")
    before = servers()
    double.hold_endpoint("changing")
    update(double, "changing", define(double, "changing-2", variant=INSTANCES))
    described = describe(double, "changing")
    assert described["EndpointStatus"] == "Updating"
    assert described["EndpointConfigName"] == "changing-1"
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "changing-2"
    double.release_endpoint("changing")
    asked = 0
    while {*servers()} & {*before}:  # no request is lost meanwhile
        assert is_right(double, "changing", trained)
        asked += 1
    assert asked > 1
    assert is_right(double, "changing", trained)
    described = describe(double, "changing")
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "changing-2"
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1

    before = servers()
    refused = code_of(update, double=double, name="changing", config="changing-1")
    assert refused[0] == "ValidationException"  # AWS does not switch instances to serverless
    assert "to a serverless variant" in refused[1]
    update(double, "changing", define(double, "changing-3", "broken.tar.gz", INSTANCES))
    endpoint = double.wait_for_endpoint("changing")
    described = describe(double, "changing")
    assert (described["EndpointConfigName"], described["FailureReason"]) == ("changing-2", NO_PING)
    assert endpoint.statuses == ["Creating", "InService", "Updating", "InService", "Updating", "InService"]
    assert "is not the file that was saved" in log(double, "changing")
    double.inject(EndpointFailure("changing", "no more machines"))
    update(double, "changing", define(double, "changing-4", variant=INSTANCES))
    double.wait_for_endpoint("changing")
    assert describe(double, "changing")["FailureReason"] == "no more machines"
    assert servers() == before
    assert is_right(double, "changing", trained)

    sagemaker = double.client("sagemaker")
    sagemaker.delete_endpoint_config(EndpointConfigName="changing-2")
    message = code_of(sagemaker.update_endpoint, EndpointName="changing", EndpointConfigName="changing-1")[1]
    assert message == f'Could not find endpoint configuration "{ARN}:endpoint-config/changing-2".'
    sagemaker.delete_endpoint(EndpointName="changing")
    assert until(lambda: not double.state.endpoints)


def test_an_endpoint_that_cannot_be_served_fails_with_the_reason(double: Double) -> None:
    sagemaker = double.client("sagemaker")
    double.inject(EndpointFailure("unlucky"))
    create(double, "unlucky", define(double, "unlucky-1"))
    create(double, "broken", define(double, "broken-1", "broken.tar.gz"))
    create(double, "text", define(double, "text-1", "text.tar.gz"))
    define(double, "lost-1")
    assert double.wait_for_endpoint("unlucky", "Failed").failure == NO_PING
    assert double.wait_for_endpoint("broken", "Failed").failure == NO_PING
    assert "is not the file that was saved" in log(double, "broken")
    assert str(double.wait_for_endpoint("text", "Failed").failure).startswith("Failed to extract model data archive")
    double.client("s3").delete_object(Bucket=double.bucket, Key="models/text.tar.gz")
    create(double, "lost", "text-1")
    assert str(double.wait_for_endpoint("lost", "Failed").failure).startswith("Failed to download model data")
    code, message = code_of(sagemaker.update_endpoint, EndpointName="lost", EndpointConfigName="lost-1")
    assert code == "ValidationException"
    assert "in status Failed" in message
    for name in ("unlucky", "broken", "text", "lost"):
        sagemaker.delete_endpoint(EndpointName=name)
    assert until(lambda: not double.state.endpoints)


def test_requests_that_aws_refuses(double: Double) -> None:
    sagemaker = double.client("sagemaker")
    define(double, "first")
    model = {"ModelName": "second", "ExecutionRoleArn": double.role}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{double.bucket}/models/model.tar.gz"}
    invalid = "ValidationException"
    assert code_of(sagemaker.create_model, **model | {"ModelName": "first"}) == (
        invalid,
        f'Cannot create already existing model "{ARN}:model/first".',
    )
    nobody = double.role.replace("byoe-test", "nobody")
    changed = model | {"PrimaryContainer": container, "ExecutionRoleArn": nobody}
    assert "trust relationship" in code_of(sagemaker.create_model, **changed)[1]
    lost = {**container, "ModelDataUrl": f"s3://{double.bucket}/nothing"}
    assert code_of(sagemaker.create_model, **model, PrimaryContainer=lost) == (
        invalid,
        f"Could not find model data at s3://{double.bucket}/nothing.",
    )
    double.put_image("byoe", "arm", "arm64")
    double.put_image("byoe", "oci", oci=True)
    for image, reason in (
        (IMAGE.replace(":1", ":oci"), "Unsupported manifest media type application/vnd.oci.image.manifest.v1+json for"),
        (IMAGE.replace(":1", ":none"), "not found"),
        (IMAGE.replace("byoe:1", "none"), "not found"),
        (IMAGE.replace(":1", ":arm"), "is not for linux/amd64"),
        (IMAGE.replace("us-east-1", "eu-west-1"), "is not supported in us-east-1"),
        ("byoe:1", "is not supported in us-east-1"),
    ):
        of_image = {**container, "Image": image}
        refused = code_of(sagemaker.create_model, **model, PrimaryContainer=of_image)
        assert (refused[0], reason in refused[1]) == (invalid, True)
    assert code_of(sagemaker.create_model, **model | {"ModelName": "no/slash"})[0] == invalid
    assert code_of(sagemaker.describe_model, ModelName="none") == (
        invalid,
        f'Could not find model "{ARN}:model/none".',
    )
    variant = {"VariantName": "AllTraffic", "ModelName": "none", **SERVERLESS}
    assert code_of(sagemaker.create_endpoint_config, EndpointConfigName="second", ProductionVariants=[variant]) == (
        invalid,
        f'Could not find model "{ARN}:model/none".',
    )
    variant = {**variant, "ModelName": "first"}
    message = code_of(sagemaker.create_endpoint_config, EndpointConfigName="First", ProductionVariants=[variant])[1]
    assert message == f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/first".'
    sagemaker.create_model(**model, PrimaryContainer=container, EnableNetworkIsolation=True)
    isolated = {**variant, "ModelName": "second"}
    refusal = code_of(sagemaker.create_endpoint_config, EndpointConfigName="second", ProductionVariants=[isolated])
    assert "isolation" in refusal[1]
    assert code_of(sagemaker.create_endpoint, EndpointName="one", EndpointConfigName="none") == (
        invalid,
        f'Could not find endpoint configuration "{ARN}:endpoint-config/none".',
    )
    assert code_of(sagemaker.delete_endpoint, EndpointName="none") == (
        invalid,
        f'Could not find endpoint "{ARN}:endpoint/none".',
    )
    assert code_of(sagemaker.delete_model, ModelName="none")[0] == invalid
    assert code_of(sagemaker.delete_endpoint_config, EndpointConfigName="none")[0] == invalid


@pytest.mark.slow
def test_lists_and_answers_are_valid_by_the_service_model(tmp_path: Path, trained: Trained) -> None:
    with Double(tmp_path, faults=[EndpointFailure("end-11")], quotas={}) as double:
        upload(double, trained)
        for number in range(11):
            double.hold_endpoint(number)
        for number in range(12):
            create(double, f"end-{number:02d}", define(double, f"config-{number:02d}", variant=INSTANCES))
        with pytest.raises(TimeoutError, match="end-00 Creating"):
            double.wait_for_endpoint("end-00", timeout=0.01)
        double.wait_for_endpoint("end-11", "Failed")
        sagemaker = double.client("sagemaker")
        first = sagemaker.list_endpoints()
        assert [entry["EndpointName"] for entry in first["Endpoints"]][::9] == ["end-11", "end-02"]
        rest = sagemaker.list_endpoints(NextToken=first["NextToken"])["Endpoints"]
        assert [entry["EndpointName"] for entry in rest] == ["end-01", "end-00"]
        by_name = sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending", MaxResults=1)["Endpoints"]
        assert [entry["EndpointName"] for entry in by_name] == ["end-00"]
        by_status = sagemaker.list_endpoints(SortBy="Status", SortOrder="Descending", MaxResults=1)["Endpoints"]
        assert [entry["EndpointStatus"] for entry in by_status] == ["Failed"]
        assert len(sagemaker.list_endpoints(StatusEquals="Failed")["Endpoints"]) == 1
        assert len(sagemaker.list_endpoints(NameContains="end-1")["Endpoints"]) == 2
        assert sagemaker.list_endpoints(CreationTimeAfter=4_000_000_000)["Endpoints"] == []
        for operation, key in (("list_models", "Models"), ("list_endpoint_configs", "EndpointConfigs")):
            pages = sagemaker.get_paginator(operation).paginate(NameContains="config", MaxResults=5)
            assert [len(page[key]) for page in pages] == [5, 5, 2]
        model = sagemaker.meta.service_model
        arn = describe(double, "end-00")["EndpointArn"]
        for operation, document in (
            ("DescribeModel", {"ModelName": "config-00"}),
            ("ListModels", {"MaxResults": 2}),
            ("DescribeEndpointConfig", {"EndpointConfigName": "config-00"}),
            ("ListEndpointConfigs", {"MaxResults": 2}),
            ("DescribeEndpoint", {"EndpointName": "end-00"}),
            ("DescribeEndpoint", {"EndpointName": "end-11"}),
            ("ListEndpoints", {"MaxResults": 2}),
            ("ListTags", {"ResourceArn": arn}),
            ("CreateEndpoint", {"EndpointName": "more", "EndpointConfigName": "config-00"}),
        ):
            shape = model.operation_model(operation).output_shape
            assert list(wrong(shape, raw_answer(double, operation, document), operation)) == []
        double.wait_for_endpoint("more")
        shape = model.operation_model("DescribeEndpoint").output_shape
        document = {"EndpointName": "more"}
        assert list(wrong(shape, raw_answer(double, "DescribeEndpoint", document), "DescribeEndpoint")) == []
        assert servers()
    assert servers() == []
    assert list(tmp_path.iterdir()) == []


def test_in_its_own_process(tmp_path: Path) -> None:
    started = [start(tmp_path / name) for name in ("term", "stdin")]
    for end, process in zip(("term", "stdin"), started, strict=True):
        assert process.stdout is not None
        assert process.stdin is not None
        where = json.loads(process.stdout.readline())
        session = boto3.Session("testing", "testing", region_name="us-east-1")
        client = session.client("s3", endpoint_url=where["url"])
        assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} == {where["bucket"], LAYERS}
        assert where["environment"]["AWS_ENDPOINT_URL"] == where["url"]
        if end == "term":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
    for end, process in zip(("term", "stdin"), started, strict=True):
        assert process.wait(20) == 0
        assert list((tmp_path / end).iterdir()) == []
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a double from the command line."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.aws.double", "--folder", str(folder)],
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.docker
@pytest.mark.timeout(600)
def test_an_endpoint_is_served_in_its_image(tmp_path: Path, trained: Trained) -> None:
    image = require_image().tag
    before = left_behind()
    with Double(tmp_path, image=image) as double:
        upload(double, trained)
        for name in ("served", "left"):
            create(double, name, define(double, f"{name}-1"))
        create(double, "broken", define(double, "broken-1", "broken.tar.gz"))
        for name in ("served", "left"):
            double.wait_for_endpoint(name, timeout=120)
        assert is_right(double, "served", trained)
        assert double.wait_for_endpoint("broken", "Failed", 120).failure == NO_PING
        assert "is not the file that was saved" in log(double, "broken")
        double.client("sagemaker").delete_endpoint(EndpointName="served")
        assert until(lambda: "served" not in double.state.endpoints)
    assert left_behind() == before
