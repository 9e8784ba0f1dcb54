"""Images in an account's registry (ECR): their repository, their architecture, and the login for a push."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.aws.account import Account, NotChecked, aws_errors

# Docker's name for the architecture of SageMaker's CPU instances.
ARCHITECTURE = "amd64"
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

    def architectures(self, name: str, version: str, owner: str | None = None) -> list[str] | None:
        """Return the architectures of an image, such as ``["amd64"]``, or None if there is no such image.

        Args:
            name: The repository.
            version: A tag, or a digest (``sha256:...``).
            owner: ID of the account that owns the registry; None for this one.

        Raises:
            NotChecked: AWS does not permit it, or the image's configuration cannot be downloaded.
            BackendUnavailable: AWS refused for another reason.
        """
        registry = {} if owner is None else {"registryId": owner}
        which = {"imageDigest" if version.startswith("sha256:") else "imageTag": version}
        with aws_errors("ecr:BatchGetImage", f"read image {name}:{version}"):
            try:
                answer = self._client.batch_get_image(repositoryName=name, imageIds=[which], **registry)
            except self._client.exceptions.RepositoryNotFoundException:
                return None
        if not answer["images"]:
            return None
        manifest: dict[str, Any] = json.loads(answer["images"][0]["imageManifest"])
        if "manifests" in manifest:  # an index, with an entry for each platform
            return [entry.get("platform", {}).get("architecture", "unknown") for entry in manifest["manifests"]]
        if "architecture" in manifest:  # Docker's oldest format
            return [manifest["architecture"]]
        return [self._config(name, manifest["config"]["digest"], registry).get("architecture", "unknown")]

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
