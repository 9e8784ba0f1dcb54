"""Keys whose values are text: what is typed for them is kept as it is, and never read as a number, list or variable."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Literal

from ensemble.arguments import as_argument, unquoted
from experiments.config.schema import known_hints
from experiments.errors import ConfigError

Kind = Literal["text", "list", "mapping"]
_KINDS: dict[str, Kind] = {
    "str": "text",
    "list[str]": "list",
    "dict[str, str]": "mapping",
    "dict[str, str | None]": "mapping",
}
# Its value is a word, or numbers by the labels of classes, which are text.
CLASS_WEIGHT = "ensemble.class_weight"
_OPENING, _CLOSING = "[{(", "]})"


def text_keys() -> dict[str, Kind]:
    """Return by dotted key of the schema how a value that consists of text is written: as such, in a list, by name."""
    return {
        key: _KINDS[plain] for key, hint in known_hints().items() if (plain := hint.removesuffix(" | None")) in _KINDS
    }


def kept_keys() -> dict[str, Kind]:
    """Return the keys for which what is typed is kept: those of text, and the weights of classes by label."""
    return {**text_keys(), CLASS_WEIGHT: "mapping"}


def owner(key: str, keys: Mapping[str, str]) -> str | None:
    """Return the text key that ``key`` is, or for a mapping is below; None if there is none."""
    if key in keys:
        return key
    return next((name for name, kind in keys.items() if kind == "mapping" and key.startswith(f"{name}.")), None)


def split_argument(argument: str) -> tuple[str, str]:
    """Return the key and the text of a ``key=value`` argument; the last part of the key may be in quotes."""
    found = re.match(r"""[+~]*([\w.]+\.)((["'])(?:\\.|(?!\3)[^\\])*\3)=(.*)""", argument, re.DOTALL)
    if found:
        return found[1] + unquoted(found[2]), found[4]
    key, _, text = argument.lstrip("+~").partition("=")
    return key, text


def read_text(text: str) -> str | None:
    """Return a value as it was typed, without the quotes around all of it; None for ``null``."""
    return None if text == "null" else unquoted(text)


def read_list(key: str, text: str) -> list[str] | None:
    """Return the items of a typed list, each as it was typed; None for ``null``.

    Raises:
        ConfigError: It is not a list.
    """
    if text == "null":
        return None
    inside = _inside(text, "[]")
    if inside is None:
        raise ConfigError(f"{key}={text} is not a list. Use {as_argument(key, [text])}; close every bracket and quote.")
    return [unquoted(item) for item in _split(inside, ",")]


def read_mapping(key: str, text: str) -> dict[str, str | None]:
    """Return the entries of a typed mapping, names and values as they were typed.

    Raises:
        ConfigError: It is not a mapping.
    """
    inside = _inside(text, "{}")
    entries = [] if inside is None else [_split(item, ":", most=1) for item in _split(inside, ",")]
    if inside is None or any(len(entry) != 2 for entry in entries):
        raise ConfigError(f"{key}={text} is not a mapping. Use '{key}={{name: value}}'; close every brace and quote.")
    return {unquoted(name): read_text(value) for name, value in entries}


def read_number(text: str | None) -> float | str | None:
    """Return a typed number; what is not a number as it was typed."""
    for kind in (int, float):
        with contextlib.suppress(TypeError, ValueError):
            return kind(text)  # type: ignore[arg-type]  # None is a TypeError
    return text


def escaped(text: str) -> str:
    """Return a text that OmegaConf reads as ``text``, without a variable in it."""
    # Backslashes count only before "${".
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def _inside(text: str, brackets: str) -> str | None:
    text = text.strip()
    closed = len(text) >= 2 and text[0] == brackets[0] and text[-1] == brackets[1]
    return text[1:-1] if closed else None


def _split(text: str, separator: str, most: int | None = None) -> list[str]:
    """Split at a separator outside quotes and brackets; spaces around items and empty items are left out."""
    items: list[str] = []
    item, quote, depth = "", "", 0
    escape = False
    for character in text:
        if quote:
            escape, closes = character == "\\" and not escape, character == quote and not escape
            quote = "" if closes else quote
        elif character in "\"'" and not item.strip():
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        elif character == separator and not depth and (most is None or len(items) < most):
            items.append(item.strip())
            item = ""
            continue
        item += character
    items.append(item.strip())
    return [item for item in items if item]
