"""Answers of a model server, and checks of them."""

from __future__ import annotations

import csv
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

    def numbers(self) -> list[Any]:
        """Return the blend's predictions, from any content type that has them: a number, or a list a class, for each row."""
        assert self.status == 200, (self.status, self.body[:2000])
        return list(_READ[self.type](self.body)["blended"])

    def members(self) -> dict[str, list[Any]]:
        """Return the predictions of all members and the blend by name, from an answer with ``detail=members``."""
        assert self.status == 200, (self.status, self.body[:2000])
        return _READ[self.type](self.body)

    def labels(self) -> list[str]:
        """Return the predicted labels, from any content type that has them."""
        assert self.status == 200, (self.status, self.body[:2000])
        if self.type == "application/json":
            return list(self.json["predicted_label"])
        if self.type == "application/jsonlines":
            return [json.loads(line)["predicted_label"] for line in self.body.splitlines()]
        if self.type == "application/x-npy":
            return list(self.array().tolist())
        rows = list(csv.reader(io.StringIO(self.body.decode(), newline="")))
        return [row[0] for row in (rows if len(rows[0]) == 1 else rows[1:])]

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


def _csv(body: bytes) -> dict[str, list[Any]]:
    rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
    if len(rows[0]) == 1:
        return {"blended": [float(cell) for (cell,) in rows]}
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    if columns.pop("prediction", None) is None:
        return {name: list(map(float, cells)) for name, cells in columns.items()}
    found: dict[str, list[Any]] = {}
    for name, cells in columns.items():
        member = "blended" if name.startswith("probability_") else name.partition("__")[0]
        found.setdefault(member, []).append(list(map(float, cells)))
    blended = found.pop("blended")
    return {name: list(map(list, zip(*values, strict=True))) for name, values in {**found, "blended": blended}.items()}


def _json(body: bytes) -> dict[str, list[Any]]:
    document = json.loads(body)
    numbers = document["predictions"] if "predictions" in document else document["probabilities"]
    return {**document.get("members", {}), "blended": numbers}


def _json_lines(body: bytes) -> dict[str, list[Any]]:
    lines = [json.loads(line) for line in body.splitlines()]
    names = lines[0].get("members", {})
    return {name: [line["members"][name] for line in lines] for name in names} | {
        "blended": [line["prediction"] if "prediction" in line else line["probabilities"] for line in lines]
    }


def _npy(body: bytes) -> dict[str, list[Any]]:
    array = np.load(io.BytesIO(body), allow_pickle=False)
    assert array.dtype == np.float64
    return {"blended": array.tolist()}


_READ = {"text/csv": _csv, "application/json": _json, "application/jsonlines": _json_lines, "application/x-npy": _npy}
