"""Declared types of hyperparameters: how a value is checked, written as text and read back."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ParamValue = int | float | bool | str | None

NONE = "none"


@dataclass(frozen=True)
class Parameter:
    """The declared type and domain of one hyperparameter.

    Text is read back by this declaration, never by guessing from its looks: ``"4"`` is ``4`` for an integer,
    ``4.0`` for a real and ``"4"`` for a string.

    Attributes:
        types: The types a value may have, tried in this order when text is read.
        low: Smallest number allowed.
        high: Largest number allowed.
        low_open: Whether ``low`` itself is excluded.
        choices: The strings allowed; empty for any string.
        optional: Whether ``None`` is a value (written ``none``).
    """

    types: tuple[Literal["int", "float", "bool", "str"], ...]
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False

    def check(self, value: object) -> ParamValue:
        """Return ``value`` as this parameter's type.

        Raises:
            ValueError: The value is not in the domain; the message says what is.
        """
        if self.optional and value in (None, NONE):
            return None
        if isinstance(value, bool):
            if "bool" in self.types:
                return value
        elif isinstance(value, int | float) and self._in_range(value):
            if isinstance(value, int) and "int" in self.types:
                return value
            if "float" in self.types:
                return float(value)
        elif isinstance(value, str) and "str" in self.types and (not self.choices or value in self.choices):
            return value
        raise ValueError(f"{value!r} is not {self.describe()}")

    def decode(self, text: str) -> ParamValue:
        """Read a value from its text.

        Raises:
            ValueError: The text is no value of this parameter; the message says what would be.
        """
        if self.optional and text == NONE:
            return None
        for kind in self.types:
            try:
                return self.check(_READERS[kind](text))
            except ValueError:
                continue
        raise ValueError(f"{text!r} is not {self.describe()}")

    def describe(self) -> str:
        """Say in words what values are allowed."""
        nouns = {"int": "an integer", "float": "a number"}
        words = [nouns[kind] + self._range_words() for kind in self.types if kind in nouns]
        if "bool" in self.types:
            words.append("true or false")
        if "str" in self.types:
            words.append("one of " + ", ".join(self.choices) if self.choices else "a string")
        if self.optional:
            words.append(NONE)
        return " or ".join(words)

    def _in_range(self, value: float) -> bool:
        if not abs(value) <= sys.float_info.max:
            return False
        return (self.low < value if self.low_open else self.low <= value) and value <= self.high

    def _range_words(self) -> str:
        if math.isinf(self.high):
            if math.isinf(self.low):
                return ""
            return f" above {self.low:g}" if self.low_open else f" of at least {self.low:g}"
        if math.isinf(self.low):
            return f" of at most {self.high:g}"
        return (
            f" above {self.low:g} and at most {self.high:g}"
            if self.low_open
            else f" from {self.low:g} to {self.high:g}"
        )


def _read_int(text: str) -> int:
    return int(text)


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_READERS: dict[str, Callable[[str], ParamValue]] = {"int": _read_int, "float": float, "bool": _read_bool, "str": str}


def encode(value: ParamValue) -> str:
    """Write a value as text that its declaration reads back exactly (floats by ``repr``)."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)


def integer(low: float, high: float = math.inf, *, optional: bool = False) -> Parameter:
    """An integer in ``[low, high]``."""
    return Parameter(("int",), low, high, optional=optional)


def real(low: float, high: float = math.inf, *, low_open: bool = False, optional: bool = False) -> Parameter:
    """A finite number in ``[low, high]``, or ``(low, high]``."""
    return Parameter(("float",), low, high, low_open=low_open, optional=optional)


def boolean() -> Parameter:
    """``true`` or ``false``."""
    return Parameter(("bool",))


def choice(*choices: str, optional: bool = False) -> Parameter:
    """One of the strings named, or any string when none is."""
    return Parameter(("str",), choices=choices, optional=optional)
