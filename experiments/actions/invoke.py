"""``action=invoke``: rows are sent to an endpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from ensemble.file_kinds import START_BYTES, kind_of, not_text
from ensemble.intervals import check_level
from ensemble.serving.media_types import DETAILS
from experiments.config.compose import Composed
from experiments.config.paths import user_path
from experiments.config.sources import DEFAULT
from experiments.errors import ConfigError, did_you_mean, listed, one_of
from experiments.reporting.console import print_plain
from experiments.serving.open import open_host
from experiments.serving.row_files import HEADERS
from experiments.system.files import replace_file
from experiments.system.output_file import check_not_input

# Content type by the ending of a file name.
CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".npy": "application/x-npy",
    ".parquet": "application/x-parquet",
}


def invoke_endpoint(composed: Composed, console: Console) -> int:
    """Send rows to an endpoint, and print or write its predictions; return 0.

    Raises:
        InputError: There is no such endpoint or file.
        RequestRefused: The endpoint answered with an error.
    """
    config = composed.config
    one_of("detail", config.detail, DETAILS)
    check_not_input(config.input, config.output)
    body, content_type = request(config.input, config.header)
    accept = _content_type(config.output) if config.output else _readable(content_type)
    if accept == CONTENT_TYPES[".parquet"]:
        raise ConfigError(
            f"output={config.output}: an endpoint does not write Parquet. Use .csv, .json, .jsonl or .npy, or "
            "action=batch."
        )
    # A detail counts more than serving.inference_output, so only one that was asked for is sent.
    detail = "" if composed.sources["detail"] == DEFAULT else f"; detail={config.detail}"
    if config.serving.interval is not None:
        check_level(config.serving.interval, "serving.interval")
        detail += f"; level={config.serving.interval!r}"
    answer = open_host(composed, console).invoke(body, content_type, f"{accept}{detail}")
    if config.output is None:
        sys.stdout.buffer.write(answer.body if answer.body.endswith(b"\n") else answer.body + b"\n")
        sys.stdout.flush()
        return 0
    path = user_path(config.output)
    replace_file(path, answer.body)
    print_plain(console, f"predictions are in {path}.")
    return 0


def request(rows: str | None, header: str | None) -> tuple[bytes, str]:
    """Return rows as the body of a request, and its content type.

    Args:
        rows: A file; None or ``-`` for standard input.
        header: Whether the first row of CSV is a header, one of ``HEADERS``; None lets the endpoint decide.

    Raises:
        ConfigError: There is no such file, it holds no rows, or ``header`` is given for rows that are not CSV.
    """
    if header is not None:
        one_of("header", header, HEADERS)
    body = sys.stdin.buffer.read() if rows in (None, "-") else _content(str(rows))
    reason = not_text(body[:START_BYTES]) if kind_of(body) == "text" else None
    if reason is not None:
        raise ConfigError(f"input={rows or '-'} {reason}.")
    content_type = _type_of(body, Path(rows or "").suffix.lower())
    if header is None:
        return body, content_type
    if content_type != CONTENT_TYPES[".csv"]:
        raise ConfigError(f"header={header}: input={rows or '-'} is not CSV. Leave the key out.")
    return body, f"{content_type}; header={header}"


def _content(text: str) -> bytes:
    path = user_path(text)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ConfigError(f"input={text}: there is no such file.{did_you_mean(path.name, near)}") from None
    except OSError as error:
        raise ConfigError(f"input={text}: {error.strerror}.") from None


def _type_of(body: bytes, suffix: str) -> str:
    """Return the content type of rows by their first bytes; only JSON lines need the name of their file too."""
    kind = kind_of(body)
    if kind != "text":
        return CONTENT_TYPES[f".{kind}"]
    if body.lstrip()[:1] not in (b"{", b"["):
        return CONTENT_TYPES[".csv"]
    return CONTENT_TYPES[suffix if suffix in (".jsonl", ".ndjson") else ".json"]


def _content_type(text: str) -> str:
    suffix = Path(text).suffix.lower()
    if suffix not in CONTENT_TYPES:
        raise ConfigError(f"output={text}: a file name ends with one of {listed(CONTENT_TYPES)}.")
    return CONTENT_TYPES[suffix]


def _readable(content_type: str) -> str:
    """Return the format of a printed answer: that of the rows if it is text, else CSV."""
    return content_type if content_type in (CONTENT_TYPES[".json"], CONTENT_TYPES[".jsonl"]) else CONTENT_TYPES[".csv"]
