"""Content types: bodies to rows, predictions to bodies."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from ensemble.errors import listed
from ensemble.members.base import Floats
from ensemble.recipe import BLENDED
from ensemble.serving.errors import NOT_ACCEPTABLE, UNSUPPORTED, RequestError, first_line, unfit, unreadable_body
from ensemble.serving.parquet import read_table
from ensemble.serving.rows import Csv, Matrix, Records, Rows, Values

CSV, JSON, JSON_LINES, NPY, PARQUET = (
    "text/csv",
    "application/json",
    "application/jsonlines",
    "application/x-npy",
    "application/x-parquet",
)
_ALIASES = {
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/parquet": PARQUET,
    "application/vnd.apache.parquet": PARQUET,
}
_WRAPPERS = ("instances", "inputs", "dataframe_records")
_ANY = ("*/*", "application/*")
# numpy writes a header of two lines or so, and would read one of any length.
_LONGEST_NPY_HEADER = 10_000


@dataclass(frozen=True)
class Prediction:
    """What the ensemble predicts for some rows.

    Attributes:
        blended: The blend, shape (rows,).
        members: Each member's own, shape (rows, members).
        names: The members' names.
    """

    blended: Floats
    members: Floats
    names: Sequence[str]


def decode(body: bytes | bytearray | str, content_type: str) -> Rows:
    """Return the rows of a request.

    Args:
        body: As it came; text where a container has decoded it already.
        content_type: Such as ``text/csv; header=present``.

    Raises:
        RequestError: An unknown content type, or a body that is something else.
    """
    kind, parameters = _media(content_type)
    reader = _READERS.get(_ALIASES.get(kind, kind))
    if reader is None:
        raise RequestError(
            UNSUPPORTED,
            "unsupported_content_type",
            f"Content-Type {content_type!r} is not supported. Use one of: {listed(_READERS)}.",
            expected=sorted(_READERS),
            got=content_type,
        )
    raw = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
    if not raw.strip():
        raise unfit("the body is empty.", expected="at least one row", got="nothing")
    return reader(raw, parameters)


def encode(prediction: Prediction, accept: str) -> tuple[bytes, str]:
    """Return the body of an answer and its content type.

    Args:
        prediction: What it says.
        accept: What the sender accepts; ``;detail=members`` after the type asks for every member's prediction.

    Raises:
        RequestError: Nothing that it accepts can be written.
    """
    kind, parameters = choose(accept)
    detail = parameters.get("detail", BLENDED)
    if detail not in (BLENDED, "members"):
        raise RequestError(
            NOT_ACCEPTABLE,
            "unknown_detail",
            f"detail={detail} is not known: use {BLENDED} or members.",
            expected=[BLENDED, "members"],
            got=detail,
        )
    return _WRITERS[kind](prediction, detail == "members"), kind


def choose(accept: str) -> tuple[str, Mapping[str, str]]:
    """Return the content type that an ``Accept`` header likes best and that can be written, with its parameters.

    Raises:
        RequestError: There is none.
    """
    offers = []
    for offer in (accept or _ANY[0]).split(","):
        kind, parameters = _media(offer)
        kind = JSON if kind in _ANY or not kind else CSV if kind == "text/*" else _ALIASES.get(kind, kind)
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


def _media(text: str) -> tuple[str, dict[str, str]]:
    kind, *rest = (text or "").split(";")
    pairs = [part.partition("=") for part in rest]
    return kind.strip().lower(), {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in pairs}


def _read_csv(body: bytes, parameters: Mapping[str, str]) -> Rows:
    header = {"present": True, "absent": False}.get(parameters.get("header", ""))
    return Csv(body.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"), header)


def _read_json(body: bytes, parameters: Mapping[str, str]) -> Rows:
    return _rows_of(_parse(body, "JSON"))


def _read_json_lines(body: bytes, parameters: Mapping[str, str]) -> Rows:
    lines = [line for line in body.splitlines() if line.strip()]
    return _rows_of([_parse(line, f"JSON lines (line {number + 1})") for number, line in enumerate(lines)])


def _parse(body: bytes, kind: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "infinity" in str(error):  # a number beyond any float, which Python reads, so that its column can be named
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(body, parse_constant=_no_constant)
        hint = " JSON has no NaN: write null." if b"NaN" in body else ""
        raise unreadable_body(kind, f"{error}.{hint}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _rows_of(document: Any) -> Rows:
    """Return the rows of a parsed document: lists, records, or pandas' split format, wrapped or not."""
    if isinstance(document, dict):
        wrapped = [name for name in _WRAPPERS if name in document]
        if wrapped:
            return _rows_of_list(document[wrapped[0]])
        split = document.get("dataframe_split", document)
        if isinstance(split, dict) and "data" in split and "columns" in split:
            return _rows_of_split(split["columns"], split["data"])
        return Records([document])
    return _rows_of_list(document)


def _rows_of_list(rows: Any) -> Rows:
    if isinstance(rows, dict):  # columns, or one record
        if rows and all(isinstance(values, list) for values in rows.values()):
            return _rows_of_columns(rows)
        return Records([rows])
    if not isinstance(rows, list):
        raise unfit("rows must be in a list.", expected="a list of rows", got=type(rows).__name__)
    if rows and all(isinstance(row, dict) for row in rows):
        return Records(rows)
    if rows and not any(isinstance(row, list | dict) for row in rows):
        return Values(None, [[value] for value in rows], flat=True)
    return Values(None, _columns_of(rows, None))


