"""Convert a search space into AMT's parameter ranges, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ensemble.parameters import Parameter, ParamValue, encode
from experiments.study.search_space import Choices, Interval, Range, SearchSpace

_LOG, _LINEAR = "Logarithmic", "Linear"
INTEGER, CONTINUOUS, CATEGORICAL = (
    "IntegerParameterRanges",
    "ContinuousParameterRanges",
    "CategoricalParameterRanges",
)


def parameter_ranges(space: SearchSpace, *, grid: bool) -> dict[str, list[dict[str, Any]]]:
    """Return the ``ParameterRanges`` of a tuning job.

    Args:
        space: The search space; AMT has no field for its first values.
        grid: Whether the search is a grid, for which AMT accepts lists of values only.
    """
    ranges: dict[str, list[dict[str, Any]]] = {}
    for name, range_ in space.ranges.items():
        if isinstance(range_, Choices):
            values = range_.values
        elif grid:
            values = tuple(range(int(range_.low), int(range_.high) + 1))
        else:
            ends = (range_.low, range_.high)
            low, high = (encode(int(end)) if range_.whole else encode(float(end)) for end in ends)
            scale = _LOG if range_.log else _LINEAR
            entry = {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scale}
            ranges.setdefault(INTEGER if range_.whole else CONTINUOUS, []).append(entry)
            continue
        ranges.setdefault(CATEGORICAL, []).append({"Name": name, "Values": [encode(value) for value in values]})
    return ranges


def search_space(ranges: Mapping[str, Any], declared: Callable[[str], Parameter], known: SearchSpace) -> SearchSpace:
    """Return the search space of ``ParameterRanges``.

    Args:
        ranges: The output of ``parameter_ranges``.
        declared: Returns the declaration of a hyperparameter, which decodes its values.
        known: A space with what AMT has no field for: first values, and the order of the hyperparameters.
    """
    first = {name: range_.first for name, range_ in known.ranges.items()}
    found: dict[str, Range] = {}
    for kind in (INTEGER, CONTINUOUS):
        for entry in ranges.get(kind, ()):
            name, whole = entry["Name"], kind == INTEGER
            low, high = (int(entry[end]) if whole else float(entry[end]) for end in ("MinValue", "MaxValue"))
            found[name] = Interval(low, high, entry.get("ScalingType") == _LOG, whole, first.get(name, ()))
    for entry in ranges.get(CATEGORICAL, ()):
        name = entry["Name"]
        values = tuple(declared(name).decode(text) for text in entry["Values"])
        found[name] = Choices(values, first.get(name, ()))
    return SearchSpace({name: found[name] for name in {**known.ranges, **found} if name in found})


def decode_point(space: SearchSpace, tuned: Mapping[str, str]) -> dict[str, ParamValue]:
    """Decode the searched values of a training job.

    Args:
        space: The search space.
        tuned: Encoded values by hyperparameter; those that are not in the space are ignored.

    Raises:
        ValueError: A value is missing, or not one of the space's.
    """
    point: dict[str, ParamValue] = {}
    for name, range_ in space.ranges.items():
        if name not in tuned:
            raise ValueError(f"{name} is missing")
        text = tuned[name]
        if isinstance(range_, Interval):
            point[name] = int(text) if range_.whole else float(text)
            continue
        by_text = {encode(value): value for value in range_.values}
        if text not in by_text:
            raise ValueError(f"{name}={text} is not one of {', '.join(by_text)}")
        point[name] = by_text[text]
    return point
