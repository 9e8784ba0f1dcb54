"""The tuned hyperparameters of a tuning job: scripted by a test, or drawn from the ranges."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

Point = Mapping[str, str]


class WrongPoints(Exception):
    """The script has too few points for a tuning job, or points that are not in its ranges."""


def number_of_jobs(config: Mapping[str, Any]) -> int:
    """Return the number of training jobs of a tuning job."""
    if config["Strategy"] == "Grid":
        return math.prod(len(entry["Values"]) for entry in config["ParameterRanges"]["CategoricalParameterRanges"])
    return int(config["ResourceLimits"]["MaxNumberOfTrainingJobs"])


def scripted(config: Mapping[str, Any], points: Sequence[Point], taken: int) -> list[Point]:
    """Return the next points of a script.

    Args:
        config: The tuning job's ``HyperParameterTuningJobConfig``.
        points: The script.
        taken: How many of them earlier tuning jobs have taken.

    Raises:
        WrongPoints: There are not enough, or one is not in the ranges.
    """
    count = number_of_jobs(config)
    left = points[taken : taken + count]
    if len(left) < count:
        raise WrongPoints(
            f"the double was given {len(points)} points, of which {taken} are taken, and this tuning job is for "
            f"{count} training jobs: give Double(points=...) more"
        )
    for point in left:
        _check(config.get("ParameterRanges", {}), point)
    return list(left)


def drawn(config: Mapping[str, Any], seed: int, taken: int) -> list[Point]:
    """Return points that depend only on the ranges, the seed and their number; those of a grid in its order.

    Args:
        config: The tuning job's ``HyperParameterTuningJobConfig``.
        seed: The seed.
        taken: How many points were drawn before.
    """
    ranges = config.get("ParameterRanges", {})
    if config["Strategy"] == "Grid":
        entries = ranges["CategoricalParameterRanges"]
        rows = itertools.product(*(entry["Values"] for entry in entries))
        return [dict(zip((entry["Name"] for entry in entries), row, strict=True)) for row in rows]
    count = number_of_jobs(config)
    return [_draw(ranges, random.Random(f"{seed}-{index}")) for index in range(taken, taken + count)]


def _draw(ranges: Mapping[str, Any], source: random.Random) -> Point:
    point = {}
    for entry in ranges.get("ContinuousParameterRanges", ()):
        point[entry["Name"]] = repr(_between(entry, source.random()))
    for entry in ranges.get("IntegerParameterRanges", ()):
        low, high = int(entry["MinValue"]), int(entry["MaxValue"])
        point[entry["Name"]] = str(min(high, max(low, round(_between(entry, source.random())))))
    for entry in ranges.get("CategoricalParameterRanges", ()):
        point[entry["Name"]] = source.choice(entry["Values"])
    return point


def _between(entry: Mapping[str, Any], part: float) -> float:
    low, high = float(entry["MinValue"]), float(entry["MaxValue"])
    scale = entry.get("ScalingType", "Auto")
    if scale == "Logarithmic":
        value = low * math.exp(math.log(high / low) * part)
    elif scale == "ReverseLogarithmic":
        value = 1 - (1 - low) * math.exp(math.log((1 - high) / (1 - low)) * part)
    else:
        value = low + (high - low) * part
    return min(high, max(low, value))


def _check(ranges: Mapping[str, Any], point: Point) -> None:
    names = sorted(entry["Name"] for kind in ranges.values() for entry in kind)
    if sorted(point) != names:
        raise WrongPoints(f"the double was given a point with {sorted(point)}, and the ranges are of {names}")
    for kind, entries in ranges.items():
        for entry in entries:
            text = point[entry["Name"]]
            if kind == "CategoricalParameterRanges":
                inside = text in entry["Values"]
            else:
                inside = float(entry["MinValue"]) <= float(text) <= float(entry["MaxValue"])
            if not inside:
                raise WrongPoints(f"the double was given {entry['Name']}={text!r}, which is not in its range {entry}")
