"""The search space: named ranges, as Optuna's distributions and as text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ensemble.parameters import ParamValue, encode
from ensemble.wire import SEPARATOR
from experiments.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends, both included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether the logarithm is searched evenly.
        whole: Whether values are integers.
        first: The values of the first trials; the sampler chooses the others.
    """

    low: float
    high: float
    log: bool
    whole: bool
    first: tuple[ParamValue, ...] = ()

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
        first: The values of the first trials; the sampler chooses the others.
    """

    values: tuple[ParamValue, ...]
    first: tuple[ParamValue, ...] = ()

    def describe(self) -> str:
        """Return what is searched, in one line."""
        return "{" + ", ".join(encode(value) for value in self.values) + "}" + _first(self)

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


Range = Interval | Choices


def _range(data: Mapping[str, Any]) -> Range:
    first = first_values(data["first"])
    return Choices(tuple(data["values"]), first) if "values" in data else Interval(**{**data, "first": first})


def first_values(recorded: Any) -> tuple[ParamValue, ...]:
    """Return a range's first values from a record; earlier ones have one value, or None."""
    return tuple(recorded) if isinstance(recorded, list) else () if recorded is None else (recorded,)


def _first(range_: Range) -> str:
    return ", first " + ", ".join(encode(value) for value in range_.first) if range_.first else ""


@dataclass(frozen=True)
class SearchSpace:
    """What is searched.

    Attributes:
        ranges: By the parameter's name on the wire.
    """

    ranges: Mapping[str, Range]

    def describe(self) -> dict[str, str]:
        """Return one line for each range."""
        return {name: range_.describe() for name, range_ in self.ranges.items()}

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return {name: asdict(range_) for name, range_ in self.ranges.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
        """Read what ``as_dict`` wrote."""
        return cls({name: _range(entry) for name, entry in data.items()})

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distributions by parameter."""
        return {name: range_.distribution() for name, range_ in self.ranges.items()}

    def first(self, index: int = 0) -> dict[str, ParamValue]:
        """Return the values that are set for trial ``index``.

        A member has as many first points as the longest list of its ranges. A shorter list repeats its last value.
        """
        points: dict[str, int] = {}
        for name, range_ in self.ranges.items():
            owner = name.partition(SEPARATOR)[0]
            points[owner] = max(points.get(owner, 0), len(range_.first))
        return {
            name: range_.first[min(index, len(range_.first) - 1)]
            for name, range_ in self.ranges.items()
            if range_.first and index < points[name.partition(SEPARATOR)[0]]
        }

    def grid(self) -> Iterator[dict[str, ParamValue]]:
        """Yield every point of a space of choices and integer ranges; the last range changes fastest."""
        values = []
        for range_ in self.ranges.values():
            if isinstance(range_, Choices):
                values.append(range_.values)
            else:
                values.append(tuple(range(int(range_.low), int(range_.high) + 1)))
        for point in itertools.product(*values):
            yield dict(zip(self.ranges, point, strict=True))

    def grid_size(self) -> int:
        """Return the number of points of the grid.

        Raises:
            ConfigError: A range has no finite list of values.
        """
        size = 1
        for name, range_ in self.ranges.items():
            if isinstance(range_, Choices):
                size *= len(range_.values)
            elif range_.whole:
                size *= int(range_.high - range_.low) + 1
            else:
                raise ConfigError(
                    f"search.sampler=grid: {name} is a range of real numbers: list its values, "
                    f"such as {{choices: [{range_.low:g}, {range_.high:g}]}}."
                )
        return size
