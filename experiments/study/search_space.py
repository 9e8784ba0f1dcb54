"""The search space: named ranges, as Optuna's distributions and as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ensemble.parameters import Parameter, ParamValue, encode
from experiments.errors import ConfigError, listed

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether the logarithm is searched evenly.
        whole: Whether values are integers.
        first: The value of the first trial; None to let the sampler choose it.
    """

    low: float
    high: float
    log: bool
    whole: bool
    first: ParamValue = None

    def describe(self) -> str:
        """Return what is searched, in one line."""
        kind, scale = "int" if self.whole else "float", " log" if self.log else ""
        return f"{kind} [{self.low:g}, {self.high:g}]{scale}{_first(self)}"

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choices:
    """A list of values.

    Attributes:
        values: The values.
        first: The value of the first trial; None to let the sampler choose it.
    """

    values: tuple[ParamValue, ...]
    first: ParamValue = None

    def describe(self) -> str:
        """Return what is searched, in one line."""
        return "{" + ", ".join(encode(value) for value in self.values) + "}" + _first(self)

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


Dimension = Range | Choices


def _dimension(data: Mapping[str, Any]) -> Dimension:
    return Choices(tuple(data["values"]), data["first"]) if "values" in data else Range(**data)


def _first(dimension: Dimension) -> str:
    return "" if dimension.first is None else f", first {encode(dimension.first)}"


@dataclass(frozen=True)
class SearchSpace:
    """What is searched.

    Attributes:
        dimensions: By the parameter's name on the wire.
    """

    dimensions: Mapping[str, Dimension]

    def describe(self) -> dict[str, str]:
        """Return one line for each dimension."""
        return {name: dimension.describe() for name, dimension in self.dimensions.items()}

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return {name: asdict(dimension) for name, dimension in self.dimensions.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
        """Read what ``as_dict`` wrote."""
        return cls({name: _dimension(entry) for name, entry in data.items()})

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distribution."""
        return {name: dimension.distribution() for name, dimension in self.dimensions.items()}

    def first(self) -> dict[str, ParamValue]:
        """Return the values that are set for the first trial."""
        return {name: entry.first for name, entry in self.dimensions.items() if entry.first is not None}

    def grid(self) -> Iterator[dict[str, ParamValue]]:
        """Yield every point of a space of choices and integer ranges; the last dimension changes fastest."""
        values = []
        for dimension in self.dimensions.values():
            if isinstance(dimension, Choices):
                values.append(dimension.values)
            else:
                values.append(tuple(range(int(dimension.low), int(dimension.high) + 1)))
        for point in itertools.product(*values):
            yield dict(zip(self.dimensions, point, strict=True))

    def grid_size(self) -> int:
        """Return the number of points of the grid.

        Raises:
            ConfigError: A dimension has no finite list of values.
        """
        size = 1
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, Choices):
                size *= len(dimension.values)
            elif dimension.whole:
                size *= int(dimension.high - dimension.low) + 1
            else:
                raise ConfigError(
                    f"search.sampler=grid: {name} is a range of real numbers: list its values, "
                    f"such as {{choices: [{dimension.low:g}, {dimension.high:g}]}}."
                )
        return size


def read_dimension(value: Any, declared: Parameter, place: str) -> Dimension:
    """Read one entry of ``search.space``.

    Args:
        value: ``{low, high}`` with optional ``log``, or ``{choices}``; either with an optional ``first``.
        declared: The parameter's declared type; ends and choices must be in its domain.
        place: The entry's key, for messages.

    Raises:
        ConfigError: The value is neither, or is outside the domain.
    """
    if isinstance(value, Mapping):
        value = {key: entry for key, entry in value.items() if entry is not None}
    if not isinstance(value, Mapping) or not ({"low", "high"} <= set(value) or "choices" in value):
        raise ConfigError(
            f"{place}={value!r} is not a range: write {{low: 1, high: 10}}, {{low: 0.01, high: 1, log: true}} "
            f"or {{choices: [3, 4]}}."
        )
    allowed = {"choices", "first"} if "choices" in value else {"low", "high", "log", "first"}
    if set(value) - allowed:
        stray = listed(set(value) - allowed)
        raise ConfigError(
            f"{place}: {stray} cannot be combined with {listed(allowed & set(value))}. If ranges of two files are "
            "merged, set the unwanted keys to null."
        )
    first = _check(declared, value["first"], f"{place}.first") if "first" in value else None
    if "choices" in value:
        return _read_choices(value["choices"], first, declared, place)
    low, high = (_check(declared, value[end], f"{place}.{end}") for end in ("low", "high"))
    if isinstance(low, bool) or not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ConfigError(f"{place} is a range, but its values are {declared.describe()}: write {{choices: [...]}}.")
    if low >= high:
        raise ConfigError(f"{place}: low ({low}) is not below high ({high}): swap them, or fix the parameter.")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{place}.log={log!r} is neither true nor false.")
    if log and low <= 0:
        raise ConfigError(f"{place}: a log range starts above 0, not at {low}: raise low or set log to false.")
    if isinstance(first, int | float) and not low <= first <= high:
        raise ConfigError(f"{place}.first={first} is not from {low} to {high}.")
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(low, high, log, whole, first)


def _read_choices(choices: Any, first: ParamValue, declared: Parameter, place: str) -> Choices:
    if not isinstance(choices, list | tuple) or not choices:
        raise ConfigError(f"{place}.choices={choices!r} is not a list of at least one value.")
    values = tuple(_check(declared, choice, f"{place}.choices") for choice in choices)
    if len({encode(value) for value in values}) < len(values):
        raise ConfigError(f"{place}.choices={list(choices)!r} lists a value twice.")
    if first is not None and first not in values:
        raise ConfigError(f"{place}.first={first!r} is not one of the choices.")
    return Choices(values, first)


def _check(declared: Parameter, value: object, place: str) -> ParamValue:
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{place} is not a number.")
    try:
        return declared.check(value)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}.") from None
