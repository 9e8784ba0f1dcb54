"""Rows that ``action=invoke`` sends: their content type is found from their first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.actions.invoke import request
from experiments.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("rows.csv", b"a,b\n1,2\n", "text/csv"),
        ("rows", b"a,b\n1,2\n", "text/csv"),
        ("rows.csv", b"PAR1...", "application/x-parquet"),
        ("rows.txt", b"\x93NUMPY...", "application/x-npy"),
        ("rows.txt", b' [{"a": 1}]', "application/json"),
        ("rows.json", b'{"a": 1}', "application/json"),
        ("rows.jsonl", b'{"a": 1}\n', "application/jsonlines"),
    ],
)
def test_the_content_type_is_that_of_the_first_bytes(name: str, body: bytes, expected: str, folder: Path) -> None:
    Path(name).write_bytes(body)
    assert request(name, None) == (body, expected)


def test_a_header_is_declared_for_csv_alone(folder: Path) -> None:
    Path("rows.csv").write_bytes(b"1,2\n")
    Path("rows.json").write_bytes(b"[1, 2]")
    assert request("rows.csv", "absent") == (b"1,2\n", "text/csv; header=absent")
    with pytest.raises(ConfigError, match=r"header=absent: input=rows\.json is not CSV"):
        request("rows.json", "absent")
    with pytest.raises(ConfigError, match="It can be: absent, present"):
        request("rows.csv", "none")


def test_a_file_that_an_endpoint_cannot_read_is_named_with_the_fix(folder: Path) -> None:
    for start, message in ((b"\x1f\x8b", "is compressed with gzip: unpack it"), (b"\xff\xfea\0", "is text in UTF-16")):
        Path("rows.csv").write_bytes(start)
        with pytest.raises(ConfigError, match=f"input=rows.csv {message}"):
            request("rows.csv", None)
