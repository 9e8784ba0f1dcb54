"""Files on S3: uploaded once under a name derived from their content, and verified in both directions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.aws.account import aws_errors, storage_account
from experiments.config.schema import ModeConfig
from experiments.errors import BackendUnavailable, ConfigError
from experiments.system import clock
from experiments.system.files import replacing

_SHA256 = "sha256"
_ATTEMPTS = 4
_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Upload:
    """A file to upload.

    Attributes:
        path: The file.
        location: Its destination, ``s3://bucket/key``.
    """

    path: Path
    location: str

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class Listing:
    """The folders and objects directly below a prefix.

    Attributes:
        folders: Names of folders, each with a trailing slash.
        files: Names of objects.
    """

    folders: list[str]
    files: list[str]


@dataclass(frozen=True)
class Storage:
    """Objects of one bucket.

    Attributes:
        client: boto3's S3 client.
        encryption: boto3's arguments for the encryption of an upload.
    """

    client: Any
    encryption: Mapping[str, str] = field(default_factory=dict)

    def upload(self, uploads: list[Upload], report: Callable[[Upload], None]) -> int:
        """Upload the files that S3 does not have yet; return the number of bytes sent.

        Args:
            uploads: The files.
            report: Called before each file that is sent.

        Raises:
            BackendUnavailable: AWS refused, or an object differs from the file that was sent.
        """
        sent = 0
        for upload in uploads:
            digest = _digest(upload.path)
            if self._has(upload, digest):
                continue
            report(upload)
            bucket, key = split_location(upload.location)
            with aws_errors("s3:PutObject", f"write {upload.location}"):
                # S3 verifies each part against a checksum that is computed here.
                extra = {**self.encryption, "ChecksumAlgorithm": "SHA256", "Metadata": {_SHA256: digest}}
                self.client.upload_file(str(upload.path), bucket, key, ExtraArgs=extra)
            if not self._has(upload, digest):
                raise BackendUnavailable(
                    f"{upload.location} differs from the file that was sent. Run the same command again."
                )
            sent += upload.size
        return sent

    def download(self, location: str, path: Path) -> None:
        """Download an object completely; a body that is cut short is downloaded again.

        Raises:
            ConfigError: The location does not name an object.
            BackendUnavailable: The object does not exist, AWS does not permit it, or the download stays incomplete.
        """
        bucket, key = split_location(location)
        if not bucket or not key or key.endswith("/"):
            raise ConfigError(f"{location} does not name an object: use s3://bucket/path/file.")
        with replacing(path) as partial:
            for attempt in range(_ATTEMPTS):
                with aws_errors("s3:GetObject", f"read {location}"):
                    answer = self.client.get_object(Bucket=bucket, Key=key)
                if _received(answer, partial):
                    return
                clock.sleep(0.1 * 2**attempt)
            raise BackendUnavailable(
                f"{location} was incomplete in {_ATTEMPTS} downloads. Check the connection and run the same command "
                "again."
            )

    def listing(self, location: str) -> Listing:
        """Return the sorted names directly below ``s3://bucket/prefix/``.

        Raises:
            BackendUnavailable: AWS does not permit it, or the bucket does not exist.
        """
        bucket, prefix = split_location(location)
        folders, files = [], []
        with aws_errors("s3:ListBucket", f"list {location}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            for page in pages:
                folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
                files += [entry["Key"] for entry in page.get("Contents", ())]
        names = [[key.removeprefix(prefix) for key in keys] for keys in (folders, files)]
        # The console creates a folder as an empty object with the name of the prefix.
        return Listing(*(sorted(filter(None, kind)) for kind in names))

    def _has(self, upload: Upload, digest: str) -> bool:
        from botocore.exceptions import ClientError

        bucket, key = split_location(upload.location)
        with aws_errors("s3:GetObject", f"read {upload.location}"):
            try:
                found = self.client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                    return False
                raise
        return bool(found["ContentLength"] == upload.size and found["Metadata"].get(_SHA256) == digest)


def encryption(kms_key: str | None) -> dict[str, str]:
    """Return boto3's arguments that encrypt uploads with the user's key, or with S3's own."""
    if kms_key is None:
        return {"ServerSideEncryption": "AES256"}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}


def user_storage(mode: ModeConfig) -> Storage:
    """Return the storage of the user's data, with the account of ``mode=remote`` or the user's default.

    Raises:
        ConfigError: The profile does not exist.
        BackendUnavailable: The user's AWS settings cannot be used; the message has the reason.
    """
    account = storage_account(mode)
    with aws_errors("s3:GetObject", "read from S3"):
        return Storage(account.client("s3"))


def split_location(location: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key.lstrip("/")


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _received(answer: Mapping[str, Any], path: Path) -> bool:
    """Write the body of an answer to a file; return whether it is complete."""
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    digest, size = hashlib.sha256(), 0
    try:
        with path.open("wb") as sink:
            for piece in answer["Body"].iter_chunks(_CHUNK_BYTES):
                sink.write(piece)
                digest.update(piece)
                size += len(piece)
    except (BotoCoreError, HTTPError):
        return False
    checksum = answer.get("ChecksumSHA256", "")
    # With a dash it is a checksum of parts' checksums.
    matches = not checksum or "-" in checksum or base64.b64decode(checksum) == digest.digest()
    return bool(size == answer["ContentLength"] and matches)