def _rows_of_columns(columns: Mapping[str, list[Any]]) -> Rows:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise unfit("the columns differ in length.", expected="one length", got=f"{sorted(lengths)}")
    return Values(list(columns), list(columns.values()))


def _rows_of_split(names: Any, rows: Any) -> Rows:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise unfit("columns must be a list of names.", expected="a list of names", got=type(names).__name__)
    if not isinstance(rows, list):
        raise unfit("data must be a list of rows.", expected="a list of rows", got=type(rows).__name__)
    return Values(names, _columns_of(rows, len(names)))


def _columns_of(rows: Sequence[Any], width: int | None) -> list[list[Any]]:
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise unfit(
                f"data row {number + 1} is not a list.",
                row=number + 1,
                expected="a list of values",
                got=type(row).__name__,
            )
        width = len(row) if width is None else width
        if len(row) != width:
            raise unfit(
                f"data row {number + 1} has {len(row)} values, but {width} are expected.",
                row=number + 1,
                expected=f"{width} values",
                got=f"{len(row)} values",
            )
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width or 0)]


def _read_npy(body: bytes, parameters: Mapping[str, str]) -> Rows:
    try:
        array = np.load(io.BytesIO(body), allow_pickle=False, max_header_size=_LONGEST_NPY_HEADER)
    except Exception as error:  # numpy raises whatever a broken header runs into
        raise unreadable_body("a .npy array without objects", f"{first_line(error)}.") from None
    if not isinstance(array, np.ndarray):
        raise unreadable_body("a .npy array", "it is an archive of several.")
    if array.dtype.itemsize == 0:  # of which a few bytes may declare any number
        raise unfit(
            "the values of the array have a size of zero bytes.", expected="numbers or text", got=str(array.dtype)
        )
    if array.dtype.names is not None and array.ndim == 1:
        return Values(list(array.dtype.names), [_listed(array[name]) for name in array.dtype.names])
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.dtype.kind not in "fiubU":
        raise unfit(
            "a two-dimensional array of numbers or of text is expected.",
            expected="shape (rows, columns)",
            got=f"shape {array.shape} of {array.dtype}",
        )
    if array.dtype.kind == "U":
        _check_text(array)
        return Values(None, [column.tolist() for column in array.T], text=True)
    with np.errstate(over="ignore", invalid="ignore"):  # what is none is a gap, and too large a number has its error
        return Matrix(array.astype(np.float64))


def _listed(array: Any) -> list[Any]:
    """Return a field's values as JSON would have brought them."""
    if array.ndim != 1 or array.dtype.kind not in "fiubU":
        raise unfit("each field of the array must have one number or text per row.", got=str(array.dtype))
    if array.dtype.kind == "U":
        _check_text(array)
    found: list[Any] = array.tolist()
    return [None if value != value else value for value in found]  # noqa: PLR0124  # a number that is none


def _check_text(array: Any) -> None:
    """Raise RequestError for numbers that are no characters, of which numpy would make broken text."""
    codes = np.ascontiguousarray(array).view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any():
        raise unreadable_body("a .npy array of text", "it has code points that are not characters.")


def _read_parquet(body: bytes, parameters: Mapping[str, str]) -> Rows:
    try:
        from pyarrow.lib import ArrowException
    except ImportError:
        raise RequestError(
            UNSUPPORTED, "unsupported_content_type", "Parquet needs pyarrow, which is not installed here."
        ) from None
    try:
        table = read_table(body)
        table.validate(full=True)  # text that is no UTF-8 would be found too late
        frame = table.to_pandas(use_threads=False, ignore_metadata=True)
    except (ArrowException, OSError, ValueError, KeyError, OverflowError, NotImplementedError) as error:
        raise unreadable_body("Parquet", f"{first_line(error)}.") from None
    return Values([str(name) for name in frame.columns], [frame.iloc[:, place] for place in range(frame.shape[1])])


def _write_csv(prediction: Prediction, members: bool) -> bytes:
    if not members:
        return ("\n".join(map(repr, prediction.blended.tolist())) + "\n").encode()
    rows = np.column_stack([prediction.members, prediction.blended]).tolist()
    lines = [",".join([*prediction.names, BLENDED]), *(",".join(map(repr, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def _write_json(prediction: Prediction, members: bool) -> bytes:
    document: dict[str, Any] = {"predictions": prediction.blended.tolist()}
    if members:
        document["members"] = dict(zip(prediction.names, prediction.members.T.tolist(), strict=True))
    return orjson.dumps(document)


def _write_json_lines(prediction: Prediction, members: bool) -> bytes:
    lines: list[dict[str, Any]] = [{"prediction": value} for value in prediction.blended.tolist()]
    if members:
        for line, row in zip(lines, prediction.members.tolist(), strict=True):
            line["members"] = dict(zip(prediction.names, row, strict=True))
    return b"\n".join(map(orjson.dumps, lines)) + b"\n"


def _write_npy(prediction: Prediction, members: bool) -> bytes:
    found = np.column_stack([prediction.members, prediction.blended]) if members else prediction.blended
    sink = io.BytesIO()
    np.save(sink, found, allow_pickle=False)
    return sink.getvalue()


_READERS: dict[str, Callable[[bytes, Mapping[str, str]], Rows]] = {
    CSV: _read_csv,
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    NPY: _read_npy,
    PARQUET: _read_parquet,
}
_WRITERS: dict[str, Callable[[Prediction, bool], bytes]] = {
    CSV: _write_csv,
    JSON: _write_json,
    JSON_LINES: _write_json_lines,
    NPY: _write_npy,
}
