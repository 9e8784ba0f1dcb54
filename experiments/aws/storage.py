"""Files on S3."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from experiments.errors import ConfigError


def download(location: str, path: Path) -> None:
    """Download one object with the user's own AWS settings.

    Args:
        location: ``s3://bucket/key``.
        path: Where it goes.

    Raises:
        ConfigError: It is not there, or may not be read; the message says what AWS said.
    """
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(location)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    if not bucket or not key or key.endswith("/"):
        raise ConfigError(f"{location} names no object: write s3://bucket/path/model.tar.gz.")
    try:
        boto3.Session().client("s3").download_file(bucket, key, str(path))
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise ConfigError(
            f"{location} could not be downloaded: {error}. It needs AWS credentials that allow s3:GetObject there."
        ) from None
