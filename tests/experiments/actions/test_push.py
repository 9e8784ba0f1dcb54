"""``mode=remote action=push``, with ``experiments/aws/image_push.py``: a real engine, and a real registry under moto's ECR."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
import os
import shutil
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from experiments.aws.ecr import DOCKER_MANIFEST
from experiments.config.compose import compose
from experiments.config.schema import RemoteModeConfig, SageMakerModeConfig
from experiments.docker.engine import LABEL, connect
from experiments.docker.image import ImageSpec, image_spec
from tests.conftest import Ended
from tests.doubles.aws.double import Double
from tests.doubles.aws.faults import denied
from tests.doubles.aws.records import ACCOUNT, REGION
from tests.doubles.aws.registry import PROGRAM, Registry
from tests.support.docker import Forwarder, missing, require_engine

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(120),
]

Run = Callable[..., Ended]
PUSH = ("mode=remote", "action=push")
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
BASE = "byoe-test-base"
# The size of an incompressible layer, so that an upload exceeds the buffers of a socket.
LAYER_BYTES = 8_000_000


def version(base: str = "python:3.12-slim-bookworm") -> str:
    return image_spec(base, None).version


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home folder, in which nothing may be left."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "BASE_IMAGE"]:
        monkeypatch.delenv(name)
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    yield path
    assert list(path.rglob("*")) == []


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A double of AWS with moto's registry."""
    with Double(tmp_path / "aws") as double:
        set_variables(double, monkeypatch)
        yield double
        double.heal()


def set_variables(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in double.environment.items():
        monkeypatch.setenv(name, value)


def repositories(double: Double) -> list[str]:
    return [found["repositoryName"] for found in double.client("ecr").describe_repositories()["repositories"]]


@pytest.mark.parametrize("mode", ["local", "sagemaker"])
def test_another_mode_is_refused_with_the_command(mode: str, byoe: Run) -> None:
    ended = byoe(f"mode={mode}", "action=push")
    assert ended.code == 2
    assert ended.err == f"error: mode={mode} pushes no image to an account: python run.py mode=remote action=push.\n"


def test_the_base_is_that_of_containers_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def bases() -> list[str]:
        modes = [compose([f"mode={name}"]).config.mode for name in ("remote", "sagemaker")]
        return [mode.image.base for mode in modes if isinstance(mode, RemoteModeConfig | SageMakerModeConfig)]

    assert bases() == ["python:3.12-slim-bookworm"] * 2
    monkeypatch.setenv("BASE_IMAGE", "other:1")
    assert bases() == ["other:1"] * 2


def test_an_existing_image_is_neither_built_nor_pushed(
    double: Double, byoe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.put_image("byoe", version(), "amd64")
    monkeypatch.setenv("PATH", "/nowhere")  # without Docker
    ended = byoe(*PUSH)
    assert ended.code == 0, ended.err
    address = f"{HOST}/byoe:{version()}"
    assert f"{address} exists already, for linux/amd64: nothing is built or pushed." in ended.out
    assert f"\nimage: {{uri: {address}}}\n" in ended.out
    assert f"\nmode.image.uri={address}\n" in ended.out


def test_an_existing_image_for_another_architecture_is_not_used(double: Double, byoe: Run) -> None:
    double.put_image("byoe", version(), "arm64")
    ended = byoe(*PUSH)
    assert ended.code == 2
    assert f"{HOST}/byoe:{version()} exists already, for arm64" in ended.err
    assert f"aws ecr batch-delete-image --region us-east-1 --repository-name byoe --image-ids imageTag={version()}" in (
        ended.err
    )


@pytest.mark.parametrize("index", [False, True], ids=["manifest", "index"])
def test_an_existing_image_with_an_oci_manifest_is_not_used(index: bool, double: Double, byoe: Run) -> None:
    double.put_image("byoe", version(), "amd64", oci=True, index=index)
    ended = byoe(*PUSH)
    assert ended.code == 2
    kind = "index" if index else "manifest"
    assert f"exists already, with a manifest of type application/vnd.oci.image.{kind}.v1+json" in ended.err
    assert f"--repository-name byoe --image-ids imageTag={version()}" in ended.err


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("DescribeRepositories", "ecr:DescribeRepositories"),
        ("BatchGetImage", "ecr:BatchGetImage"),
        ("GetAuthorizationToken", "ecr:GetAuthorizationToken"),
    ],
)
def test_a_missing_permission_is_named_before_anything_is_built(
    operation: str, action: str, double: Double, byoe: Run
) -> None:
    double.client("ecr").create_repository(repositoryName="byoe")
    double.inject(denied(operation, "ecr"))
    ended = byoe(*PUSH, "mode.image.base=nowhere.invalid/none")
    assert ended.code == 2
    assert f"the credentials need the IAM action {action}. docs/aws.md has a policy." in ended.err
    assert len(ended.err.splitlines()) == 1


