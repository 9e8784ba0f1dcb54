"""Answers of a model server, and checks of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# A Python traceback, or the path of a file.
_LEAK = re.compile(r"Traceback|\.py\b|site-packages|(?<![\w:/])/(?:[\w.-]+/)+[\w.-]+")


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: As it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def type(self) -> str:
        """The content type."""
        return self.headers["content-type"]

    def numbers(self) -> list[float]:
        """Return the blend's predictions, from any content type."""
        assert self.status == 200, (self.status, self.body[:2000])
        return list(_READ[self.type](self.body)["blended"])

    def members(self) -> dict[str, list[float]]:
        """Return the predictions of all members and the blend by name, from an answer with ``detail=members``."""
        assert self.status == 200, (self.status, self.body[:2000])
        return _READ[self.type](self.body)

    def array(self) -> Any:
        """Return a body of ``application/x-npy``."""
        assert self.status == 200, (self.status, self.body[:2000])
        return np.load(io.BytesIO(self.body), allow_pickle=False)

    def refused(self, status: int, **details: Any) -> dict[str, Any]:
        """Check that this is an error with this status and these details, without traces of the server's code."""
        assert self.status == status, (self.status, self.body[:2000])
        assert self.type == "application/json"
        found = self.json
        assert {"error", "message", "request_id"} <= set(found)
        assert found["request_id"] == self.headers["x-request-id"]
        assert not _LEAK.search(found["message"]), found["message"]
        assert {name: found.get(name) for name in details} == details
        return dict(found)


def _csv(body: bytes) -> dict[str, list[float]]:
    lines = body.decode().splitlines()
    if "," not in lines[0]:
        return {"blended": [float(line) for line in lines]}
    rows = [[float(cell) for cell in line.split(",")] for line in lines[1:]]
    return {name: list(values) for name, values in zip(lines[0].split(","), zip(*rows, strict=True), strict=True)}


def _json(body: bytes) -> dict[str, list[float]]:
    document = json.loads(body)
    return {**document.get("members", {}), "blended": document["predictions"]}


def _json_lines(body: bytes) -> dict[str, list[float]]:
    lines = [json.loads(line) for line in body.splitlines()]
    names = lines[0].get("members", {})
    return {name: [line["members"][name] for line in lines] for name in names} | {
        "blended": [line["prediction"] for line in lines]
    }


def _npy(body: bytes) -> dict[str, list[float]]:
    array = np.load(io.BytesIO(body), allow_pickle=False)
    assert array.ndim == 1
    return {"blended": array.tolist()}


_READ = {"text/csv": _csv, "application/json": _json, "application/jsonlines": _json_lines, "application/x-npy": _npy}
