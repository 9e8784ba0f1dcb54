"""Every trial of every study as a line through its parameters and its score.

plotly.js has parallel coordinates of its own, which need WebGL and tell studies apart by colour alone; these are lines.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.evaluation import MetricName
from ensemble.wire import SEPARATOR
from experiments.comparison.charts.axes import Axis, make_axis, short
from experiments.comparison.charts.plot import INK, SOFT, Chart, Plot, Spec, line, marker, plain, series
from experiments.comparison.measures import Measures
from experiments.study.search_space import Range
from experiments.study.spec import TrialResult

_TITLE = "Every trial through its parameters"
_MOST_TRIALS = 200
# With more axes there is no room for their titles side by side.
_MOST_UPRIGHT = 9
# With fewer trials the best quarter is one or two, which always agree.
_FEWEST_TO_AGREE = 12


@dataclass(frozen=True)
class _Line:
    """One trial.

    Attributes:
        number: Its place among all trials that are drawn.
        place: Its study's place.
        label: What its study is called.
        trial: The trial.
        winner: Whether it is its study's winner.
    """

    number: int
    place: int
    label: str
    trial: TrialResult
    winner: bool


def parallel_coordinates(measures: Sequence[Measures]) -> Chart:
    """Draw every trial that has a score."""
    lines: list[_Line] = []
    for place, one in enumerate(measures):
        for trial in _best_trials(one):
            winner = one.best is not None and trial.index == one.best.index
            lines.append(_Line(len(lines), place, one.label, trial, winner))
    results = [found.trial for found in lines]
    axes = _axes(measures, results)
    if not axes:
        return Chart("trials", _TITLE, "Nothing was searched, so no trial has parameters of its own.")
    metric = measures[0].metric
    score = make_axis(metric, [trial.metrics[metric] for trial in results], log=False)
    left_out = sum(one.count("complete") for one in measures) - len(lines)
    few = f" Of each study the best {_MOST_TRIALS} trials are drawn." if left_out else ""
    sentence = f"Thick lines are winners. {_agreement(measures)}{few}"
    lying, height = _spec([*axes, score], lines, upright=False), 60 + 72 * (len(axes) + 1)
    if len(axes) < _MOST_UPRIGHT:
        upright = _spec([*axes, score], lines, upright=True)
        plot = Plot(upright, 400, narrow=lying, narrow_height=height)
    else:
        plot = Plot(lying, height)
    return Chart("trials", _TITLE, sentence, (plot,))


def _best_trials(one: Measures) -> list[TrialResult]:
    sign = -1.0 if MetricName.parse(one.metric).maximised else 1.0
    scored = [result for result in one.study.results if result.state == "complete"]
    return sorted(scored, key=lambda result: (sign * result.metrics[one.metric], result.index))[:_MOST_TRIALS]


def _axes(measures: Sequence[Measures], trials: Sequence[TrialResult]) -> list[Axis]:
    """Return an axis a parameter that any of these trials has."""
    logs = {name for one in measures for name, found in one.study.space.dimensions.items() if _is_log(found)}
    return [
        make_axis(name.replace(SEPARATOR, "."), [trial.params.get(name) for trial in trials], log=name in logs)
        for name in dict.fromkeys(name for trial in trials for name in trial.params)
    ]


def _is_log(dimension: object) -> bool:
    return isinstance(dimension, Range) and dimension.log


def _spec(axes: Sequence[Axis], lines: Sequence[_Line], *, upright: bool) -> Spec:
    """Return the drawing with upright axes side by side, or for a narrow screen with lying ones below each other."""
    along, across = ("x", "y") if upright else ("y", "x")
    data = []
    for winner in (False, True):
        for place in dict.fromkeys(found.place for found in lines):
            drawn = [found for found in lines if found.place == place and found.winner == winner]
            if drawn:
                data.append(_trace(axes, drawn, along, across))
    # What is pointed at, or brushed, is drawn over the rest by the page.
    over = {
        "type": "scatter",
        "mode": "lines",
        "x": [],
        "y": [],
        "hoverinfo": "skip",
        "line": {"color": INK, "width": 3},
    }
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False, "fixedrange": True}
    pad = 0.35 if upright else 0.55
    span = [-pad, len(axes) - 1 + pad]
    margin = {"l": 24, "r": 40, "t": 8, "b": 8} if upright else {"l": 12, "r": 12, "t": 8, "b": 8}
    layout = {
        f"{along}axis": {**bare, "range": span if upright else span[::-1]},
        f"{across}axis": {**bare, "range": [-0.08, 1.16] if upright else [-0.06, 1.06]},
        "shapes": [_axis_line(number, along, across) for number in range(len(axes))],
        "annotations": [
            note for number, axis in enumerate(axes) for note in (_upright if upright else _lying)(number, axis)
        ],
        "meta": {"brush": True},
        "margin": margin,
    }
    return {"data": [*data, over], "layout": layout}


def _trace(axes: Sequence[Axis], drawn: Sequence[_Line], along: str, across: str) -> Spec:
    """Return one trace of these trials of one study, whose lines are kept apart by gaps.

    A line passes over the axis of a parameter that its trial does not have.
    """
    xs: list[int | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    owners: list[int] = []
    for found in drawn:
        head = f"{plain(found.label)}, trial {found.trial.index}"
        for place, axis in enumerate(axes):
            where = axis.places[found.number]
            if math.isnan(where):
                continue
            xs.append(place)
            ys.append(where)
            texts.append(f"{head}<br>{plain(axis.title)} = {plain(short(axis.values[found.number]))}")
        xs.append(None)
        ys.append(None)
        texts.append("")
        owners += [found.number] * (len(xs) - len(owners))
    place, winner = drawn[0].place, drawn[0].winner
    style = {
        "line": line(place, 4.0 if winner else 1.2),
        "marker": marker(place, 8 if winner else 4),
        "opacity": 1.0 if winner else 0.45,
    }
    common = {"type": "scatter", "mode": "lines+markers", "hovertemplate": "%{text}<extra></extra>"}
    return {
        **common,
        **series(place, drawn[0].label),
        **style,
        along: xs,
        across: ys,
        "text": texts,
        "customdata": owners,
    }


def _axis_line(number: int, along: str, across: str) -> Spec:
    ends = {f"{along}0": number, f"{along}1": number, f"{across}0": 0, f"{across}1": 1}
    return {"type": "line", "layer": "below", "line": {"color": "--grid-strong", "width": 1.5}, **ends}


def _upright(number: int, axis: Axis) -> list[Spec]:
    """Return the title above an upright axis, and the texts of its ticks beside it."""
    member, _, param = axis.title.rpartition(".")
    head, _, tail = axis.title.rpartition("_")
    above, below = (member, param) if member else (f"{head}_", tail) if head else ("", tail)
    text = "<br>".join(plain(part) for part in (above, below) if part)
    return [
        _note(text, INK, x=number, y=1.04, yanchor="bottom"),
        *(_note(plain(tick), SOFT, x=number, y=place, xanchor="left", xshift=6) for place, tick in axis.ticks.items()),
    ]


def _lying(number: int, axis: Axis) -> list[Spec]:
    """Return the title above a lying axis, and the texts of its ticks below it."""
    anchors = {0.0: "left", 1.0: "right"}
    return [
        _note(plain(axis.title), INK, x=0, y=number, xanchor="left", yanchor="bottom", yshift=5),
        *(
            _note(plain(tick), SOFT, x=place, y=number, xanchor=anchors.get(place, "center"), yanchor="top", yshift=-6)
            for place, tick in axis.ticks.items()
        ),
    ]


def _note(text: str, colour: str, **where: object) -> Spec:
    return {"text": text, "showarrow": False, "font": {"size": 12, "color": colour}, "bgcolor": "--veil", **where}


def _agreement(measures: Sequence[Measures]) -> str:
    """Say on which parameter the best quarter of all trials agrees most; the same trial in two studies counts once."""
    metric = measures[0].metric
    maximised = MetricName.parse(metric).maximised
    scored = {
        json.dumps(result.params, sort_keys=True): result
        for one in measures
        for result in one.study.results
        if result.state == "complete"
    }
    if len(scored) < _FEWEST_TO_AGREE:
        return f"A line that ends {'high' if maximised else 'low'} on the last axis is a good trial."
    ranked = sorted(scored.values(), key=lambda result: result.metrics[metric], reverse=maximised)
    spread: list[tuple[float, Axis, list[float]]] = []
    for axis in _axes(measures, ranked):
        where = axis.places[: len(ranked) // 4]
        if axis.numeric and not any(map(math.isnan, where)):
            best = [float(str(value)) for value in axis.values[: len(where)]]
            spread.append((max(where) - min(where), axis, best))
    if not spread:
        return "The best quarter of all trials shares no parameter that is a number."
    _, axis, best = min(spread, key=lambda found: found[0])
    tried = [float(str(value)) for value in axis.values if value is not None]
    return (
        f"The best quarter of all trials agrees most on {axis.title}: {short(min(best))} to {short(max(best))}, of "
        f"{short(min(tried))} to {short(max(tried))} that were tried."
    )
