"""``action=invoke``: rows are sent to an endpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from experiments.config.compose import Composed
from experiments.config.paths import user_path
from experiments.errors import ConfigError, did_you_mean, listed, one_of
from experiments.reporting.console import print_plain
from experiments.serving.open import open_host
from experiments.system.files import replace_file
from experiments.system.output_file import check_not_input

# Content type by the ending of a file name, for rows and for predictions.
CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".npy": "application/x-npy",
    ".parquet": "application/x-parquet",
}
DETAILS = ("blended", "members")


def invoke_endpoint(composed: Composed, console: Console) -> int:
    """Send rows to an endpoint, and print or write its predictions; return 0.

    Raises:
        InputError: There is no such endpoint or file.
        RequestRefused: The endpoint answered with an error.
    """
    config = composed.config
    one_of("detail", config.detail, DETAILS)
    check_not_input(config.input, config.output)
    body, content_type = _rows(config.input)
    accept = _content_type("output", config.output) if config.output else _readable(content_type)
    if accept == CONTENT_TYPES[".parquet"]:
        raise ConfigError(
            f"output={config.output}: an endpoint does not write Parquet. Use .csv, .json, .jsonl or .npy, or "
            "action=batch."
        )
    answer = open_host(composed, console).invoke(body, content_type, f"{accept}; detail={config.detail}")
    if config.output is None:
        sys.stdout.buffer.write(answer.body if answer.body.endswith(b"\n") else answer.body + b"\n")
        sys.stdout.flush()
        return 0
    path = user_path(config.output)
    replace_file(path, answer.body)
    print_plain(console, f"predictions are in {path}.")
    return 0


def _rows(text: str | None) -> tuple[bytes, str]:
    if text in (None, "-"):
        body = sys.stdin.buffer.read()
        return body, "application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/csv"
    path = user_path(text)
    content_type = _content_type("input", str(text))
    try:
        return path.read_bytes(), content_type
    except FileNotFoundError:
        near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ConfigError(f"input={text}: there is no such file.{did_you_mean(path.name, near)}") from None
    except OSError as error:
        raise ConfigError(f"input={text}: {error.strerror}.") from None


def _content_type(key: str, text: str) -> str:
    suffix = Path(text).suffix.lower()
    if suffix not in CONTENT_TYPES:
        raise ConfigError(f"{key}={text}: a file name ends with one of {listed(CONTENT_TYPES)}.")
    return CONTENT_TYPES[suffix]


def _readable(content_type: str) -> str:
    """Return the format of a printed answer: that of the rows if it is text, else CSV."""
    return content_type if content_type in (CONTENT_TYPES[".json"], CONTENT_TYPES[".jsonl"]) else CONTENT_TYPES[".csv"]
