"""Addresses without what opens them: users, passwords, tokens and the values of queries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

MASK = "***"
# Kinds of address that name no user, and whose paths may have an "@".
_WITHOUT_USER = ("s3", "file", "sqlite", "models", "runs", "dbfs")
_ADDRESS = re.compile(r"""([A-Za-z][A-Za-z0-9+.-]*)://([^\s'"<>`]*)""")
_WHOLE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_QUERY = re.compile(r"([?&;][^=&;#]*=)[^&;#]+")
# Shorter parts of an address are not looked for in other text.
_SHORTEST = 3


def masked(text: str) -> str:
    """Return a text in which every address is without user, password, token and the values of its query.

    A password may have any character, so that everything before the last ``@`` of an address is masked.
    """
    return _ADDRESS.sub(lambda found: _masked(found[1], found[2]), text)


def masked_value(value: str) -> str:
    """Return a value as ``masked`` does; an address that is the whole value may have spaces and quotes in it."""
    found = _WHOLE.fullmatch(value)
    return _masked(found[1], found[2]) if found else masked(value)


def masked_argument(argument: str) -> str:
    """Return a ``key=value`` argument with a masked value."""
    key, joined, value = argument.partition("=")
    return masked(key) + joined + masked_value(value)


def masked_values(value: Any) -> Any:
    """Return a value of a configuration, or a mapping or list of them, with every address masked."""
    if isinstance(value, Mapping):
        return {key: masked_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_values(item) for item in value]
    return masked_value(value) if isinstance(value, str) else value


def without_parts(text: str, address: str) -> str:
    """Return a library's text about an address, in which neither the address nor a secret part of it occurs."""
    found = _WHOLE.fullmatch(address)
    text = masked(text.replace(address, masked_value(address)))
    if found is None or _is_without_user(found[1], found[2]):
        return text
    user, at, rest = found[2].rpartition("@")
    parts = re.split(r"[:/@]", user) if at else []
    parts += [user, user.partition(":")[2], *(value for _, value in re.findall(r"[?&;#]([^=&;#]*)=([^&;#]+)", rest))]
    for part in sorted({*parts, *map(unquote, parts)}, key=len, reverse=True):
        if len(part) >= _SHORTEST:
            text = text.replace(part, MASK)
    return text


def _is_without_user(scheme: str, rest: str) -> bool:
    # The name of a bucket or host has neither character.
    host = rest.partition("/")[0]
    return scheme.lower() in _WITHOUT_USER and not (scheme.lower() == "s3" and (":" in host or "@" in host))


def _masked(scheme: str, rest: str) -> str:
    if not _is_without_user(scheme, rest):
        _, at, after = rest.rpartition("@")
        rest = _QUERY.sub(rf"\1{MASK}", f"{MASK}@{after}" if at else after)
        rest = re.sub(r"#.+", f"#{MASK}", rest, flags=re.DOTALL)
    return f"{scheme}://{rest}"
