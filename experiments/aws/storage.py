"""Files on S3: named by what is in them, uploaded once, and verified on both ways."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.aws.account import aws_errors, storage_account
from experiments.config.schema import ModeConfig
from experiments.errors import BackendUnavailable, ConfigError

_SHA256 = "sha256"
_READS = 4
_PIECE = 2**20


@dataclass(frozen=True)
class Upload:
    """A file on its way to S3.

    Attributes:
        path: The file.
        location: ``s3://bucket/key`` that it goes to.
    """

    path: Path
    location: str

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class Listing:
    """What lies directly below a prefix.

    Attributes:
        folders: Names of folders, each with a slash at its end.
        files: Names of objects.
    """

    folders: list[str]
    files: list[str]


@dataclass(frozen=True)
class Storage:
    """Objects of one bucket.

    Attributes:
        client: boto3's S3 client.
        encryption: What an upload says of its encryption, in boto3's words.
    """

    client: Any
    encryption: Mapping[str, str] = field(default_factory=dict)

    def upload(self, uploads: list[Upload], tell: Callable[[Upload], None]) -> int:
        """Upload the files that are not there yet; return how many bytes went.

        Args:
            uploads: The files.
            tell: Called before each that goes.

        Raises:
            BackendUnavailable: AWS refused, or what arrived is not what was sent.
        """
        sent = 0
        for upload in uploads:
            digest = _digest(upload.path)
            if self._has(upload, digest):
                continue
            tell(upload)
            bucket, key = split_location(upload.location)
            with aws_errors("s3:PutObject", f"write {upload.location}"):
                # S3 verifies every part against a checksum that is taken here.
                extra = {**self.encryption, "ChecksumAlgorithm": "SHA256", "Metadata": {_SHA256: digest}}
                self.client.upload_file(str(upload.path), bucket, key, ExtraArgs=extra)
            if not self._has(upload, digest):
                raise BackendUnavailable(f"{upload.location} is not what was sent. Run the same command again.")
            sent += upload.size
        return sent

    def download(self, location: str, path: Path) -> None:
        """Download one object, whole: a body that is cut on its way is fetched again.

        Raises:
            ConfigError: It names no object.
            BackendUnavailable: It is not there, may not be read, or does not arrive whole.
        """
        bucket, key = split_location(location)
        if not bucket or not key or key.endswith("/"):
            raise ConfigError(f"{location} names no object: write s3://bucket/path/file.")
        partial = path.with_name(f".{path.name}.partial")
        try:
            for attempt in range(_READS):
                with aws_errors("s3:GetObject", f"read {location}"):
                    answer = self.client.get_object(Bucket=bucket, Key=key)
                if _received(answer, partial):
                    partial.replace(path)
                    return
                time.sleep(0.1 * 2**attempt)
        finally:
            partial.unlink(missing_ok=True)
        raise BackendUnavailable(
            f"{location} did not arrive whole in {_READS} attempts: is the connection good? Run the same command again."
        )

    def listing(self, location: str) -> Listing:
        """Return what lies directly below ``s3://bucket/prefix/``, in order.

        Raises:
            BackendUnavailable: It may not be looked at, or there is no such bucket.
        """
        bucket, prefix = split_location(location)
        folders, files = [], []
        with aws_errors("s3:ListBucket", f"list {location}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            for page in pages:
                folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
                files += [entry["Key"] for entry in page.get("Contents", ())]
        names = [[key.removeprefix(prefix) for key in keys] for keys in (folders, files)]
        # The prefix itself is there too, where the console has made it as an empty object.
        return Listing(*(sorted(filter(None, kind)) for kind in names))

    def _has(self, upload: Upload, digest: str) -> bool:
        from botocore.exceptions import ClientError

        bucket, key = split_location(upload.location)
        with aws_errors("s3:GetObject", f"look at {upload.location}"):
            try:
                there = self.client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                    return False
                raise
        return bool(there["ContentLength"] == upload.size and there["Metadata"].get(_SHA256) == digest)


def encryption(kms_key: str | None) -> dict[str, str]:
    """Return what uploads say of their encryption: by the user's key, or S3's own."""
    if kms_key is None:
        return {"ServerSideEncryption": "AES256"}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}


def user_storage(mode: ModeConfig) -> Storage:
    """Return what the user has on S3, by the settings of ``mode=remote`` or the user's own.

    Raises:
        ConfigError: There is no such profile.
        BackendUnavailable: The user's settings will not do; the message says why.
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
    """Write an answer's body; return whether it is all of it."""
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    digest, size = hashlib.sha256(), 0
    try:
        with path.open("wb") as sink:
            for piece in answer["Body"].iter_chunks(_PIECE):
                sink.write(piece)
                digest.update(piece)
                size += len(piece)
    except (BotoCoreError, HTTPError):
        return False
    said = answer.get("ChecksumSHA256", "")
    whole = "-" in said or not said or base64.b64decode(said) == digest.digest()
    return bool(size == answer["ContentLength"] and whole)
