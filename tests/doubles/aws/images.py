"""ECR's answers about images in a registry on this machine, and the addresses of their layers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tests.doubles.aws.answers import Answer, Document, Refused
from tests.doubles.aws.records import ACCOUNT, REGION
from tests.doubles.aws.registry import Registry

# As on AWS, layers are in a bucket. A test that calls PutImage also puts the configuration there, by its digest.
LAYERS = "layers"
_PLATFORM = "amd64"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
# The manifests that CreateModel accepts; its message is that of https://github.com/aws/amazon-sagemaker-feedback/issues/180.
_SERVED = (
    DOCKER_MANIFEST,
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_ADDRESS = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)(?P<version>[:@].+)?"
)
_AWS_HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


class Images:
    """Answers requests about repositories and images."""

    def __init__(self, ecr: Any, storage: Any, registry: Registry | None) -> None:
        """Take what is needed.

        Args:
            ecr: A client of moto's ECR, which keeps the repositories.
            storage: A client of S3.
            registry: Where images lie; None for moto, which keeps no layers.
        """
        self._ecr = ecr
        self._storage = storage
        self._registry = registry

    def answer(self, operation: str, document: Document) -> Answer | None:
        """Answer a request, or return None if moto is to answer.

        Raises:
            Refused: The answer is an error.
        """
        if operation == "GetDownloadUrlForLayer":
            return self._download(document)
        if self._registry is None:
            return None
        answers: dict[str, Callable[[Document, Registry], Answer]] = {
            "BatchGetImage": self._images,
            "BatchDeleteImage": _untag,
            "PutImage": _put,
            "CreateRepository": lambda document, at: _moved(self._ecr.create_repository, document, at),
            "DescribeRepositories": lambda document, at: _moved(self._ecr.describe_repositories, document, at),
            "GetAuthorizationToken": lambda document, at: {"authorizationData": [_grant(at)]},
        }
        return answers[operation](document, self._registry) if operation in answers else None

    def check(self, address: str) -> None:
        """Check that SageMaker could run an image; AWS's own images are not checked.

        Raises:
            Refused: It is not an image's address, is in another region, does not exist, or is for another architecture.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None or found["region"] != REGION:
            raise Refused("ValidationException", f"Using ECR image {address} is not supported in {REGION}.")
        if found["account"] != ACCOUNT:
            return
        name = found["name"]
        manifest = self._manifest(name, (found["version"] or ":latest")[1:])
        if manifest is None:
            raise Refused("ValidationException", f"Requested image {address} not found.")
        if manifest["mediaType"] not in _SERVED:
            raise Refused(
                "ValidationException",
                f"Unsupported manifest media type {manifest['mediaType']} for image {address}. Ensure that valid "
                "manifest media type is used for specified image.",
            )
        if _PLATFORM not in self._platforms(name, manifest):
            raise Refused("ValidationException", f"Requested image {address} is not for linux/{_PLATFORM}.")

    def _manifest(self, name: str, version: str) -> dict[str, Any] | None:
        """Return an image's manifest with its media type, or None if there is no such image."""
        if self._registry is not None:
            found = self._registry.manifest(name, version)
            return None if found is None else {**json.loads(found[0]), "mediaType": found[1]}
        which = {"imageDigest" if version.startswith("sha256:") else "imageTag": version}
        try:
            images = self._ecr.batch_get_image(repositoryName=name, imageIds=[which])["images"]
        except self._ecr.exceptions.RepositoryNotFoundException:
            return None
        return json.loads(images[0]["imageManifest"]) if images else None

    def _platforms(self, name: str, manifest: dict[str, Any]) -> list[str]:
        """Return the platforms of an image."""
        if "manifests" in manifest:
            return [entry["platform"]["architecture"] for entry in manifest["manifests"]]
        digest = manifest["config"]["digest"]
        if self._registry is not None:
            config = self._registry.blob(name, digest) or b"{}"
        else:
            config = self._storage.get_object(Bucket=LAYERS, Key=digest)["Body"].read()
        return [json.loads(config).get("architecture", "unknown")]

    def _images(self, document: Document, registry: Registry) -> Answer:
        name = document["repositoryName"]
        _moved(self._ecr.describe_repositories, {"repositoryNames": [name]}, registry)
        images, failures = [], []
        for wanted in document["imageIds"]:
            found = registry.manifest(name, wanted.get("imageTag") or wanted["imageDigest"])
            if found is None:
                reason = "Requested image not found"
                failures.append({"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": reason})
                continue
            manifest, kind, digest = found
            images.append(
                {
                    "registryId": ACCOUNT,
                    "repositoryName": name,
                    "imageId": {**wanted, "imageDigest": digest},
                    "imageManifest": manifest,
                    "imageManifestMediaType": kind,
                }
            )
        return {"images": images, "failures": failures}

    def _download(self, document: Document) -> Answer:
        digest, name = document["layerDigest"], document["repositoryName"]
        if self._registry is not None and (found := self._registry.blob(name, digest)) is not None:
            self._storage.put_object(Bucket=LAYERS, Key=digest, Body=found)
        try:
            self._storage.head_object(Bucket=LAYERS, Key=digest)
        except ClientError as error:
            raise Refused("LayersNotFoundException", f"The layer with digest '{digest}' was not found") from error
        place = {"Bucket": LAYERS, "Key": digest}
        url = self._storage.generate_presigned_url("get_object", Params=place, ExpiresIn=3600)
        return {"downloadUrl": url, "layerDigest": digest}


