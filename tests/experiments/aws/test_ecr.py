"""A registry; ``tests/experiments/actions/test_push.py`` has a push, and the images of one platform."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from moto import mock_aws

from experiments.aws.account import Account
from experiments.aws.ecr import FoundImage, Registry
from experiments.errors import BackendUnavailable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # moto's own


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Account("us-east-1")


def test_a_repository_is_created_with_immutable_tags_and_scans(account: Account) -> None:
    registry = Registry(account)
    assert registry.address("byoe") is None
    address = registry.create("byoe", {"team": "risk"})
    assert registry.address("byoe") == address
    (found,) = account.client("ecr").describe_repositories()["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}


def test_the_architectures_of_an_index_are_those_of_its_entries(account: Account) -> None:
    registry = Registry(account)
    assert registry.find_image("byoe", "1") is None
    registry.create("byoe", {})
    assert registry.find_image("byoe", "1") is None
    entries = [{"digest": f"sha256:{name}", "platform": {"architecture": name}} for name in ("amd64", "arm64")]
    kind = "application/vnd.oci.image.index.v1+json"
    put(account, {"schemaVersion": 2, "mediaType": kind, "manifests": entries})
    assert registry.find_image("byoe", "1") == FoundImage(["amd64", "arm64"], kind)


def put(account: Account, manifest: Mapping[str, Any]) -> None:
    account.client("ecr").put_image(repositoryName="byoe", imageManifest=json.dumps(manifest), imageTag="1")


def test_a_layer_that_dockers_format_does_not_know_is_named(account: Account) -> None:
    registry = Registry(account)
    registry.create("byoe", {})
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "size": 1, "digest": f"sha256:{'0' * 64}"}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": f"sha256:{'1' * 64}"}
    kind = "application/vnd.oci.image.manifest.v1+json"
    put(account, {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]})
    with pytest.raises(BackendUnavailable, match=r"layer of type application/vnd\.oci\.image\.layer\.v1\.tar\+zstd"):
        registry.tag_for_endpoints("byoe", "1", "2")


def test_the_password_of_a_login_is_not_shown(account: Account) -> None:
    login = Registry(account).login()
    assert login.username == "AWS"
    assert login.password not in repr(login)
