"""The best score so far of each study, by trials, by time and by dollars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ensemble.evaluation import MetricName
from experiments.comparison.charts.plot import Chart, Plot, digits6, enumerated, line, marker, plain, series
from experiments.comparison.measures import Measures, Point
from experiments.reporting.console import dollars, duration

_HEIGHT = 300
# Of all studies together. With more dots the page is slow and shows nothing more.
_MOST_DOTS = 1000
# With fewer than this of a unit, the next smaller unit is easier to read.
_FEWEST = 3.0


@dataclass(frozen=True)
class _Against:
    """The horizontal axis of a history.

    Attributes:
        key: The figure's name.
        title: Its heading.
        axis: The title of the axis.
        points: The history to draw.
        value: The position of a point; None if it has none.
        text: A position as text.
    """

    key: str
    title: str
    axis: str
    points: Callable[[Measures], Sequence[Point]]
    value: Callable[[Point], float | None]
    text: Callable[[float], str]


def history_charts(measures: Sequence[Measures]) -> list[Chart]:
    """Draw the best score so far by trials, time and dollars."""
    longest = max((point.minutes for one in measures for point in one.by_time), default=0.0)
    unit, factor = ("minutes", 1.0) if longest >= _FEWEST else ("seconds", 60.0)
    if longest >= 60 * _FEWEST:
        unit, factor = "hours", 1 / 60

    def time(point: Point) -> float:
        return point.minutes * factor

    against = [
        _Against(
            "trials",
            "Best so far, by trials",
            "trials",
            _by_trial,
            _number,
            lambda x: f"{x:.0f} trial{'s' if x > 1 else ''}",
        ),
        _Against("time", "Best so far, by time", unit, _by_time, time, lambda x: duration(x / factor * 60)),
        _Against("dollars", "Best so far, by dollars", "USD", _by_time, _usd, dollars),
    ]
    charts = [_chart(measures, one) for one in against]
    drawn = sum(bool(chart.plots) for chart in charts)
    return [replace(chart, width="third" if drawn == len(charts) else "half") for chart in charts]


def _by_trial(one: Measures) -> Sequence[Point]:
    return one.by_trial


def _by_time(one: Measures) -> Sequence[Point]:
    return one.by_time


def _number(point: Point) -> float:
    return point.trial + 1


def _usd(point: Point) -> float | None:
    return point.usd


def _chart(measures: Sequence[Measures], against: _Against) -> Chart:
    key = f"history-{against.key}"
    data = [
        trace
        for place, one in enumerate(measures)
        for trace in _traces(place, one, against, _MOST_DOTS // len(measures))
    ]
    free = [one.label for one in measures if one.usd is None]
    if not data:
        return Chart(key, against.title, "No study has a known cost in dollars.")
    ends = _range(measures)
    layout = {
        "xaxis": {"title": {"text": against.axis}, "rangemode": "tozero", "zeroline": False},
        "yaxis": {"title": {"text": _metric_title(measures)}, "range": ends, "zeroline": False},
    }
    sentence = _sentence(measures, against)
    beyond = 0 if ends is None else sum(not ends[0] <= y <= ends[1] for trace in data for y in trace["y"])
    if beyond:
        sentence += f" {beyond} worse trial{'s are' if beyond > 1 else ' is'} outside the figure."
    if against.key == "dollars" and free:
        sentence += f" {enumerated(free)} cost nothing."
    return Chart(key, against.title, sentence, (Plot({"data": data, "layout": layout}, _HEIGHT),))


def _metric_title(measures: Sequence[Measures]) -> str:
    """Return the metric and, of a quantity, what is predicted."""
    first = measures[0]
    has_unit = MetricName.parse(first.metric).score in ("rmse", "mae")
    return plain(f"{first.metric} of {first.study.target}" if has_unit and first.study.target else first.metric)


def _traces(place: int, one: Measures, against: _Against, most: int) -> list[dict[str, Any]]:
    found = [(x, point) for point in against.points(one) if (x := against.value(point)) is not None]
    scored = [(x, point) for x, point in found if point.value is not None]
    if not scored:
        return []
    label = plain(one.label)
    steps = _steps([(x, point.best) for x, point in found if point.best is not None])
    scored = scored[:: -(-len(scored) // most)]  # evenly, if there are too many to draw
    texts = [f"trial {point.trial}: {point.value:.6g}<br>after {against.text(x)}" for x, point in scored]
    dots = {
        "type": "scatter",
        "mode": "markers",
        **series(place, one.label),
        "x": [digits6(x) for x, _ in scored],
        "y": [point.value for _, point in scored],
        "text": texts,
        "cliponaxis": False,
        "marker": marker(place, 6, opacity=0.45),
        "hovertemplate": f"{label}, %{{text}}<extra></extra>",
    }
    best = {
        "type": "scatter",
        "mode": "lines",
        **series(place, one.label),
        "x": [x for x, _ in steps],
        "y": [value for _, value in steps],
        "line": line(place, 2.5, shape="hv"),
        "hoverinfo": "skip",
    }
    return [dots, best]


def _steps(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points at which a line of steps starts, steps and ends."""
    changes = [line[0], *(point for before, point in pairwise(line) if before[1] != point[1])]
    return changes if changes[-1] == line[-1] else [*changes, line[-1]]


def _range(measures: Sequence[Measures]) -> list[float] | None:
    """Return the initial range: the best score to the first scores, so that a bad trial does not flatten the plot."""
    values = [point.value for one in measures for point in one.by_trial if point.value is not None]
    firsts = [next(point.best for point in one.by_trial if point.best is not None) for one in measures if one.best]
    sign = -1.0 if MetricName.parse(measures[0].metric).maximised else 1.0
    best = min(sign * value for value in values)
    worst = max(
        float(np.quantile([sign * value for value in values], 0.8)), *(sign * first for first in firsts if first)
    )
    if worst <= best:
        return None
    pad = 0.06 * (worst - best)
    ends = sorted((sign * (best - pad), sign * (worst + pad)))
    return [float(end) for end in ends]


def _sentence(measures: Sequence[Measures], against: _Against) -> str:
    parts = []
    for one in measures:
        found = [(x, point) for point in against.points(one) if (x := against.value(point)) is not None]
        scored = [(x, point) for x, point in found if point.best is not None]
        if not scored:
            continue
        last = scored[-1][1].best
        reached = next(x for x, point in scored if point.best == last)
        parts.append(f"{one.label} reached its best, {last:.6g}, after {against.text(reached)}")
    return f"{'; '.join(parts)}."
