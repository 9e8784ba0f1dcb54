"""Damage to documents and files, as examples for Hypothesis."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

# What a place in a JSON document may be replaced with.
_NUMBERS = [0, -1, 1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), -float("inf")]
_TEXTS = ["", "x", "\0", "\ud800", "/", "..", "../x", "a/../../b", "code/", ".", "os:system", "nowhere:No", "x" * 5_000]
_GROUPS = [[], {}, [[]], [None], [1, "a"], {"": None}, {"a": {"b": []}}]
ODD = [None, True, False, *_NUMBERS, *_TEXTS, *_GROUPS]


def deep() -> list[Any]:
    """Return a document that is too deep for most readers, but not for those that write it."""
    found: list[Any] = []
    for _ in range(400):
        found = [found]
    return found


@st.composite
def damaged_json(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy of a JSON document in which some places were replaced, removed, added or doubled."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = [((), None), *_places(found)]
        path, _ = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "replace", "remove", "add", "double"]))
        value = deep() if draw(st.integers(0, 30)) == 0 else copy.deepcopy(draw(st.sampled_from(ODD)))
        if not path:
            if draw(st.integers(0, 20)) == 0:
                return value
            continue
        parent = found
        for step in path[:-1]:
            parent = parent[step]
        last = path[-1]
        if change == "replace":
            parent[last] = value
        elif change == "remove":
            del parent[last]
        elif isinstance(parent, list):
            parent.insert(last, copy.deepcopy(parent[last]) if change == "double" else value)
        else:
            parent["more" if change == "add" else f"{last} "] = value
    return found


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Return a copy of a file's content in which bytes were changed, removed, inserted or doubled, or the end is cut."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(0, len(found) - 1)))
        length = draw(st.sampled_from([1, 1, 1, 2, 4, 8, 64, 1000]))
        change = draw(st.sampled_from(["flip", "set", "zero", "ones", "remove", "insert", "double", "cut"]))
        part = found[place : place + length]
        if change == "flip":
            if part:
                found[place] ^= 1 << draw(st.integers(0, 7))
        elif change == "set":
            found[place : place + len(part)] = draw(st.binary(min_size=len(part), max_size=len(part)))
        elif change in ("zero", "ones"):
            found[place : place + len(part)] = (b"\0" if change == "zero" else b"\xff") * len(part)
        elif change == "remove":
            del found[place : place + length]
        elif change == "insert":
            found[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif change == "double":
            found[place:place] = part
        elif draw(st.integers(0, 3)) == 0:
            del found[place:]
    return bytes(found)


def _places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    found: list[tuple[tuple[Any, ...], Any]] = []
    if isinstance(document, dict):
        entries = list(document.items())
    elif isinstance(document, list) and len(path) < 12:
        entries = list(enumerate(document))
    else:
        return found
    for key, value in entries:
        found.append(((*path, key), value))
        found += _places(value, (*path, key))
    return found
