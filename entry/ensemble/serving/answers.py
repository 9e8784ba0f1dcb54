"""Predictions as the bodies of answers, in the content type that ``Accept`` prefers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import orjson

from ensemble.errors import listed
from ensemble.recipe import BLENDED
from ensemble.serving.errors import NOT_ACCEPTABLE, RequestError
from ensemble.serving.explanation import REQUEST, Explanation
from ensemble.serving.media_types import (
    ALIASES,
    CSV,
    JSON,
    JSON_LINES,
    NPY,
    Detail,
    details_of,
    parse_media_type,
    wrong_detail,
)
from ensemble.serving.prediction import BASE, PART, PREDICTION, SET, STANDARD_ERROR, Prediction
from ensemble.serving.selected import OUTPUT, selected_rows

_ANY_TYPE = ("*/*", "application/*")
# What an unquoted cell of CSV cannot hold, so that every reader returns it as it was.
_SPECIAL = frozenset(',"\r\n')


def encode(
    prediction: Prediction, accept: str, selected: Sequence[str] = (), level: float | None = None
) -> tuple[bytes, str]:
    """Return the body of an answer and its content type.

    Args:
        prediction: The predictions.
        accept: The ``Accept`` header. ``;detail=`` after a type asks for ``probabilities`` of classes, for the
            predictions of all ``members`` too, for an ``interval``, whose level ``;level=`` may set, or for an
            ``explanation``.
        selected: AWS's names of what the answer holds, if ``accept`` has no detail; none for byoe's own answers.
        level: The level of intervals, which answers then have if ``accept`` has no detail.

    Raises:
        RequestError: The header has no type that can be written, or a detail or level that the model does not have; or
            the rows are too many to explain.
    """
    kind, parameters = choose(accept)
    if selected and "detail" not in parameters:
        return _write_selected(selected_rows(prediction, selected), kind), kind
    given = parameters.get("detail", BLENDED if level is None and "level" not in parameters else "interval")
    if given == "interval":
        asked = _level(parameters["level"]) if "level" in parameters else level
        prediction = prediction if asked is None else replace(prediction, level=asked)
    problem = wrong_detail(given, bool(prediction.classes))
    if problem is not None:
        raise RequestError(
            NOT_ACCEPTABLE, "unknown_detail", problem, expected=details_of(bool(prediction.classes)), got=given
        )
    if given == "explanation":
        prediction = replace(prediction, limit=REQUEST)
    return _WRITERS[kind](prediction, cast(Detail, given)), kind


def _level(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RequestError(
            NOT_ACCEPTABLE,
            "unknown_level",
            f"level={text}: the level of an interval is a number above 0 and below 1.",
            got=text,
        ) from None


def choose(accept: str) -> tuple[str, Mapping[str, str]]:
    """Return the content type with the highest weight in an ``Accept`` header that can be written, with its parameters.

    Raises:
        RequestError: The header has no type that can be written.
    """
    offers = []
    for offer in (accept or _ANY_TYPE[0]).split(","):
        kind, parameters = parse_media_type(offer)
        kind = JSON if kind in _ANY_TYPE or not kind else CSV if kind == "text/*" else ALIASES.get(kind, kind)
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        if kind in _WRITERS and weight > 0:
            offers.append((weight, kind, parameters))
    if not offers:
        raise RequestError(
            NOT_ACCEPTABLE,
            "not_acceptable",
            f"Accept {accept!r} has no type that can be written. Use one of: {listed(_WRITERS)}.",
            expected=sorted(_WRITERS),
            got=accept,
        )
    _, kind, parameters = max(offers, key=lambda offer: offer[0])
    return kind, parameters


def csv_header(prediction: Prediction, detail: Detail, before: Iterable[str] = ()) -> bytes:
    """Return the header of the predictions as CSV, with the names of other columns before them."""
    return (",".join(map(csv_cell, [*before, *prediction.table(detail)])) + "\n").encode()


def csv_rows(prediction: Prediction, detail: Detail, before: Iterable[Iterable[str]] = ()) -> bytes:
    """Return the predictions as CSV without a header, with numbers to the last bit and labels in quotes if need be.

    A set of labels is JSON.

    Args:
        prediction: The predictions.
        detail: What to write.
        before: The cells of other columns, which come first, as CSV has them.
    """
    cells: list[Iterable[str]] = [*before]
    for name, values in prediction.table(detail).items():
        if name == SET and isinstance(values, list):
            cells.append(csv_cell(orjson.dumps(labels).decode()) for labels in values)
        elif isinstance(values, list):
            quoted = {label: csv_cell(label) for label in prediction.classes}
            cells.append([quoted[label] for label in values])
        else:
            cells.append(map(repr, values.tolist()))
    lines = cells[0] if len(cells) == 1 else map(",".join, zip(*cells, strict=True))
    return ("\n".join(lines) + "\n").encode()


def csv_cell(text: str) -> str:
    """Return a text as a cell of CSV, in quotes if need be."""
    if not _SPECIAL.isdisjoint(text) or text != text.strip() or not text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _write_csv(prediction: Prediction, detail: Detail) -> bytes:
    header = b"" if detail == "blended" else csv_header(prediction, detail)
    return header + csv_rows(prediction, detail)


def _write_json(prediction: Prediction, detail: Detail) -> bytes:
    document: dict[str, Any]
    if prediction.classes:
        document = {
            "predicted_label": prediction.labels(),
            "probabilities": prediction.blended.tolist(),
            "labels": prediction.classes,
        }
    else:
        document = {"predictions": prediction.blended.tolist()}
    if detail == "interval":
        document |= {name: _plain(values) for name, values in _ends(prediction).items()} | {"level": prediction.level}
    if detail == "members":
        document["members"] = {
            name: prediction.members[:, place].tolist() for place, name in enumerate(prediction.names)
        }
    if detail == "explanation":
        document |= _whole(_parts(prediction))
    return orjson.dumps(document)


def _ends(prediction: Prediction) -> dict[str, Any]:
    """Return the columns that an interval, or a set of classes, adds to predictions."""
    return {name: values for name, values in prediction.table("interval").items() if name != PREDICTION}


def _parts(prediction: Prediction) -> dict[str, Any]:
    """Return what an explanation adds to predictions: values for each row, by name or by columns below a name."""
    found = prediction.explanation
    added = _parts_of(prediction, found)
    if prediction.classes:
        added["explained_label"] = prediction.explained_labels()
    if found.each:
        of_each = (_parts_of(prediction, one) for one in found.each)
        added["explanations"] = dict(zip(prediction.classes, of_each, strict=True))
    return added


def _parts_of(prediction: Prediction, found: Explanation) -> dict[str, Any]:
    added: dict[str, Any] = {BASE: found.base, PART: prediction.by_column(found.parts)}
    if found.errors is not None:
        added[STANDARD_ERROR] = prediction.by_column(found.errors)
    return added


def _whole(found: Any) -> Any:
    """Return values for each row as lists."""
    return {name: _whole(each) for name, each in found.items()} if isinstance(found, dict) else _plain(found)


def _by_row(found: Any) -> Iterable[Any]:
    """Yield the values of one row after the other."""
    if isinstance(found, dict):
        rows = zip(*map(_by_row, found.values()), strict=True)
        return (dict(zip(found, row, strict=True)) for row in rows)
    return _plain(found)


def _plain(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())


def _write_json_lines(prediction: Prediction, detail: Detail) -> bytes:
    lines: list[dict[str, Any]]
    if prediction.classes:
        lines = [
            {"predicted_label": label, "probabilities": row, "labels": prediction.classes}
            for label, row in zip(prediction.labels(), prediction.blended.tolist(), strict=True)
        ]
    else:
        lines = [{"prediction": value} for value in prediction.blended.tolist()]
    if detail == "interval":
        for name, values in _ends(prediction).items():
            for line, value in zip(lines, _plain(values), strict=True):
                line[name] = value
    if detail == "members":
        for line, row in zip(lines, prediction.members.tolist(), strict=True):
            line["members"] = dict(zip(prediction.names, row, strict=True))
    if detail == "explanation":
        for line, parts in zip(lines, _by_row(_parts(prediction)), strict=True):
            line.update(parts)
    return b"\n".join(map(orjson.dumps, lines)) + b"\n"


def array_of(prediction: Prediction, detail: Detail) -> Any:
    """Return the predictions as one array.

    Returns:
        Of ``blended``: numbers, or the labels as text, shape (rows,). Of ``probabilities``: shape (rows, classes). Of
        ``members``: every member's predictions, and last the blend's, shape (rows, members + 1[, classes]). Of
        ``interval``: prediction, lower and upper end, shape (rows, 3); or which classes are in the set, as 0 or 1,
        shape (rows, classes). Of ``explanation``: the base value, the part of each column, and what these add up to,
        shape (rows, columns + 2).
    """
    if detail == "explanation":
        found = prediction.explanation
        return np.column_stack([found.base, found.parts, found.predicted])
    if detail == "interval":
        if prediction.classes:
            return prediction.in_set.astype(np.float64)
        return np.column_stack([prediction.blended, *prediction.bounds])
    if detail == "members":
        return np.concatenate([prediction.members, prediction.blended[:, None]], axis=1)
    if detail == "blended" and prediction.classes:
        return np.array(prediction.classes)[prediction.positions]
    return prediction.blended


def _write_npy(prediction: Prediction, detail: Detail) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array_of(prediction, detail), allow_pickle=False)
    return sink.getvalue()


def _write_selected(rows: Sequence[Mapping[str, Any]], kind: str) -> bytes:
    if kind == JSON:
        return orjson.dumps({"predictions": rows})
    if kind == JSON_LINES:
        return b"\n".join(map(orjson.dumps, rows)) + b"\n"
    if kind == CSV:
        return ("\n".join(",".join(map(_selected_cell, row.values())) for row in rows) + "\n").encode()
    raise RequestError(
        NOT_ACCEPTABLE,
        "not_acceptable",
        f"{OUTPUT} is set, and {kind} cannot hold what it selects. Use one of: {listed((CSV, JSON, JSON_LINES))}; or "
        "add a detail to the type, such as ;detail=blended, for byoe's own answer.",
        expected=sorted((CSV, JSON, JSON_LINES)),
        got=kind,
    )


def _selected_cell(value: Any) -> str:
    """Return a cell of CSV; lists are JSON, which is a Python literal too."""
    if isinstance(value, float):
        return repr(value)
    return csv_cell(value if isinstance(value, str) else orjson.dumps(value).decode())


_WRITERS: dict[str, Callable[[Prediction, Detail], bytes]] = {
    CSV: _write_csv,
    JSON: _write_json,
    JSON_LINES: _write_json_lines,
    NPY: _write_npy,
}
