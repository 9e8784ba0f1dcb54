"""Declared types of hyperparameters: check a value, write it as text, and read it back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ParamValue = int | float | bool | str | None

NONE = "none"
# Stands for any number in a choice, as in "Huber:delta=<number>".
NUMBER = "<number>"
# Libraries read numbers as float32 and as 32-bit integers, so that others overflow, or become 0.
LARGEST_INTEGER = 2**31 - 1
SMALLEST, LARGEST = 1e-30, 1e30


@dataclass(frozen=True)
class Parameter:
    """The declared type and domain of one hyperparameter.

    The declaration decides how text is read, not the look of the text: ``"4"`` is ``4`` for an integer, ``4.0`` for a
    real and ``"4"`` for a string.

    Attributes:
        types: The types that a value may have, in the order in which they are tried when text is read.
        low: Smallest number that is allowed.
        high: Largest number that is allowed.
        low_open: Whether ``low`` itself is excluded.
        high_open: Whether ``high`` itself is excluded.
        choices: The strings that are allowed, in which ``<number>`` stands for any number; empty for any string.
        optional: Whether ``None`` (written ``none``) is allowed.
        note: What the choices have in common, for the description.
    """

    types: tuple[Literal["int", "float", "bool", "str"], ...]
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False
    note: str = ""

    def check(self, value: object) -> ParamValue:
        """Return ``value`` as this parameter's type.

        Raises:
            ValueError: The value is not in the domain; the message describes the domain.
        """
        if self.optional and value in (None, NONE):
            return None
        if isinstance(value, bool):
            if "bool" in self.types:
                return value
        elif isinstance(value, int | float) and not self._fits(value):
            raise ValueError(
                f"{value!r} is not a number that the libraries can read: integers go up to {LARGEST_INTEGER}, and "
                f"other numbers are 0 or from {SMALLEST:g} to {LARGEST:g} in size"
            )
        elif isinstance(value, int | float) and self._in_range(value):
            if isinstance(value, int) and "int" in self.types:
                return value
            if "float" in self.types:
                return float(value)
        elif isinstance(value, str) and "str" in self.types and self._is_choice(value):
            return value
        raise ValueError(f"{value!r} is not {self.describe()}")

    def decode(self, text: str) -> ParamValue:
        """Read a value from its text.

        Raises:
            ValueError: The text is not a value in the domain; the message describes the domain.
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
        """Describe the values that are allowed, as in ``"an integer from 1 to 16 or none"``."""
        nouns = {"int": "an integer", "float": "a number"}
        parts = [nouns[kind] + self._range_text() for kind in self.types if kind in nouns]
        if "bool" in self.types:
            parts.append("true or false")
        if "str" in self.types:
            parts.append("one of " + ", ".join(self.choices) if self.choices else "a string")
        if self.optional:
            parts.append(NONE)
        return " or ".join(parts) + (f" ({self.note})" if self.note else "")

    def _is_choice(self, text: str) -> bool:
        return not self.choices or any(
            re.fullmatch(re.escape(choice).replace(NUMBER, _A_NUMBER), text) for choice in self.choices
        )

    def _fits(self, value: float) -> bool:
        if isinstance(value, int) and "int" in self.types:
            return abs(value) <= max(LARGEST_INTEGER, self.high if math.isfinite(self.high) else 0)
        return value == 0 or SMALLEST <= abs(value) <= LARGEST

    def _in_range(self, value: float) -> bool:
        above = self.low < value if self.low_open else self.low <= value
        return above and (value < self.high if self.high_open else value <= self.high)

    def _range_text(self) -> str:
        if math.isinf(self.high):
            if math.isinf(self.low):
                return ""
            return f" above {self.low:g}" if self.low_open else f" of at least {self.low:g}"
        if math.isinf(self.low):
            return f" below {self.high:g}" if self.high_open else f" of at most {self.high:g}"
        if not (self.low_open or self.high_open):
            return f" from {self.low:g} to {self.high:g}"
        low = f"above {self.low:g}" if self.low_open else f"of at least {self.low:g}"
        return f" {low} and {'below' if self.high_open else 'at most'} {self.high:g}"


_A_NUMBER = r"[-+]?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?"


def _read_int(text: str) -> int:
    return int(text)


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_READERS: dict[str, Callable[[str], ParamValue]] = {"int": _read_int, "float": float, "bool": _read_bool, "str": str}


def encode(value: ParamValue) -> str:
    """Write a value as text, from which its declaration reads back exactly the same value (floats by ``repr``)."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)


def integer(low: float, high: float = math.inf, *, optional: bool = False) -> Parameter:
    """Declare an integer in ``[low, high]``."""
    return Parameter(("int",), low, high, optional=optional)


def real(
    low: float, high: float = math.inf, *, low_open: bool = False, high_open: bool = False, optional: bool = False
) -> Parameter:
    """Declare a number in ``[low, high]``, without ``low`` or ``high`` if they are open."""
    return Parameter(("float",), low, high, low_open=low_open, high_open=high_open, optional=optional)


def boolean() -> Parameter:
    """Declare ``true`` or ``false``."""
    return Parameter(("bool",))


def choice(*choices: str, optional: bool = False, note: str = "") -> Parameter:
    """Declare one of ``choices``, in which ``<number>`` stands for any number; or any string if there are none."""
    return Parameter(("str",), choices=choices, optional=optional, note=note)
