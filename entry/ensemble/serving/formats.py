"""Rows read from the bodies of requests, in every content type."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from ensemble.errors import listed
from ensemble.file_kinds import START_BYTES, kind_of, not_text
from ensemble.serving.errors import UNSUPPORTED, RequestError, first_line, unfit, unreadable_body
from ensemble.serving.media_types import ALIASES, CSV, JSON, JSON_LINES, NPY, PARQUET, parse_media_type
from ensemble.serving.parquet import read_table
from ensemble.serving.rows import Csv, Matrix, Records, Rows, Values, no_rows

# Whether CSV has a header, by the parameter of the Content-Type; None is decided by its cells.
_HEADERS = {None: None, "present": True, "absent": False}
# ASCII is a part of UTF-8.
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_WRAPPERS = ("instances", "inputs", "dataframe_records")
# NumPy writes headers of about two lines, but would read one of any length.
_LONGEST_NPY_HEADER = 10_000


def decode(body: bytes | bytearray | str, content_type: str) -> Rows:
    """Return the rows of a request.

    Args:
        body: The body; text if the container has already decoded it.
        content_type: The header, such as ``text/csv; header=present``.

    Raises:
        RequestError: The content type is unknown, or the body does not have it.
    """
    kind, parameters = parse_media_type(content_type)
    reader = _READERS.get(ALIASES.get(kind, kind))
    if reader is None:
        raise RequestError(
            UNSUPPORTED,
            "unsupported_content_type",
            f"Content-Type {content_type!r} is not supported. Use one of: {listed(_READERS)}.",
            expected=sorted(_READERS),
            got=content_type,
        )
    charset = parameters.get("charset", "utf-8")
    if charset not in _CHARSETS and not isinstance(body, str):
        raise RequestError(
            UNSUPPORTED,
            "unsupported_charset",
            f"charset={charset} is not supported: send text in UTF-8.",
            expected="utf-8",
            got=charset,
        )
    raw = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
    if not raw.strip():
        raise unfit("the body is empty.", expected="at least one row", got="nothing")
    if reader in (_read_csv, _read_json, _read_json_lines):
        other = not_text(raw[:START_BYTES])
        if other is None and kind_of(raw) != "text":
            other = (
                f"is {'Parquet' if kind_of(raw) == 'parquet' else 'a .npy array'}: send it with its own Content-Type"
            )
        if other is not None:
            raise unreadable_body("text in UTF-8", f"it {other}.")
    return reader(raw, parameters)


def _read_csv(body: bytes, parameters: Mapping[str, str]) -> Rows:
    given = parameters.get("header")
    if given not in _HEADERS:
        raise unfit(
            f"header={given} in the Content-Type: it is present or absent.", expected="present or absent", got=given
        )
    while body.startswith(codecs.BOM_UTF8):
        body = body.removeprefix(codecs.BOM_UTF8)
    return Csv(body.lstrip(b"\r\n"), _HEADERS[given])


def _read_json(body: bytes, parameters: Mapping[str, str]) -> Rows:
    return _rows_of(_parse(body, "JSON"))


def _read_json_lines(body: bytes, parameters: Mapping[str, str]) -> Rows:
    lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
    return _rows_of([_parse(line, f"JSON lines (line {number})") for number, line in lines])


def _parse(body: bytes, kind: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "infinity" in str(
            error
        ):  # a number beyond the range of floats, which Python reads, so that the error can name its column
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(body, parse_constant=_refuse_constant)
        hint = " JSON has no NaN: write null." if b"NaN" in body else ""
        raise unreadable_body(kind, f"{error}.{hint}") from None


def _refuse_constant(name: str) -> Any:
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
    if isinstance(rows, dict):  # columns or one record
        if rows and all(isinstance(values, list) for values in rows.values()):
            return _rows_of_columns(rows)
        return Records([rows])
    if not isinstance(rows, list):
        raise unfit("rows must be in a list.", expected="a list of rows", got=type(rows).__name__)
    if not rows:
        raise no_rows()
    if all(isinstance(row, dict) for row in rows):
        return Records(rows)
    if not any(isinstance(row, list | dict) for row in rows):
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
    except Exception as error:  # NumPy raises many types of exception for a broken header
        raise unreadable_body("a .npy array without objects", f"{first_line(error)}.") from None
    if not isinstance(array, np.ndarray):
        raise unreadable_body("a .npy array", "it is an archive of several.")
    if array.dtype.itemsize == 0:  # a few bytes may declare any number of such values
        raise unfit(
            "the values of the array have a size of zero bytes.", expected="numbers or text", got=str(array.dtype)
        )
    if array.dtype.names is not None and array.ndim == 1:
        return Values(list(array.dtype.names), [_field_values(array[name]) for name in array.dtype.names])
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
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # NaN is a missing value, and numbers that are too large get an error later
        return Matrix(array.astype(np.float64))


def _field_values(array: Any) -> list[Any]:
    """Return the values of a field as if they were read from JSON."""
    if array.ndim != 1 or array.dtype.kind not in "fiubU":
        raise unfit("each field of the array must have one number or text per row.", got=str(array.dtype))
    if array.dtype.kind == "U":
        _check_text(array)
    found: list[Any] = array.tolist()
    return [None if value != value else value for value in found]  # noqa: PLR0124  # NaN


def _check_text(array: Any) -> None:
    """Raise RequestError for code points that are not characters, which NumPy would turn into broken text."""
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
        table.validate(full=True)  # otherwise text that is not UTF-8 would be found too late
        frame = table.to_pandas(use_threads=False, ignore_metadata=True)
    except (ArrowException, OSError, ValueError, KeyError, OverflowError, NotImplementedError) as error:
        raise unreadable_body("Parquet", f"{first_line(error)}.") from None
    return Values.of_frame(frame)


_READERS: dict[str, Callable[[bytes, Mapping[str, str]], Rows]] = {
    CSV: _read_csv,
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    NPY: _read_npy,
    PARQUET: _read_parquet,
}
