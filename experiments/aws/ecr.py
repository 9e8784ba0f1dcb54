"""Images in an account's registry (ECR): their repository, their manifests, and the login for a push."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.aws.account import Account, NotChecked, aws_errors
from experiments.errors import BackendUnavailable

# Docker's name for the architecture of SageMaker's CPU instances.
ARCHITECTURE = "amd64"
# An endpoint's image must have this manifest. CreateModel refuses those of OCI with "Unsupported manifest media type
# application/vnd.oci.image.manifest.v1+json" (https://github.com/aws/amazon-sagemaker-feedback/issues/180).
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
# Docker's names of OCI's layers, with the same content. Docker has none for layers that are compressed by zstd.
_DOCKER_LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
_SECONDS_TO_ANSWER = 30


@dataclass(frozen=True)
class Login:
    """Credentials for a registry, valid for twelve hours.

    Attributes:
        username: The user name.
        password: The token; it must be neither printed nor stored.
    """

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class FoundImage:
    """An image in a registry.

    Attributes:
        architectures: Docker's names of its architectures, such as ``["amd64"]``.
        media_type: The media type of its manifest, or of its index.
    """

    architectures: list[str]
    media_type: str


class Registry:
    """The registry of one account and region."""

    def __init__(self, account: Account) -> None:
        """Use the account; nothing is sent yet."""
        self._client = account.client("ecr")

    def address(self, name: str) -> str | None:
        """Return the address of a repository, without a tag, or None if it does not exist.

        Raises:
            BackendUnavailable: AWS refused.
        """
        with aws_errors("ecr:DescribeRepositories", f"describe repository {name}"):
            try:
                (found,) = self._client.describe_repositories(repositoryNames=[name])["repositories"]
            except self._client.exceptions.RepositoryNotFoundException:
                return None
        return str(found["repositoryUri"])

    def create(self, name: str, tags: Mapping[str, str]) -> str:
        """Create a repository with immutable tags and a scan of each pushed image; return its address.

        Raises:
            BackendUnavailable: AWS refused.
        """
        with aws_errors("ecr:CreateRepository and ecr:TagResource", f"create repository {name}"):
            created = self._client.create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            )
        return str(created["repository"]["repositoryUri"])

    def login(self) -> Login:
        """Return a login for a push.

        Raises:
            BackendUnavailable: AWS refused.
        """
        with aws_errors("ecr:GetAuthorizationToken", "push images"):
            (granted,) = self._client.get_authorization_token()["authorizationData"]
        username, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
        return Login(username, password)

    def find_image(self, name: str, version: str, owner: str | None = None) -> FoundImage | None:
        """Return an image, or None if there is no such image.

        Args:
            name: The repository.
            version: A tag, or a digest (``sha256:...``).
            owner: ID of the account that owns the registry; None for this one.

        Raises:
            NotChecked: AWS does not permit it, or the image's configuration cannot be downloaded.
            BackendUnavailable: AWS refused for another reason.
        """
        registry = {} if owner is None else {"registryId": owner}
        manifest = self._manifest(name, version, registry)
        if manifest is None:
            return None
        if "manifests" in manifest:  # an index, with an entry for each platform
            found = [entry.get("platform", {}).get("architecture", "unknown") for entry in manifest["manifests"]]
        elif "architecture" in manifest:  # Docker's oldest format
            found = [manifest["architecture"]]
        else:
            found = [self._config(name, manifest["config"]["digest"], registry).get("architecture", "unknown")]
        return FoundImage(found, manifest["mediaType"])

    def tag_for_endpoints(self, name: str, version: str, tag: str) -> None:
        """Give an image another tag, under which its manifest is Docker's; the layers are the same.

        Args:
            name: The repository.
            version: The image's present tag.
            tag: The tag to give it. It may exist already, if another command has pushed the same image.

        Raises:
            BackendUnavailable: There is no such image for SageMaker's architecture, it has layers that Docker's format
                does not know, or AWS refused.
        """
        manifest = self._manifest(name, version, {})
        if manifest is not None and "manifests" in manifest:  # such as that of an image with attestations
            for entry in manifest["manifests"]:
                if entry.get("platform", {}).get("architecture") == ARCHITECTURE:
                    manifest = self._manifest(name, entry["digest"], {})
                    break
        if manifest is None or "config" not in manifest:
            raise BackendUnavailable(
                f"{name}:{version} was pushed, but the registry does not list it for linux/{ARCHITECTURE}. Run the "
                "same command again."
            )
        text = json.dumps(_docker_manifest(manifest, f"{name}:{version}"))
        with aws_errors("ecr:PutImage", f"tag image {name}:{tag}"):
            try:
                self._client.put_image(
                    repositoryName=name, imageTag=tag, imageManifest=text, imageManifestMediaType=DOCKER_MANIFEST
                )
            except self._client.exceptions.ImageAlreadyExistsException:
                pass
            except self._client.exceptions.ImageTagAlreadyExistsException:
                pass

    def remove_tag(self, name: str, tag: str) -> None:
        """Remove a tag, and the manifest if it has no other; nothing happens if there is no such tag.

        Raises:
            BackendUnavailable: AWS refused.
        """
        with aws_errors("ecr:BatchDeleteImage", f"remove the tag {name}:{tag}"):
            self._client.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": tag}])

    def _manifest(self, name: str, version: str, registry: Mapping[str, str]) -> dict[str, Any] | None:
        """Return a manifest with its media type, or None if there is no such image."""
        which = {"imageDigest" if version.startswith("sha256:") else "imageTag": version}
        with aws_errors("ecr:BatchGetImage", f"read image {name}:{version}"):
            try:
                answer = self._client.batch_get_image(repositoryName=name, imageIds=[which], **registry)
            except self._client.exceptions.RepositoryNotFoundException:
                return None
        if not answer["images"]:
            return None
        (image,) = answer["images"][:1]
        manifest: dict[str, Any] = json.loads(image["imageManifest"])
        # OCI's manifests need not have it themselves.
        return {**manifest, "mediaType": image.get("imageManifestMediaType") or manifest.get("mediaType", "unknown")}

    def _config(self, name: str, digest: str, registry: Mapping[str, str]) -> dict[str, Any]:
        import requests

        with aws_errors("ecr:GetDownloadUrlForLayer", f"read an image of {name}"):
            url = self._client.get_download_url_for_layer(repositoryName=name, layerDigest=digest, **registry)
        try:
            answer = requests.get(url["downloadUrl"], timeout=_SECONDS_TO_ANSWER)
            answer.raise_for_status()
            config: dict[str, Any] = answer.json()
        except requests.RequestException as error:
            # The error's text may have the signed address, with which anyone can read the image.
            reason = type(error).__name__
            raise NotChecked(f"the configuration of an image of {name} could not be downloaded ({reason}).") from None
        return config


def _docker_manifest(manifest: Mapping[str, Any], image: str) -> dict[str, Any]:
    """Return the manifest of one platform in Docker's format; the configurations of both formats have one syntax."""
    layers = []
    for layer in manifest["layers"]:
        kind = _DOCKER_LAYERS.get(layer["mediaType"], layer["mediaType"])
        if kind not in _DOCKER_LAYERS.values():
            raise BackendUnavailable(
                f"{image} has a layer of type {layer['mediaType']}, which endpoints on SageMaker do not accept. Build "
                "the image with gzip's compression, Docker's default, or set another mode.image.base."
            )
        layers.append({"mediaType": kind, "size": layer["size"], "digest": layer["digest"]})
    config = {"mediaType": _DOCKER_CONFIG, "size": manifest["config"]["size"], "digest": manifest["config"]["digest"]}
    return {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers}
