"""The user's own classes, by ``module:Class``."""

from __future__ import annotations

import importlib
from typing import TypeVar

from ensemble.errors import InputError

Base = TypeVar("Base")


def own_class(kind: str, base: type[Base], place: str) -> type[Base]:
    """Import the class that ``kind`` names.

    Args:
        kind: ``module:Class``.
        base: The class from which it must inherit.
        place: The key or parameter that holds ``kind``, for messages.

    Raises:
        InputError: It cannot be imported, does not inherit from ``base``, or does not define all abstract methods.
    """
    module_name, _, class_name = kind.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the module is the user's, and may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{place}: {kind!r} cannot be imported ({reason}). The folder that contains it has to be in "
            "entry.dependencies."
        ) from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{place}: {kind!r} is not a subclass of {base.__module__}.{base.__qualname__}.")
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise InputError(
            f"{place}: {kind!r} does not define {', '.join(missing)}, which every {base.__name__.lower()} needs."
        )
    return found
