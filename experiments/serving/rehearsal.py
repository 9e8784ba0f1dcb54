"""The rehearsal of a serverless endpoint under AWS's limits: cold start, memory and the largest request."""

from __future__ import annotations

import copy
import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments.docker.endpoint import Started, container_state, peak_memory, start_container, stop_container
from experiments.errors import EnsembleError
from experiments.reporting.console import print_plain
from experiments.sagemaker_requests.limits import (
    SECONDS_TO_ANSWER,
    SECONDS_TO_PING,
    SERVERLESS_BODY_BYTES,
    SERVERLESS_MEMORY,
)
from experiments.serving.base import DeployFailed
from experiments.serving.client import invoke
from experiments.serving.example import largest_body
from experiments.serving.memory import Rehearsal
from experiments.serving.plan import EndpointPlan
from experiments.serving.records import Endpoint
from experiments.serving.smoke_test import check_container

if TYPE_CHECKING:
    from experiments.docker.engine import DockerClient


@dataclass(frozen=True)
class _Load:
    """The outcome of the largest request.

    Attributes:
        rows: Its number of rows.
        seconds: Time until the answer.
        problem: What went wrong, or None.
        peak: Peak memory of the container in bytes; None if it is not known.
    """

    rows: int
    seconds: float
    problem: str | None
    peak: int | None


def rehearse(
    client: DockerClient, endpoint: Endpoint, plan: EndpointPlan, cold_start: float, console: Console
) -> Rehearsal:
    """Send the largest request to an endpoint that runs under serverless limits; show and return the findings.

    Args:
        client: A client of the engine.
        endpoint: The deployed endpoint.
        plan: What it was started from.
        cold_start: Seconds from its start to its first answer.
        console: Where the findings are shown.
    """
    memory = _memory(plan)
    started = Started(endpoint.container, endpoint.network, endpoint.url)
    with console.status("rehearsing under serverless limits"):
        load = _largest_request(client, started, plan.model.manifest)
        smallest = _smallest(client, endpoint, plan, load)
    peak = "" if load.peak is None else f", peak memory {load.peak / 2**20:,.0f} of {memory:,} MB"
    print_plain(
        console,
        f"serverless rehearsal: cold start {cold_start:.1f} s (limit {SECONDS_TO_PING}){peak}, largest request "
        f"({load.rows:,} rows in {SERVERLESS_BODY_BYTES / 2**20:g} MB) {load.seconds:.1f} s (limit "
        f"{SECONDS_TO_ANSWER}).",
    )
    if load.problem is not None:
        print_plain(console, f"warning: the largest request fails: {load.problem}", "yellow")
    if smallest is None:
        print_plain(console, "warning: no memory size of a serverless endpoint passes. Use serving=realtime.", "yellow")
    else:
        current = "" if smallest == memory else f" (this one has {memory:,}: serving.memory_size_in_mb={smallest})"
        print_plain(
            console,
            f"The smallest memory that passes is {smallest:,} MB{current}; mode=remote action=deploy uses it.",
        )
    image = plan.requests["CreateModel"]["PrimaryContainer"]["Image"]
    return Rehearsal(smallest, cold_start, load.peak, load.seconds, image)


def _smallest(client: DockerClient, endpoint: Endpoint, plan: EndpointPlan, load: _Load) -> int | None:
    """Return the smallest memory size in MB with which the largest request is answered, or None."""
    memory = _memory(plan)
    for size in SERVERLESS_MEMORY:
        if load.peak is not None and load.peak > size * 2**20:
            continue
        if size == memory and load.problem is None:
            return size
        if _passes(client, endpoint, plan, size):
            return size
    return None


def _passes(client: DockerClient, endpoint: Endpoint, plan: EndpointPlan, size: int) -> bool:
    requests = copy.deepcopy(dict(plan.requests))
    requests["CreateModel"]["ModelName"] += f"-{size}"
    requests["CreateEndpointConfig"]["ProductionVariants"][0]["ServerlessConfig"]["MemorySizeInMB"] = size
    limits = replace(plan.limits, port=None, memory_bytes=size * 2**20)
    started = start_container(client, requests, Path(endpoint.folder).parent, Path(endpoint.model_dir), limits)
    try:
        check_container(client, started, plan.model.manifest, endpoint.bundle_hash)
        return _largest_request(client, started, plan.model.manifest).problem is None
    except DeployFailed:
        return False
    finally:
        stop_container(client, started.container, started.network, seconds=0)


def _largest_request(client: DockerClient, started: Started, manifest: Mapping[str, Any]) -> _Load:
    body, rows = largest_body(manifest)
    began = time.monotonic()
    problem: str | None
    try:
        answer = invoke(started.url, body, "text/csv; header=absent", "text/csv; detail=blended")
        count = rows_of_csv(answer.body)
        problem = None if count == rows else f"{count} predictions were returned for {rows} rows"
    except EnsembleError as error:
        problem = str(error)
    seconds = time.monotonic() - began
    found = container_state(client, started.container)
    if found != "running":
        return _Load(rows, seconds, f"its container was {found}", None)
    return _Load(rows, seconds, problem, peak_memory(client, started.container))


def rows_of_csv(body: bytes) -> int:
    """Return the number of rows of CSV, whose text may have line breaks in quotes."""
    return sum(1 for _ in csv.reader(io.StringIO(body.decode(), newline="")))


def _memory(plan: EndpointPlan) -> int:
    variant = plan.requests["CreateEndpointConfig"]["ProductionVariants"][0]
    return int(variant["ServerlessConfig"]["MemorySizeInMB"])
