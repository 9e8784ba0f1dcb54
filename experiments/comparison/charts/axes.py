"""The axes of parallel coordinates: one value of each trial, scaled to the unit interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.parameters import ParamValue, encode


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: Its name.
        values: The value of each trial, in the order of all trials; None if a trial does not have the parameter.
        places: The positions of the values, from 0 to 1; NaN for None.
        ticks: Texts by position.
        numeric: Whether the values are numbers rather than choices.
    """

    title: str
    values: tuple[ParamValue, ...]
    places: tuple[float, ...]
    ticks: Mapping[float, str]
    numeric: bool


def make_axis(title: str, values: Sequence[ParamValue], *, log: bool) -> Axis:
    """Return the axis of these values.

    Args:
        title: Its name.
        values: One value for each trial, at least one of them not None.
        log: Whether the axis is logarithmic.
    """
    known = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        levels = sorted({encode(value) for value in known})
        where = {level: place / max(1, len(levels) - 1) for place, level in enumerate(levels)}
        places = [math.nan if value is None else where[encode(value)] for value in values]
        ticks = {place: level for level, place in where.items()}
        return Axis(title, tuple(values), tuple(places), ticks, numeric=False)
    numbers = np.array([math.nan if value is None else float(str(value)) for value in values])
    lowest, highest = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if lowest == highest:
        places = [math.nan if math.isnan(number) else 0.5 for number in numbers]
        return Axis(title, tuple(values), tuple(places), {0.5: short(lowest)}, numeric=True)
    log = log and lowest > 0
    scaled = np.log(numbers) if log else numbers
    low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
    middle = math.exp((low + high) / 2) if log else (low + high) / 2
    if all(isinstance(value, int) for value in known):
        middle = math.floor(middle)
    place = ((math.log(middle) if log else middle) - low) / (high - low)
    ticks = {0.0: short(lowest), 1.0: short(highest)} | ({place: short(middle)} if place > 0 else {})
    return Axis(title, tuple(values), tuple(float(x) for x in (scaled - low) / (high - low)), ticks, numeric=True)


def short(value: ParamValue) -> str:
    """Return a value as the text of a tick."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if is_number else encode(value)