def test_without_a_region_or_a_base_no_request_is_sent(byoe: Run) -> None:
    assert "no AWS region is set" in byoe(*PUSH).err
    assert "mode.image.base is empty" in byoe(*PUSH, "mode.image.base=").err


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    if shutil.which(PROGRAM) is None:
        missing(f"there is no {PROGRAM}: `.ci/docker-engine` installs it")
    with Registry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def account(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A double of AWS with a real registry."""
    with Double(tmp_path / "aws", registry=registry) as double:
        set_variables(double, monkeypatch)
        yield double
        double.heal()


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Make a small base image for an architecture; images that the test adds to the engine are removed at the end."""
    require_engine()

    with closing(connect()) as client:

        def make(architecture: str) -> str:
            name = f"{BASE}:{architecture}"
            client.images.load(packed(name, architecture))
            return name

        before = names(client)
        yield make
        for name in names(client) - before:
            client.images.remove(name)


def packed(name: str, architecture: str) -> bytes:
    """Return an image of one layer of noise, as ``docker save`` would write it."""
    layer = archive({"noise": os.urandom(LAYER_BYTES)})
    layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = json.dumps({"architecture": architecture, "os": "linux", "config": {}, "rootfs": layers}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    return archive({"config.json": config, "layer.tar": layer, "manifest.json": manifest})


def archive(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def names(client: object) -> set[str]:
    found = client.images.list()  # type: ignore[attr-defined]
    return {tag for image in found for tag in image.tags}


def on_engine() -> set[str]:
    with closing(connect()) as client:
        return names(client)


@pytest.fixture
def small(base: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ImageSpec]:
    """Have the build give an image of two layers, one of noise and one of text."""

    def choose(architecture: str) -> ImageSpec:
        files = {"Dockerfile": f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nLABEL {LABEL}=image\nCOPY note /\n".encode()}
        spec = ImageSpec(base(architecture), {**files, "note": b"x"})
        monkeypatch.setattr("experiments.actions.push.configured_image", lambda image: spec)
        return spec

    return choose


def interrupt(registry: Registry, reached: threading.Event) -> None:
    """Once the push is `reached`, interrupt the command until the push has ended.

    A signal right before a wait does not end the wait.
    """
    main = threading.main_thread().ident
    assert main is not None
    if not reached.wait(300):
        return
    signal.pthread_kill(main, signal.SIGTERM)  # which is handled like Ctrl-C
    while not registry.left.wait(10):
        signal.pthread_kill(main, signal.SIGTERM)


def secrets_of(registry: Registry) -> list[str]:
    pair = f'"password": "{registry.password}"'
    return [registry.password, registry.token, base64.b64encode(pair.encode()).decode()[4:-4]]


def hides(ended: Ended, registry: Registry) -> bool:
    return not any(secret in ended.out + ended.err for secret in secrets_of(registry))


@pytest.mark.docker
class TestPush:
    def test_the_image_is_built_pushed_once_and_fit_for_jobs(
        self, account: Double, registry: Registry, small: Callable[[str], ImageSpec], byoe: Run
    ) -> None:
        spec = small("amd64")
        before = on_engine()
        ended = byoe(*PUSH, "mode.tags={team: risk}")
        assert ended.code == 0, ended.err
        address = f"{registry.host}/byoe:{spec.version}"
        assert f"repository {registry.host}/byoe created" in ended.out
        assert "pushed in " in ended.out
        assert f"\nimage: {{uri: {address}}}\n" in ended.out
        assert f"\nmode.image.uri={address}\n" in ended.out
        assert hides(ended, registry)
        assert on_engine() - before == {spec.tag}
        (made,) = account.client("ecr").describe_repositories()["repositories"]
        assert made["imageTagMutability"] == "IMMUTABLE"
        assert made["imageScanningConfiguration"] == {"scanOnPush": True}
        tags = account.client("ecr").list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"byoe:role": "image", "team": "risk"}
        again = byoe(*PUSH)
        assert again.code == 0, again.err
        assert f"{address} exists already, for linux/amd64: nothing is built or pushed." in again.out
        settings = ["mode=remote", "action=doctor", f"mode.role={account.role}", f"mode.bucket={account.bucket}"]
        looked = byoe(*settings, f"mode.image.uri={HOST}/byoe:{spec.version}")
        assert f"ok    image          {HOST}/byoe:{spec.version}" in looked.out

    def test_an_image_of_containerds_store_is_tagged_with_a_manifest_that_endpoints_accept(
        self, account: Double, registry: Registry, small: Callable[[str], ImageSpec], byoe: Run
    ) -> None:
        spec = small("amd64")
        registry.containerd = True
        ended = byoe(*PUSH)
        assert ended.code == 0, ended.err
        found = registry.manifest("byoe", spec.version)
        assert found is not None
        assert found[1] == DOCKER_MANIFEST
        manifest = json.loads(found[0])
        kinds = [part["mediaType"] for part in (manifest, manifest["config"], *manifest["layers"])]
        assert not any("oci" in kind for kind in kinds)
        assert all(registry.blob("byoe", layer["digest"]) for layer in manifest["layers"])
        assert registry.manifest("byoe", f"{spec.version}-upload") is None
        settings = [f"mode.role={account.role}", f"mode.bucket={account.bucket}", "action=doctor", "mode=remote"]
        looked = byoe(*settings, f"mode.image.uri={HOST}/byoe:{spec.version}")
        assert f"ok    image          {HOST}/byoe:{spec.version}" in looked.out

    def test_an_engine_of_another_architecture_builds_for_that_of_the_jobs(
        self,
        account: Double,
        registry: Registry,
        small: Callable[[str], ImageSpec],
        byoe: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        spec = small("amd64")
        monkeypatch.setattr("docker.DockerClient.version", lambda client: {"Arch": "arm64"})
        ended = byoe(*PUSH)
        assert ended.code == 0, ended.err
        assert f"pushing {spec.tag}-amd64 to {registry.host}/byoe:{spec.version}." in ended.out
        assert registry.manifest("byoe", spec.version) is not None

    def test_an_image_for_another_architecture_is_refused_before_anything_is_made(
        self, account: Double, registry: Registry, small: Callable[[str], ImageSpec], byoe: Run
    ) -> None:
        spec = small("arm64")
        ended = byoe(*PUSH)
        assert ended.code == 2
        assert f"image {spec.tag} is for linux/arm64, and SageMaker's instances are linux/amd64" in ended.err
        assert "mode.image.base" in ended.err
        assert repositories(account) == []

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda registry, account: setattr(registry, "denied", "ecr:InitiateLayerUpload"),
                "the credentials need the IAM action ecr:InitiateLayerUpload. docs/aws.md has a policy.",
            ),
            (
                lambda registry, account: account.inject(denied("CreateRepository", "ecr")),
                "the credentials need the IAM action ecr:CreateRepository. docs/aws.md has a policy.",
            ),
            (
                lambda registry, account: setattr(registry, "accepted", "another"),
                "Your authorization token has expired. Reauthenticate and try again",
            ),
        ],
        ids=["a layer", "the repository", "the login"],
    )
    def test_a_refusal_is_one_message_without_secrets(
        self,
        change: Callable[[Registry, Double], None],
        message: str,
        account: Double,
        registry: Registry,
        small: Callable[[str], ImageSpec],
        byoe: Run,
    ) -> None:
        spec = small("amd64")
        before = on_engine()
        change(registry, account)
        ended = byoe(*PUSH)
        assert ended.code == 2
        assert message in ended.err
        assert len(ended.err.splitlines()) == 1
        assert hides(ended, registry)
        assert on_engine() - before == {spec.tag}
        assert registry.manifest("byoe", spec.version) is None

    def test_it_can_be_interrupted_and_resumed(
        self, account: Double, registry: Registry, small: Callable[[str], ImageSpec], byoe: Run
    ) -> None:
        spec = small("amd64")
        before = on_engine()
        reached = threading.Event()  # of one or more layers, which are pushed at the same time
        registry.held = reached.set
        interrupting = threading.Thread(target=interrupt, args=(registry, reached))
        interrupting.start()
        ended = byoe(*PUSH)
        interrupting.join()
        assert (ended.code, ended.err) == (130, "interrupted.\n")
        assert on_engine() - before == {spec.tag}
        # The engine ends the uploads of the layers one by one. The next push joins one that has not ended yet.
        registry.release()
        ended = byoe(*PUSH)
        assert ended.code == 0, ended.err
        assert "building image" not in ended.out

    def test_an_engine_that_stops_is_reported(
        self,
        account: Double,
        registry: Registry,
        small: Callable[[str], ImageSpec],
        byoe: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        small("amd64")
        with ExitStack() as stack:
            engine = stack.enter_context(Forwarder(tmp_path / "engine.sock"))
            monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
            registry.held = stack.close
            ended = byoe(*PUSH)
        gc.collect()  # Docker's client leaves a failed connection open; its warning is ignored here
        monkeypatch.delenv("DOCKER_HOST")
        assert ended.code == 1
        assert "the Docker engine" in ended.err
        assert hides(ended, registry)
        assert registry.left.wait(30)
