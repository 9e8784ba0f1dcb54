"""CSV text: its first row, and which columns it declares as text by quotes or by zeros in front of digits."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

_PIECE_BYTES = 2**22
_PADDED = re.compile(rb'(?:^|[,\r\n])[ ]*"?0[0-9]+"?[ ]*(?=[,\r\n]|$)')
_QUOTE, _COMMA, _NEWLINE, _SPACE = b'",\n '


def first_row(lines: Iterable[str]) -> list[str]:
    """Return the cells of the first row that is not blank, without spaces around them; none if there is no such row.

    A line in which nothing is written is blank, and one with ``""`` is a row with one empty cell.
    """
    written = False

    def read() -> Iterator[str]:
        nonlocal written
        for line in lines:
            text = line if written else line.lstrip("\ufeff")  # which joined files may have twice
            written = written or bool(text.strip())
            yield text

    found = next((row for row in csv.reader(read(), skipinitialspace=True) if written), [])
    return [cell.strip() for cell in found]


def has_nul(path: Path) -> bool:
    """Return whether a file has a NUL byte, which text does not have and at which pandas would cut a cell."""
    with path.open("rb") as file:
        return any(b"\0" in piece for piece in iter(lambda: file.read(_PIECE_BYTES), b""))


def has_padded(paths: Sequence[Path]) -> bool:
    """Return whether a cell may be digits that begin with a zero."""
    return any(_PADDED.search(piece) for path in paths for piece in _pieces(path))


def has_word(paths: Sequence[Path], words: Collection[str]) -> bool:
    """Return whether a cell may be one of these words."""
    any_word = b"|".join(re.escape(word.encode()) for word in sorted(words, key=len, reverse=True))
    cell = re.compile(rb'(?:^|[,\n])[ ]*"?(?:' + any_word + rb')"?[ ]*(?=[,\n]|$)')
    return any(cell.search(piece) for path in paths for piece in _pieces(path))


def quoted_columns(paths: Sequence[Path], width: int) -> set[int]:
    """Return the columns whose cells are all in quotes without need, in a file that does not quote everything.

    Args:
        paths: The files, with a header each.
        width: The number of columns.

    Returns:
        Their positions; none for a file with quotes inside of cells, or with rows of another length.
    """
    if not any(b'"' in piece for path in paths for piece in _pieces(path)):
        return set()
    bare, quoted, needless = (np.zeros(width, dtype=bool) for _ in range(3))
    for path in paths:
        header = True
        for piece in _pieces(path):
            found = _quotes(piece, width, header)
            if found is None:
                return set()
            header = False
            bare |= found[0]
            quoted |= found[1]
            needless |= found[2]
    return set(np.flatnonzero(quoted & needless & ~bare).tolist()) if bare.any() else set()


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield whole lines of a file, with LF at their ends; a line break in quotes is not the end of one."""
    with path.open("rb") as file:
        left = b""
        while True:
            read = file.read(_PIECE_BYTES)
            text = left + read
            if not text:
                return
            if read and text.endswith(b"\r"):
                left = text
                continue
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            end = len(text) if not read else _last_line_end(text)
            if text[:end].strip():
                yield text[:end]
            left = text[end:]
            if not read:
                return


def _last_line_end(text: bytes) -> int:
    end = len(text)
    while (end := text.rfind(b"\n", 0, end)) >= 0:
        if text.count(b'"', 0, end) % 2 == 0:
            return end + 1
    return 0


def _quotes(piece: bytes, width: int, header: bool) -> tuple[npt.NDArray[np.bool_], ...] | None:
    """Return for each column whether it has bare cells, quoted ones, and ones that are quoted without need."""
    text = np.frombuffer(b"\n" + piece + b"\n" * (not piece.endswith(b"\n")), dtype=np.uint8)
    marks = text == _QUOTE
    inside = np.bitwise_xor.accumulate(marks.view(np.uint8)).astype(bool)
    breaks = (text == _COMMA) | (text == _NEWLINE)
    ends = np.flatnonzero(breaks & ~inside)
    lines = text[ends] == _NEWLINE
    # A blank line is not a row; the text begins with a line end, so that every cell follows one of ``ends``.
    blank = lines[1:] & lines[:-1] & (np.diff(ends) == 1)
    starts, stops, last = ends[:-1][~blank] + 1, ends[1:][~blank], lines[1:][~blank]
    if len(starts) % width or not (last.reshape(-1, width) == (np.arange(width) == width - 1)).all():
        return None
    for _ in range(2):  # spaces before a cell are left out
        starts = starts + ((text[starts] == _SPACE) & (starts < stops))
    openings = np.flatnonzero(marks & inside)
    if not (breaks[openings - 1] | (text[openings - 1] == _SPACE) | marks[openings - 1]).all():
        return None  # a quote within a cell
    needed = np.concatenate([[0], np.cumsum(breaks & inside, dtype=np.int32)])
    is_quoted = (text[starts] == _QUOTE) & (stops - starts > 2)
    is_bare = (text[starts] != _QUOTE) & (stops > starts)
    is_needless = is_quoted & (needed[stops] == needed[starts])
    rows = slice(1 if header else 0, None)
    return tuple(found.reshape(-1, width)[rows].any(axis=0) for found in (is_bare, is_quoted, is_needless))
