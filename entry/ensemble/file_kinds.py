"""What a file is, by its first bytes and not by its name."""

from __future__ import annotations

import codecs
from typing import Literal

FileKind = Literal["parquet", "npy", "text"]
# As many bytes as ``kind_of`` and ``not_text`` look at.
START_BYTES = 4096
_EXCEL = (
    "is an Excel workbook: save the sheet in Excel as 'CSV UTF-8', or convert it with "
    "pandas.read_excel(...).to_parquet(...), and give that file"
)
_UNPACK = "is compressed with {}: unpack it, and give the unpacked file"
_ENCODED = "is text in {}, and not in UTF-8: save it as a CSV file in UTF-8"
_NOT_TEXT = {
    b"\xd0\xcf\x11\xe0": _EXCEL,
    b"\x1f\x8b": _UNPACK.format("gzip"),
    b"BZh91AY&SY": _UNPACK.format("bzip2"),
    b"\xfd7zXZ\x00": _UNPACK.format("xz"),
    b"(\xb5/\xfd": _UNPACK.format("zstd"),
    b"\x04\x22M\x18": _UNPACK.format("LZ4"),
    b"7z\xbc\xaf\x27\x1c": _UNPACK.format("7-Zip"),
    b"Rar!\x1a\x07": _UNPACK.format("RAR"),
    codecs.BOM_UTF32_LE: _ENCODED.format("UTF-32"),
    codecs.BOM_UTF32_BE: _ENCODED.format("UTF-32"),
    codecs.BOM_UTF16_LE: _ENCODED.format("UTF-16"),
    codecs.BOM_UTF16_BE: _ENCODED.format("UTF-16"),
}
_ZIP = b"PK\x03\x04"


def kind_of(start: bytes) -> FileKind:
    """Return what a file is that begins with these bytes."""
    return "parquet" if start.startswith(b"PAR1") else "npy" if start.startswith(b"\x93NUMPY") else "text"


def not_text(start: bytes) -> str | None:
    """Return what a file is that begins so and is not text in UTF-8, and what to do; None if it may be text."""
    if start.startswith(_ZIP):
        return _zipped(start)
    for mark, reason in _NOT_TEXT.items():
        if start.startswith(mark):
            return reason
    if b"\0" not in start:
        return None
    zeros = (start[::2].count(b"\0"), start[1::2].count(b"\0"))
    if max(zeros) > len(start) / 8 and min(zeros) == 0:
        return _ENCODED.format("UTF-16")
    return "is not text in UTF-8, since it holds a NUL byte: save it as a CSV file in UTF-8"


def _zipped(start: bytes) -> str:
    if b"opendocument" in start:
        return "is a spreadsheet: save the sheet as a CSV file in UTF-8, and give that file"
    # Every other Office file begins with the same entry, and none of them is a table either.
    if b"[Content_Types].xml" in start or b"xl/" in start:
        return _EXCEL
    return _UNPACK.format("zip")