def _grant(registry: Registry) -> Answer:
    end = time.time() + 12 * 3600
    return {"authorizationToken": registry.token, "expiresAt": end, "proxyEndpoint": f"http://{registry.host}"}


def _moved(call: Any, document: Document, registry: Registry) -> Answer:
    """Return moto's answer with the registry's address in it."""
    try:
        answer = call(**document)
    except ClientError as error:
        raise Refused(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
    del answer["ResponseMetadata"]
    text = json.dumps(answer, default=lambda at: at.timestamp())
    moved: Answer = json.loads(text.replace(_AWS_HOST, registry.host))
    return moved


def _untag(document: Document, registry: Registry) -> Answer:
    removed, failures = [], []
    for image in document["imageIds"]:
        if registry.manifest(document["repositoryName"], image["imageTag"]) is None:
            reason = "Requested image not found"
            failures.append({"imageId": image, "failureCode": "ImageNotFound", "failureReason": reason})
        else:
            registry.untag(document["repositoryName"], image["imageTag"])
            removed.append(image)
    return {"imageIds": removed, "failures": failures}


def _put(document: Document, registry: Registry) -> Answer:
    name, tag, text = document["repositoryName"], document["imageTag"], document["imageManifest"]
    if registry.manifest(name, tag) is not None:
        raise Refused(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the "
            "tag is immutable.",
        )
    digest = registry.put_manifest(name, tag, text, document["imageManifestMediaType"])
    image = {"registryId": ACCOUNT, "repositoryName": name, "imageManifest": text}
    return {"image": {**image, "imageId": {"imageDigest": digest, "imageTag": tag}}}


def put_image(ecr: Any, storage: Any, name: str, tag: str, architecture: str, *, oci: bool, index: bool) -> None:
    """Put an image into moto's ECR, in Docker's format or OCI's, or in an index of OCI; create the repository if needed."""
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=name)
    config = json.dumps(
        {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    ).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    storage.put_object(Bucket=LAYERS, Key=digest, Body=config)
    oci = oci or index
    kind = "application/vnd.oci.image.manifest.v1+json" if oci else DOCKER_MANIFEST
    of = "application/vnd.oci.image.config.v1+json" if oci else "application/vnd.docker.container.image.v1+json"
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": of, "digest": digest, "size": len(config)},
        "layers": [],
    }
    if index:
        text = json.dumps(manifest).encode()
        part = {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(text).hexdigest()}", "size": len(text)}
        entry = {**part, "platform": {"architecture": architecture, "os": "linux"}}
        kind = "application/vnd.oci.image.index.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}
    ecr.put_image(repositoryName=name, imageTag=tag, imageManifest=json.dumps(manifest), imageManifestMediaType=kind)


def is_framework_container(address: str) -> bool:
    """Return whether an image is one of AWS's own."""
    found = _ADDRESS.fullmatch(address)
    return found is not None and found["account"] != ACCOUNT
