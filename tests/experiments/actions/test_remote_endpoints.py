"""The actions on endpoints with ``mode=remote``, and ``aws.inventory``, against a double of AWS that serves models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.aws.account import Account
from experiments.aws.storage import split_location
from experiments.docker.image import image_spec
from experiments.serving.memory import Rehearsal, record_rehearsal
from experiments.system.archives import pack
from tests.conftest import PROJECT, QUICK, Ended, environment
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import EndpointFailure, Omission, Refusal, denied, throttled
from tests.doubles.aws.resident import Resident
from tests.support.account import in_account
from tests.support.clocks import FakeClock
from tests.support.models import bundle_hash, example, save_two_models

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(120),
]
Run = Callable[..., Ended]
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of one table."""
    return save_two_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def double(folder: Path, tmp_path: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with in_account(Double(tmp_path / "aws", resident=resident), monkeypatch) as double:
        double.put_image("byoe", "1")
        yield double


def arguments(double: Double, *more: str) -> list[str]:
    image = [] if any(argument.startswith("mode.image.") for argument in more) else [f"mode.image.uri={HOST}/byoe:1"]
    settings = [f"mode.role={double.role}", f"mode.bucket={double.bucket}", "mode.poll_seconds=0.05"]
    return ["mode=remote", *settings, *image, *more]


def uploads(double: Double) -> list[str]:
    return [transfer.key for transfer in double.transfers if not transfer.own]


def created(double: Double) -> list[str]:
    return [operation for operation, _ in double.requests if operation.startswith("Create")]


def predictions(ended: Ended) -> list[float]:
    assert ended.code == 0, ended.err
    return list(json.loads(ended.out)["predictions"])


def resources(double: Double) -> list[int]:
    sagemaker = double.client("sagemaker")
    lists = (sagemaker.list_endpoints, sagemaker.list_endpoint_configs, sagemaker.list_models)
    keys = ("Endpoints", "EndpointConfigs", "Models")
    return [len(call()[key]) for call, key in zip(lists, keys, strict=True)]


def test_a_model_is_served_replaced_and_deleted(
    double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path
) -> None:
    one, two = bundles
    ended = byoe(*arguments(double, "action=deploy", f"model={one}", "serving.memory_size_in_mb=3072"))
    assert ended.code == 0, ended.err
    assert "endpoint byoe serves" in ended.out
    assert "billed by the request" in ended.out
    (config,) = double.calls("CreateEndpointConfig")
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    rows = folder / "rows.json"
    rows.write_text(json.dumps({"instances": example(one)["features"]}))
    asked = arguments(double, "action=invoke", f"input={rows}")
    assert predictions(byoe(*asked)) == example(one)["predictions"]

    assert byoe(*arguments(double, "action=deploy", f"model={one}", "serving.memory_size_in_mb=3072")).code == 0
    assert len(double.calls("CreateEndpointConfig")) == 1

    assert byoe(*arguments(double, "action=deploy", f"model={two}")).code == 0
    assert predictions(byoe(*asked)) == example(two)["predictions"]
    assert resources(double) == [1, 1, 1]

    status = byoe(*arguments(double, "action=status"))
    assert "endpoint byoe  InService" in status.out
    assert "byoe's resources: 1, still billed: 1" in status.out

    ended = byoe(*arguments(double, "action=delete"))
    assert "endpoint byoe is deleted, with its configuration and model" in ended.out
    assert resources(double) == [0, 0, 0]
    ended = byoe(*arguments(double, "action=delete"))
    assert ended.code == 2
    assert "there is no such endpoint in this account" in ended.err


def test_memory_is_what_the_rehearsal_found(
    double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path
) -> None:
    one, two = bundles
    deploy = arguments(double, "action=deploy", f"model={one}")
    ended = byoe(*deploy)
    assert ended.code == 0, ended.err
    assert (
        f"2,048 MB, since this model was not rehearsed here: python run.py mode=sagemaker action=deploy model={one}"
        in (ended.out)
    )
    found = Rehearsal(3072, 1.5, None, 2.0, "byoe:0123456789ab")
    record_rehearsal(folder / "endpoints", bundle_hash(one), found)
    ended = byoe(*deploy)
    assert "3,072 MB, the smallest that passed when this model was rehearsed in byoe:0123456789ab" in ended.out
    record_rehearsal(folder / "endpoints", bundle_hash(two), replace(found, memory_size_in_mb=None))
    ended = byoe(*arguments(double, "action=deploy", f"model={two}"))
    assert ended.code == 2
    assert "no memory size of a serverless endpoint passed" in ended.err
    ended = byoe(*arguments(double, "action=deploy", f"model={two}", "serving.memory_size_in_mb=6144"))
    assert ended.code == 2
    assert "note: many accounts allow a serverless endpoint at most 3,072 MB" in ended.out
    assert "this account allows a serverless endpoint at most 3,072 MB. Use serving.memory_size_in_mb=3072" in ended.err
    assert resources(double) == [1, 1, 1]
    sizes = [
        call["ProductionVariants"][0]["ServerlessConfig"]["MemorySizeInMB"]
        for call in double.calls("CreateEndpointConfig")
    ]
    assert sizes == [2048, 3072, 6144]


def test_instances_are_started_only_within_a_budget(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", "serving=realtime", "serving.instance_count=2")
    ended = byoe(*deploy)
    assert ended.code == 2
    assert "2 x ml.m5.large is billed by the hour until it is deleted: $5.52 a day" in ended.err
    assert "mode.budget_usd=5.52" in ended.err
    ended = byoe(*deploy, "mode.budget_usd=5.51")
    assert ended.code == 2
    assert "more than mode.budget_usd=5.51" in ended.err
    ended = byoe(*deploy, "mode.region=eu-west-1", "mode.budget_usd=100")
    assert ended.code == 2
    assert "mode.price_usd_per_hour=<USD>" in ended.err
    assert resources(double) == [0, 0, 0]
    ended = byoe(*deploy, "mode.budget_usd=5.52")
    assert ended.code == 0, ended.err
    (config,) = double.calls("CreateEndpointConfig")
    assert config["ProductionVariants"][0]["InitialInstanceCount"] == 2


def test_instances_beyond_the_accounts_quota_are_refused(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", "serving=realtime", "mode.budget_usd=99")
    ended = byoe(*deploy, "serving.instance_count=3")
    assert ended.code == 2
    assert "serving.instance_count=3: this account's quota 'ml.m5.large for endpoint usage' in us-east-1" in ended.err
    assert "Use serving.instance_count=2 or less" in ended.err
    assert resources(double) == [0, 0, 0]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (f"{HOST}/mine:1", "is built for arm64, and SageMaker's instances are amd64"),
        (f"{HOST}/mine:2", "there is no such image"),
        (f"{HOST}/none", "there is no such image"),
        ("byoe:1", "SageMaker runs images from ECR"),
        (f"{HOST.replace('us-east-1', 'eu-west-1')}/mine:1", "is in eu-west-1, and jobs run in us-east-1"),
    ],
)
def test_an_image_that_cannot_serve_is_refused(
    image: str, message: str, double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    double.put_image("mine", "1", "arm64")
    ended = byoe(*arguments(double, "action=deploy", f"model={bundles[0]}", f"mode.image.uri={image}"))
    assert ended.code == 2
    assert f"mode.image.uri={image}" in ended.err
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert created(double) == []


def test_awss_container_is_refused_on_a_serverless_endpoint_before_any_upload(
    double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", "mode.image.uri=null")
    ended = byoe(*deploy)
    assert ended.code == 2
    assert "AWS's scikit-learn container cannot start on a serverless endpoint" in ended.err
    assert "mode.image.push=true" in ended.err
    assert "serving=realtime" in ended.err
    assert uploads(double) == []
    assert created(double) == []
    assert byoe(*deploy, "serving=realtime", "mode.budget_usd=9").code == 0


def test_one_command_pushes_the_image_and_deploys(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    version = image_spec("python:3.12-slim-bookworm", None).version
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", "mode.image.push=true")
    address = double.put_image("byoe", version)  # TestPush pushes it
    ended = byoe(*deploy, "mode.image.base=python:3.12-slim-bookworm")
    assert ended.code == 0, ended.err
    assert f"{address} exists already" in ended.out
    assert double.calls("CreateModel")[0]["PrimaryContainer"]["Image"] == address
    ended = byoe(*deploy, f"mode.image.uri={address}")
    assert ended.code == 2
    assert "mode.image.push=true uses byoe's image, and mode.image.uri=" in ended.err


@pytest.mark.parametrize("index", [False, True], ids=["manifest", "index"])
def test_an_image_with_an_oci_manifest_is_refused_for_endpoints(
    index: bool, double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    image = double.put_image("mine", "oci", oci=True, index=index)
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", f"mode.image.uri={image}")
    ended = byoe(*deploy)
    assert ended.code == 2
    kind = "index" if index else "manifest"
    assert f"mode.image.uri={image} has a manifest of type application/vnd.oci.image.{kind}.v1+json" in ended.err
    assert created(double) == []
    double.inject(denied("BatchGetImage", "ecr"))
    ended = byoe(*deploy)
    assert ended.code == 2
    assert f"Unsupported manifest media type application/vnd.oci.image.{kind}.v1+json" in ended.err
    assert resources(double) == [0, 0, 0]


def test_a_check_without_permission_is_a_note(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    double.inject(denied("GetRole", "iam"), denied("BatchGetImage", "ecr"))
    double.put_image("mine", "1", "arm64")
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", f"mode.image.uri={HOST}/mine:1")
    ended = byoe(*deploy)
    assert "note: not checked before the launch: AWS does not let you read role byoe-test" in ended.out
    assert "the credentials need the IAM action ecr:BatchGetImage" in ended.out
    assert ended.code == 2  # SageMaker refuses the image
    assert "is not for linux/amd64" in ended.err
    assert resources(double) == [0, 0, 0]
    double.put_image("mine", "2", "amd64")
    assert byoe(*deploy[:-1], f"mode.image.uri={HOST}/mine:2").code == 0


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_the_suite_passes_against_an_endpoint_on_sagemaker(
    double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path
) -> None:
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}", "endpoint=blue")).code == 0
    files = [
        str(PROJECT / "tests/endpoint" / name) for name in ("test_answers.py", "test_columns.py", "test_server.py")
    ]
    suite = [sys.executable, "-m", "pytest", *files, "--endpoint=blue", "--numprocesses=0", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        suite,
        cwd=PROJECT,
        env=environment(BYOE_ENDPOINTS=str(folder / "endpoints"), PYTEST_ADDOPTS=""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert f"endpoint: blue (SageMaker, by {folder}/endpoints/_cloud/blue/record.json)" in ended.stdout
    assert " passed" in ended.stdout
    assert len(double.calls("InvokeEndpoint")) > 100
    byoe(*arguments(double, "action=delete", "endpoint=blue"))
    assert not (folder / "endpoints/_cloud/blue").exists()


def test_a_model_that_does_not_start_leaves_the_old_one(
    double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path
) -> None:
    one, two = bundles
    assert byoe(*arguments(double, "action=deploy", f"model={one}")).code == 0
    double.inject(EndpointFailure("byoe"))
    ended = byoe(*arguments(double, "action=deploy", f"model={two}"))
    assert ended.code == 1
    assert "did not pass the ping health check" in ended.err
    assert resources(double) == [1, 1, 1]
    (folder / "rows.json").write_text(json.dumps({"instances": example(one)["features"]}))
    assert predictions(byoe(*arguments(double, "action=invoke", "input=rows.json"))) == example(one)["predictions"]


def test_an_endpoint_that_byoe_did_not_deploy_is_left_alone(
    double: Double, byoe: Run, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}", "endpoint=other")).code == 0
    FakeClock(monkeypatch)  # tags of a new endpoint are waited for
    sagemaker = double.client("sagemaker")
    with double.state.changed:
        for tags in double.state.tags.values():
            tags.clear()
    for action in ("action=deploy", "action=delete"):
        ended = byoe(*arguments(double, action, f"model={bundles[1]}", "endpoint=other"))
        assert ended.code == 2
        assert "an endpoint of that name that byoe did not deploy" in ended.err
    assert byoe(*arguments(double, "action=status")).out.startswith("byoe has nothing in this account and region")
    assert len(sagemaker.list_endpoints()["Endpoints"]) == 1


def test_a_denied_request_names_the_iam_action(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    double.inject(denied("CreateEndpoint"))
    ended = byoe(*arguments(double, "action=deploy", f"model={bundles[0]}"))
    assert ended.code == 2
    assert "the IAM action sagemaker:CreateEndpoint" in ended.err
    assert resources(double) == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "remaining"),
    [("DeleteEndpointConfig", [0, 1, 1]), ("DeleteModel", [0, 0, 1])],
)
def test_a_deletion_that_was_interrupted_continues(
    operation: str, remaining: list[int], double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}", "endpoint=x")).code == 0
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[1]}", "endpoint=x-y")).code == 0
    assert byoe(*arguments(double, "action=delete", "endpoint=x")).code == 0
    assert resources(double) == [1, 1, 1]  # those of the other endpoint
    double.inject(denied(operation, times=2))
    for _ in range(2):
        ended = byoe(*arguments(double, "action=delete", "endpoint=x-y"))
        assert ended.code == 2
        assert f"the IAM action sagemaker:{operation}" in ended.err
        assert resources(double) == remaining
    ended = byoe(*arguments(double, "action=delete", "endpoint=x-y"))
    assert ended.code == 0, ended.err
    assert "endpoint x-y is deleted, with its configuration and model" in ended.out
    assert resources(double) == [0, 0, 0]
    assert byoe(*arguments(double, "action=delete", "endpoint=x-y")).code == 2


def test_clean_removes_what_an_interrupted_deletion_left(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}")).code == 0
    double.inject(denied("DeleteEndpointConfig", times=1))
    assert byoe(*arguments(double, "action=delete")).code == 2
    double.client("sagemaker").create_model(ModelName="other-01234567", ExecutionRoleArn=double.role)
    (model,) = double.calls("CreateModel")[:1]
    name = model["ModelName"]
    status = byoe(*arguments(double, "action=status"))
    assert f"endpoint configuration {name}  left over, of endpoint byoe" in status.out
    assert "byoe's resources: 2, still billed: 0" in status.out
    ended = byoe(*arguments(double, "action=clean"))
    assert ended.code == 0, ended.err
    assert f"endpoint configuration {name} is deleted" in ended.out
    assert f"model {name} is deleted" in ended.out
    assert resources(double) == [0, 0, 1]  # the model that byoe did not create


def test_clean_ends_what_costs_money(
    double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    double.hold(0)
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}")).code == 0
    plan = byoe(*arguments(double, "action=plan", "study=running", "search.n_trials=4", *QUICK))
    planned = json.loads(plan.out)
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text("")
    pack(folder / "code", tmp_path / "code.tar.gz")
    for location in planned["beside the request"]["uploads, in bytes"]:
        double.client("s3").upload_file(str(tmp_path / "code.tar.gz"), *split_location(location))
    document = planned["CreateHyperParameterTuningJob"][0]
    sagemaker = double.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**document)
    double.wait_for(0, "Training")
    status = byoe(*arguments(double, "action=status"))
    assert "tuning job running  InProgress" in status.out
    assert "python run.py mode=remote action=clean removes what still costs money" in status.out
    ended = byoe(*arguments(double, "action=clean"))
    assert ended.code == 0, ended.err
    assert "tuning job running is being stopped" in ended.out
    assert "endpoint byoe is deleted" in ended.out
    assert f"s3 rm --recursive s3://{double.bucket}/byoe" in ended.out
    double.wait_for_tuning("running")
    assert resources(double) == [0, 0, 0]
    assert (
        "byoe has nothing in this account and region that costs money" in byoe(*arguments(double, "action=clean")).out
    )


REALTIME = ("serving=realtime", "mode.budget_usd=99")


@pytest.mark.slow
def test_an_endpoint_on_instances_does_not_become_serverless(
    double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    one, two = bundles
    assert byoe(*arguments(double, "action=deploy", f"model={one}", *REALTIME)).code == 0
    uploaded = uploads(double)
    ended = byoe(*arguments(double, "action=deploy", f"model={two}"))
    assert ended.code == 2
    assert "endpoint=byoe runs on instances, and SageMaker does not switch such an endpoint to serverless" in ended.err
    assert "python run.py mode=remote action=delete endpoint=byoe" in ended.err
    assert uploads(double) == uploaded
    double.inject(denied("DescribeEndpointConfig"))  # then AWS refuses, and the endpoint is left as it was
    ended = byoe(*arguments(double, "action=deploy", f"model={two}"))
    assert ended.code == 2
    assert "to a serverless variant" in ended.err
    assert resources(double) == [1, 1, 1]
    double.heal()
    assert byoe(*arguments(double, "action=delete")).code == 0
    assert byoe(*arguments(double, "action=deploy", f"model={one}")).code == 0
    assert byoe(*arguments(double, "action=deploy", f"model={two}", *REALTIME)).code == 0  # AWS permits this direction
    assert resources(double) == [1, 1, 1]


def test_network_key_and_tags_are_those_of_the_endpoint(double: Double, byoe: Run, bundles: tuple[Path, Path]) -> None:
    network = ("mode.subnets=[subnet-1]", "mode.security_groups=[sg-1]")
    more = (*network, "mode.volume_kms_key=disk-key", "mode.tags={team: risk}")
    ended = byoe(*arguments(double, "action=deploy", f"model={bundles[0]}", *REALTIME, *more))
    assert ended.code == 0, ended.err
    (model,), (config,) = double.calls("CreateModel"), double.calls("CreateEndpointConfig")
    assert model["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert config["KmsKeyId"] == "disk-key"
    for document in (model, config, *double.calls("CreateEndpoint")):
        assert {"Key": "team", "Value": "risk"} in document["Tags"]
        assert {"Key": "byoe:mode", "Value": "remote"} in document["Tags"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            ["mode.subnets=[subnet-1]", "mode.security_groups=[sg-1]"],
            "a serverless endpoint cannot be connected to a VPC",
        ),
        (["mode.volume_kms_key=disk-key"], "mode.volume_kms_key encrypts the disks of instances"),
        (["mode.isolated=true"], "mode.isolated=true: a serverless endpoint has a network"),
        (["mode.region=eu-central-2"], "mode.region=eu-central-2: SageMaker has no serverless endpoints there"),
        (
            [
                *REALTIME,
                "mode.volume_kms_key=disk-key",
                "serving.instance_type=ml.m5d.large",
                "mode.price_usd_per_hour=1",
            ],
            "mode.volume_kms_key: ml.m5d.large has local disks",
        ),
    ],
)
def test_what_an_endpoint_cannot_have_is_refused_before_any_upload(
    setting: list[str], message: str, double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    ended = byoe(*arguments(double, "action=deploy", f"model={bundles[0]}", *setting))
    assert ended.code == 2
    assert message in ended.err
    assert uploads(double) == []
    assert created(double) == []


@pytest.mark.parametrize("status", [pytest.param("UpdateRollbackFailed", marks=pytest.mark.slow), "OutOfService"])
def test_a_broken_endpoint_is_created_again(
    status: str, double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path
) -> None:
    one, two = bundles
    assert byoe(*arguments(double, "action=deploy", f"model={one}")).code == 0
    double.set_endpoint_status("byoe", status)
    ended = byoe(*arguments(double, "action=deploy", f"model={two}"))
    assert ended.code == 0, ended.err
    assert len(double.calls("CreateEndpoint")) == 2
    assert resources(double) == [1, 1, 1]


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("DeleteEndpoint", "endpoint"),
        pytest.param("DeleteEndpointConfig", "endpoint configuration", marks=pytest.mark.slow),
        pytest.param("DeleteModel", "model", marks=pytest.mark.slow),
    ],
)
def test_a_deletion_ignores_what_is_gone(
    operation: str, kind: str, double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}")).code == 0
    message = f'Could not find {kind} "arn:aws:sagemaker:us-east-1:123456789012:x/byoe".'
    double.inject(Refusal(operation, "ValidationException", message))
    ended = byoe(*arguments(double, "action=delete"))
    assert ended.code == 0, ended.err


def test_old_and_new_instances_count_while_an_endpoint_is_switched(
    double: Double, byoe: Run, bundles: tuple[Path, Path]
) -> None:
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}", *REALTIME)
    assert byoe(*deploy).code == 0
    ended = byoe(*deploy, "serving.instance_count=2")
    assert ended.code == 2
    assert "Use serving.instance_count=1 or less" in ended.err
    assert "being replaced count too" in ended.err
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[1]}", *REALTIME)).code == 0
    assert len(double.calls("UpdateEndpoint")) == 1


UNTRUSTED = (
    'Could not access model data at s3://b/m. Please ensure that the role "r" exists and that its trust relationship '
    'policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com".'
)


@pytest.mark.parametrize("message", [UNTRUSTED, "Could not find model data at s3://b/m."], ids=["role", "object"])
def test_a_new_role_or_object_is_waited_for(
    message: str, double: Double, byoe: Run, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(monkeypatch)
    double.inject(Refusal("CreateModel", "ValidationException", message, times=3))
    ended = byoe(*arguments(double, "action=deploy", f"model={bundles[0]}"))
    assert ended.code == 0, ended.err
    assert clock.slept.count(10.0) == 3


def test_a_role_that_is_never_visible_is_refused_after_five_minutes(
    double: Double, byoe: Run, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(monkeypatch)
    double.inject(Refusal("CreateModel", "ValidationException", UNTRUSTED, times=None))
    ended = byoe(*arguments(double, "action=deploy", f"model={bundles[0]}"))
    assert ended.code == 2
    assert "docs/aws.md has the commands that create the role" in ended.err
    assert 300 <= clock.time < 330
    assert resources(double) == [0, 0, 0]


def test_late_tags_of_a_new_endpoint_are_waited_for(
    double: Double, byoe: Run, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = arguments(double, "action=deploy", f"model={bundles[0]}")
    assert byoe(*deploy).code == 0
    clock = FakeClock(monkeypatch)
    double.inject(Omission("ListTags", "Tags", times=3))
    ended = byoe(*deploy)
    assert ended.code == 0, ended.err
    assert clock.slept.count(10.0) == 3


@pytest.mark.slow
def test_an_invocation_waits_longer_than_a_model_may_take_and_is_repeated_once(
    double: Double, byoe: Run, bundles: tuple[Path, Path], folder: Path
) -> None:
    config = Account("us-east-1").client("sagemaker-runtime").meta.config
    assert config.read_timeout == 70
    assert config.retries["total_max_attempts"] == 2
    assert byoe(*arguments(double, "action=deploy", f"model={bundles[0]}")).code == 0
    (folder / "rows.json").write_text(json.dumps({"instances": example(bundles[0])["features"]}))
    double.inject(throttled("InvokeEndpoint", 1))
    assert byoe(*arguments(double, "action=invoke", "input=rows.json")).code == 0
    double.inject(throttled("InvokeEndpoint", 2))
    assert byoe(*arguments(double, "action=invoke", "input=rows.json")).code == 2
    assert len(double.calls("InvokeEndpoint")) == 5  # the deployment's test is the first
