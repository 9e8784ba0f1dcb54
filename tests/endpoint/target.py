"""The endpoint under test. The tests know its columns only from the manifest of its bundle."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ensemble.arrays import Floats
from ensemble.column_encoding import frame_of
from ensemble.table import Column
from tests.endpoint.answer import Answer

# Well above the time of a batch of 10,000 rows, and below the time limit of a test.
SECONDS = 45


@dataclass(frozen=True)
class Cells:
    """Rows as users write them.

    Attributes:
        columns: What the columns are.
        values: One list a column: numbers as float, true and false as bool, dates and categories as text, gaps as None.
    """

    columns: tuple[Column, ...]
    values: list[list[Any]]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    @property
    def rows(self) -> list[list[Any]]:
        """The rows, one list each."""
        return [list(row) for row in zip(*self.values, strict=True)]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows, by name."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    def having(self, place: int, row: int, value: Any) -> Cells:
        """Return the rows with another value in one cell."""
        values = [list(column) for column in self.values]
        values[place][row] = value
        return replace(self, values=values)

    def take(self, *rows: int) -> Cells:
        """Return some of the rows."""
        return replace(self, values=[[column[row] for row in rows] for column in self.values])


@dataclass(frozen=True)
class Target:
    """An endpoint and its bundle.

    Attributes:
        name: ``process``, an endpoint's name or a URL.
        url: Where it answers.
        model_dir: The unpacked bundle.
    """

    name: str
    url: str
    model_dir: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the bundle."""
        found: dict[str, Any] = json.loads((self.model_dir / "manifest.json").read_text())
        return found

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The features."""
        return tuple(Column.from_dict(column) for column in self.manifest["columns"])

    @cached_property
    def members(self) -> list[str]:
        """The members' names."""
        return [member["name"] for member in self.manifest["members"]]

    @cached_property
    def features(self) -> Floats:
        """The example's rows."""
        return np.array(self.manifest["example"]["features"], dtype=np.float64)

    @cached_property
    def classes(self) -> list[str]:
        """The labels that are predicted, in order; none if a number is predicted."""
        return list(self.manifest.get("classes", []))

    def with_numbers(self, accept: str) -> str:
        """Return an ``Accept`` header with which the answer has numbers: for classes, their probabilities."""
        return f"{accept}; detail=probabilities" if self.classes else accept

    @cached_property
    def predictions(self) -> list[Any]:
        """What the training run predicted for the example: a number, or a list of probabilities, for each row."""
        return list(self.manifest["example"]["predictions"])

    @cached_property
    def example(self) -> Cells:
        """The example as users write it."""
        return self.cells(self.features)

    def cells(self, features: Floats) -> Cells:
        """Return features as users write them."""
        frame = frame_of(features, self.columns)
        values: list[list[Any]] = []
        for column in self.columns:
            given = frame[column.name].tolist()
            given = [None if value is None or value != value else value for value in given]  # noqa: PLR0124
            if column.type == "boolean":
                given = [None if value is None else bool(value) for value in given]
            values.append(given)
        return Cells(self.columns, values)

    def more(self, rows: int, seed: int = 0) -> Cells:
        """Return distinct rows, mixed from those of the example; some cells are empty."""
        random = np.random.RandomState(seed)
        features = np.empty((rows, len(self.columns)))
        for place, column in enumerate(self.columns):
            drawn = random.choice(self.features[:, place], size=rows)
            if column.type == "number":
                drawn = drawn * random.uniform(0.5, 1.5, size=rows)
            features[:, place] = np.where(random.uniform(size=rows) < 0.05, np.nan, drawn)
        return self.cells(features)

    @contextlib.contextmanager
    def connected(self, seconds: float = SECONDS) -> Iterator[Connection]:
        """Open a connection, which stays open between requests."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)
        try:
            yield Connection(connection)
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request on a new connection."""
        with self.connected() as connection:
            return connection.ask(method, path, body, headers)

    def post(self, body: Any, content_type: str, accept: str | None = None, **headers: str) -> Answer:
        """Request predictions on a new connection."""
        with self.connected() as connection:
            return connection.post(body, content_type, accept, **headers)

    def check_example(self) -> None:
        """Check that the endpoint predicts its example as the training run did."""
        relative, absolute = (0.0, 1e-9) if self.classes else (1e-9, 0.0)
        np.testing.assert_allclose(self.predict(self.example), self.predictions, rtol=relative, atol=absolute)

    def predict(self, cells: Cells) -> list[Any]:
        """Return what the endpoint predicts: a number, or a list of probabilities, for each row."""
        return self.post(json.dumps({"instances": cells.rows}), "application/json").numbers()

    def ping(self) -> dict[str, Any]:
        """Return the answer to ``/ping``."""
        answer = self.ask("GET", "/ping")
        assert answer.status == 200, (answer.status, answer.body)
        return dict(answer.json)


@dataclass(frozen=True)
class Connection:
    """A connection that stays open between requests.

    Attributes:
        http: The connection.
    """

    http: http.client.HTTPConnection

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request."""
        try:
            with contextlib.suppress(
                BrokenPipeError, ConnectionResetError
            ):  # the server may answer before it has the whole body
                self.http.request(method, path, body, dict(headers or {}))
            response = self.http.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self.http.close()
            raise
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)

    def post(self, body: Any, content_type: str, accept: str | None = None, **headers: str) -> Answer:
        """Request predictions."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = {} if accept is None else {"Accept": accept}
        return self.ask("POST", "/invocations", body, {"Content-Type": content_type, **wanted, **given})
