"""``action=invoke``, ``action=status`` and ``action=delete``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from experiments.config.compose import COMMAND_LINE, Composed
from experiments.config.paths import user_path
from experiments.config.schema import RemoteModeConfig
from experiments.docker.endpoint import SECONDS_TO_DRAIN, end, last_requests, remove_strangers, state
from experiments.docker.engine import open_engine
from experiments.errors import BackendUnavailable, ConfigError, did_you_mean, listed, one_of
from experiments.reporting.console import print_plain
from experiments.serving.client import invoke, ping
from experiments.serving.records import RECORD, Endpoint, records_of
from experiments.serving.remote import invoke_in_cloud
from experiments.system.archives import MODEL_ARCHIVE
from experiments.system.files import replace_file
from experiments.system.output_file import check_not_input

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient

# Content type by a file name's ending, for rows and for predictions.
CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".npy": "application/x-npy",
    ".parquet": "application/x-parquet",
}
DETAILS = ("blended", "members")
_REQUESTS_SHOWN = 3


def invoke_endpoint(composed: Composed, words: Sequence[str], console: Console) -> int:
    """Send rows to an endpoint, and print or write what it predicts; return 0.

    Raises:
        InputError: No such endpoint or file.
        RequestRefused: The endpoint answered with an error.
    """
    config = composed.config
    one_of("detail", config.detail, DETAILS)
    check_not_input(config.input, config.output)
    cloud = config.mode if isinstance(config.mode, RemoteModeConfig) else None
    url = "" if cloud else _address(composed)
    body, content_type = _rows(config.input)
    accept = _content_type("output", config.output) if config.output else _readable(content_type)
    if accept == CONTENT_TYPES[".parquet"]:
        raise ConfigError(
            "output: an endpoint writes no Parquet: give .csv, .json, .jsonl or .npy, or use action=batch."
        )
    accept = f"{accept}; detail={config.detail}"
    if cloud:
        answer = invoke_in_cloud(composed, cloud, body, content_type, accept)
    else:
        answer = invoke(url, body, content_type, accept)
    if config.output is None:
        sys.stdout.buffer.write(answer.body if answer.body.endswith(b"\n") else answer.body + b"\n")
        sys.stdout.flush()
        return 0
    path = user_path(config.output)
    replace_file(path, answer.body)
    print_plain(console, f"predictions are in {path}.")
    return 0


def show_status(composed: Composed, words: Sequence[str], console: Console) -> int:
    """Show the endpoint that was named, or every one of this folder's; return 0, or 1 if one is not healthy.

    Raises:
        ConfigError: There is none of that name.
    """
    records = records_of(composed)
    if composed.sources["endpoint"] == COMMAND_LINE:
        endpoints = [records.get(composed.config.endpoint)]
    else:
        endpoints = records.all()
    damaged = records.damaged()
    for fault in damaged:
        print_plain(console, f"warning: {fault}", "yellow")
    if not endpoints and not damaged:
        print_plain(
            console, f"there is no endpoint in {records.root}. python run.py mode=sagemaker action=deploy makes one."
        )
        return 0
    well = not damaged
    with open_engine() as client:
        for endpoint in endpoints:
            well = _show(client, endpoint, console) and well
    return 0 if well else 1


def delete_endpoint(composed: Composed, words: Sequence[str], console: Console) -> int:
    """Let an endpoint finish what it is answering, and remove all of it; return 0.

    Raises:
        InputError: There is none of that name.
    """
    name, records = composed.config.endpoint, records_of(composed)
    endpoint = records.get(name)
    with open_engine() as client, records.alone(name) as folder:
        end(client, endpoint.container, endpoint.network, SECONDS_TO_DRAIN)
        remove_strangers(client, folder, None)
        (folder / RECORD).unlink(missing_ok=True)
    print_plain(console, f"endpoint {name} is gone, with its configuration, model, container and network.")
    return 0


def _deploy_again(endpoint: Endpoint) -> str:
    """Return the command that serves an endpoint's model again."""
    archive = Path(endpoint.folder) / MODEL_ARCHIVE
    serving = f" serving={endpoint.serving}" if endpoint.serving != "serverless" else ""
    return f"python run.py mode=sagemaker action=deploy endpoint={endpoint.name} model={archive}{serving}"


def _address(composed: Composed) -> str:
    """Return an endpoint's address, which is checked to be the model that was deployed."""
    name = composed.config.endpoint
    if name.startswith("http://"):
        return name.rstrip("/")
    endpoint = records_of(composed).get(name)
    said = ping(endpoint.url)
    if said is None:
        with open_engine() as client:
            found = state(client, endpoint.container)
        if found != "running":
            raise BackendUnavailable(
                f"endpoint {name} is not served: its container is {found}. {_deploy_again(endpoint)} starts it anew."
            )
    elif said.get("bundle") != endpoint.bundle_hash:
        raise BackendUnavailable(
            f"{endpoint.url} answers, and is not endpoint {name}: another program has its port. "
            f"{_deploy_again(endpoint)} starts it anew."
        )
    return endpoint.url


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
    """Return in what a person reads the answer: as they wrote the rows, or CSV."""
    return content_type if content_type in (CONTENT_TYPES[".json"], CONTENT_TYPES[".jsonl"]) else CONTENT_TYPES[".csv"]


def _health(client: DockerClient, endpoint: Endpoint) -> str:
    found = state(client, endpoint.container)
    if found != "running":
        return found
    said = ping(endpoint.url)
    if said is None:
        return "does not answer"
    return "ok" if said.get("bundle") == endpoint.bundle_hash else "another model answers"


def _show(client: DockerClient, endpoint: Endpoint, console: Console) -> bool:
    """Show an endpoint and its last requests; return whether it is healthy."""
    health = _health(client, endpoint)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(endpoint.since))
    lines = [
        f"{endpoint.name}  {endpoint.url}  {health}",
        f"  {endpoint.origin}, {endpoint.bundle_hash[:12]}; {endpoint.serving}, since {since}",
    ]
    for entry in last_requests(client, endpoint.container, _REQUESTS_SHOWN):
        when = time.strftime("%H:%M:%S", time.localtime(entry["time"]))
        what = f"{entry['rows']} rows" if "rows" in entry else entry.get("error", "")
        lines.append(f"  {when}  {entry['status']}  {what}, {entry['ms']} ms, request {entry['request_id']}")
    print_plain(console, lines[0], "green" if health == "ok" else "red")
    print_plain(console, "\n".join(lines[1:]))
    return health == "ok"
