"""Keywords of a call as the arguments of a command, so that both are composed and checked in one way."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ensemble.arguments import as_value, quoted
from ensemble.column_types import canonical_text
from experiments.config.arguments import quoted_for_hydra
from experiments.config.text import CLASS_WEIGHT, owner, text_keys
from experiments.errors import ConfigError, brief

# Text that Hydra reads as text without quotes.
_PLAIN = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_NOT_TEXT = frozenset(["null", "true", "false", "nan", "inf"])
# Keys whose values are mappings, rather than further keys.
_WHOLE = ("ensemble.members", CLASS_WEIGHT)
# What Hydra would not read as a part of a name in a mapping.
_SPECIAL = re.compile(r"([\\()\[\]{}:=,\s])")
_RANGES = "search.space."
_OF_A_RANGE = frozenset(["low", "high", "choices"])


def arguments_of(keywords: Mapping[str, Any]) -> list[str]:
    """Return the ``key=value`` arguments that mean the same as keywords.

    Args:
        keywords: Values by key. A dictionary holds the values of the keys below: ``search={"n_trials": 9}`` is
            ``search.n_trials=9``.

    Raises:
        ConfigError: A key is given twice, or a value cannot be written as an argument.
    """
    given: dict[str, str] = {}
    for key, value in _leaves(keywords):
        if key in given:
            raise ConfigError(f"{key} is given twice.")
        given[key] = f"{key}={_text(key, value)}"
    return list(given.values())


def _leaves(keywords: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in keywords.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{prefix or 'the call'} has the key {name!r}, which is not a name.")
        # A column's name may have any character; all other names are words.
        key = prefix + (name if re.fullmatch(r"[\w.]+", name) else quoted(name))
        is_range = key.startswith(_RANGES) and isinstance(value, Mapping) and not _OF_A_RANGE.isdisjoint(value)
        if isinstance(value, Mapping) and value and key not in _WHOLE and not is_range:
            yield from _leaves(value, f"{key}.")
        elif isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{key}={brief(value)}: a null character is not possible in a value. Leave it out.")
        else:
            yield key, value


def _text(key: str, value: Any) -> str:
    if key == CLASS_WEIGHT and isinstance(value, Mapping):
        entries = (f"{quoted(canonical_text(_plain(label)))}: {_for_hydra(key, one)}" for label, one in value.items())
        return f"{{{', '.join(entries)}}}"
    if owner(key, text_keys()) is None:
        return _for_hydra(key, value)
    if value is None:
        return "null"
    kind = text_keys().get(key)
    if isinstance(value, list | tuple) and kind == "list":
        return as_value([_as_text(key, item) for item in value])
    return "{}" if isinstance(value, Mapping) and kind == "mapping" else as_value(_as_text(key, value))


def _as_text(key: str, value: Any) -> str:
    value = _plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise _not_a_value(key, value, "text")
    return str(value)


def _for_hydra(key: str, value: Any) -> str:
    value = _plain(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT else quoted_for_hydra(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_for_hydra(key, item) for item in value)}]"
    if isinstance(value, Mapping):
        entries = [f"{_name(name)}:{_for_hydra(key, item)}" for name, item in value.items()]
        return f"{{{','.join(entries)}}}"
    raise _not_a_value(key, value, "a number, text, True, False, None, a list or a dictionary")


def _name(name: object) -> str:
    return _SPECIAL.sub(r"\\\1", str(_plain(name)))


def _plain(value: Any) -> Any:
    """Return what has a path as its text, and a number of NumPy as one of Python."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _not_a_value(key: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"{key}={brief(value)}: a {type(value).__name__} cannot be a value. Give {expected}.")
