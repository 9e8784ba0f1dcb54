"""Every trial of every study as a line through its parameters and its score.

These are plain lines: plotly.js's own parallel coordinates do not work on this page (decision record 41).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.evaluation import MetricName
from ensemble.wire import SEPARATOR
from experiments.comparison.charts.axes import Axis, make_axis, short
from experiments.comparison.charts.plot import (
    INK,
    SOFT,
    Chart,
    Plot,
    Spec,
    line,
    marker,
    plain,
    rows_axis,
    rows_plot,
    series,
)
from experiments.comparison.measures import Measures
from experiments.study.sampling import parameter_importance
from experiments.study.search_space import Interval
from experiments.study.spec import TrialResult

_TITLE = "Every trial through its parameters"
# Of all studies together. More lines cannot be told apart.
_MOST_TRIALS = 400
# More axes cannot be followed, least of all on a phone.
_MOST_AXES = 12
# Room for the texts of an axis's ticks.
_TICK_PIXELS = 22
# With fewer trials the best quarter is one or two trials, which always agree.
_FEWEST_TO_AGREE = 12


@dataclass(frozen=True)
class _Line:
    """One trial.

    Attributes:
        number: Its index among all trials that are drawn.
        place: The index of its study.
        label: The label of its study.
        trial: The trial.
        winner: Whether it is its study's winner.
    """

    number: int
    place: int
    label: str
    trial: TrialResult
    winner: bool


def parallel_coordinates(measures: Sequence[Measures]) -> Chart:
    """Draw every trial with a score."""
    lines: list[_Line] = []
    for place, one in enumerate(measures):
        for trial in _best_trials(one, _MOST_TRIALS // len(measures)):
            winner = one.best is not None and trial.index == one.best.index
            lines.append(_Line(len(lines), place, one.label, trial, winner))
    results = [found.trial for found in lines]
    axes = _axes(measures, results)
    if not axes:
        return Chart("trials", _TITLE, "Nothing was searched, so there are no parameters to draw.")
    axes, which = _most_important(measures, axes)
    metric = measures[0].metric
    score = make_axis(metric, [trial.metrics[metric] for trial in results], log=False)
    left_out = sum(one.count("complete") for one in measures) - len(lines)
    few = f" Only the best {_MOST_TRIALS // len(measures)} trials of each study are drawn." if left_out else ""
    sentence = f"Thick lines are winners. {_agreement(measures)}{which}{few}"
    return Chart("trials", _TITLE, sentence, (_plot([*axes, score], lines),))


def _most_important(measures: Sequence[Measures], axes: list[Axis]) -> tuple[list[Axis], str]:
    """Return the axes to draw, in their order, and a sentence if that is not all of them."""
    if len(axes) <= _MOST_AXES:
        return axes, ""
    shares = [
        parameter_importance(one.study.space, one.study.results, one.study.objective)
        for one in measures
        if one.study.searched
    ]
    total = {axis.title: sum(found.get(_parameter(axis), 0.0) for found in shares) for axis in axes}
    drawn = {axis.title for axis in sorted(axes, key=lambda axis: -total[axis.title])[:_MOST_AXES]}
    which = f"most important {_MOST_AXES}" if any(total.values()) else f"first {_MOST_AXES}"
    return [axis for axis in axes if axis.title in drawn], f" The {which} of {len(axes)} parameters are drawn."


def _parameter(axis: Axis) -> str:
    return axis.title.replace(".", SEPARATOR)


def _best_trials(one: Measures, most: int) -> list[TrialResult]:
    sign = -1.0 if MetricName.parse(one.metric).maximised else 1.0
    scored = [result for result in one.study.results if result.state == "complete"]
    return sorted(scored, key=lambda result: (sign * result.metrics[one.metric], result.index))[:most]


def _axes(measures: Sequence[Measures], trials: Sequence[TrialResult]) -> list[Axis]:
    """Return one axis for each parameter that any of these trials has."""
    logs = {name for one in measures for name, found in one.study.space.ranges.items() if _is_log(found)}
    return [
        make_axis(name.replace(SEPARATOR, "."), [trial.params.get(name) for trial in trials], log=name in logs)
        for name in dict.fromkeys(name for trial in trials for name in trial.params)
    ]


def _is_log(range_: object) -> bool:
    return isinstance(range_, Interval) and range_.log


def _plot(axes: Sequence[Axis], lines: Sequence[_Line]) -> Plot:
    """Return the drawing: a horizontal axis for each parameter and the score, below each other."""
    data = []
    for winner in (False, True):
        for place in dict.fromkeys(found.place for found in lines):
            drawn = [found for found in lines if found.place == place and found.winner == winner]
            if drawn:
                data.append(_trace(axes, drawn))
    # The page draws the trials that are pointed at or brushed in this last trace.
    over = {
        "type": "scatter",
        "mode": "lines",
        "x": [],
        "y": [],
        "hoverinfo": "skip",
        "line": {"color": INK, "width": 3},
    }
    names = [axis.title for axis in axes]
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False, "fixedrange": True}
    layout = {
        "xaxis": {**bare, "range": [-0.06, 1.06]},
        "yaxis": rows_axis(names),
        "shapes": [_axis_line(row) for row in range(len(axes))],
        "annotations": [_tick(row, place, text) for row, axis in enumerate(axes) for place, text in axis.ticks.items()],
        "meta": {"brush": True},
    }
    return rows_plot({"data": [*data, over], "layout": layout}, names, 1, _TICK_PIXELS * len(axes))


def _trace(axes: Sequence[Axis], drawn: Sequence[_Line]) -> Spec:
    """Return one trace with the lines of several trials of one study, separated by gaps.

    A line skips the axis of a parameter that its trial does not have.
    """
    xs: list[float | None] = []
    ys: list[int | None] = []
    texts: list[str] = []
    owners: list[int] = []
    for found in drawn:
        for row, axis in enumerate(axes):
            where = axis.places[found.number]
            if math.isnan(where):
                continue
            xs.append(round(where, 4))
            ys.append(row)
            value = plain(short(axis.values[found.number]))
            texts.append(f"trial {found.trial.index}<br>{plain(axis.title)} = {value}")
        xs.append(None)
        ys.append(None)
        texts.append("")
        owners += [found.number] * (len(xs) - len(owners))
    place, winner = drawn[0].place, drawn[0].winner
    return {
        "type": "scatter",
        "mode": "lines+markers",
        **series(place, drawn[0].label),
        "x": xs,
        "y": ys,
        "text": texts,
        "customdata": owners,
        "line": line(place, 4.0 if winner else 1.2),
        "marker": marker(place, 8 if winner else 4),
        "opacity": 1.0 if winner else 0.45,
        "cliponaxis": False,
        "hovertemplate": f"{plain(drawn[0].label)}, %{{text}}<extra></extra>",
    }


def _axis_line(row: int) -> Spec:
    ends = {"x0": 0, "x1": 1, "y0": row, "y1": row}
    return {"type": "line", "layer": "below", "line": {"color": "--grid-strong", "width": 1.5}, **ends}


def _tick(row: int, place: float, text: str) -> Spec:
    """Return the text of a tick, below its axis."""
    anchor = {0.0: "left", 1.0: "right"}.get(place, "center")
    where = {"x": place, "y": row, "xanchor": anchor, "yanchor": "top", "yshift": -6}
    return {"text": plain(text), "showarrow": False, "font": {"size": 12, "color": SOFT}, "bgcolor": "--veil", **where}


def _agreement(measures: Sequence[Measures]) -> str:
    """Return the parameter on which the best quarter of all trials agrees most; the same point counts once."""
    metric = measures[0].metric
    maximised = MetricName.parse(metric).maximised
    scored = {
        json.dumps(result.params, sort_keys=True): result
        for one in measures
        for result in one.study.results
        if result.state == "complete"
    }
    if len(scored) < _FEWEST_TO_AGREE:
        return f"A line that ends at the {'right' if maximised else 'left'} of the last axis is a good trial."
    ranked = sorted(scored.values(), key=lambda result: result.metrics[metric], reverse=maximised)
    spread: list[tuple[float, Axis, list[float]]] = []
    for axis in _axes(measures, ranked):
        where = axis.places[: len(ranked) // 4]
        if axis.numeric and not any(map(math.isnan, where)):
            best = [float(str(value)) for value in axis.values[: len(where)]]
            spread.append((max(where) - min(where), axis, best))
    if not spread:
        return "The best quarter of all trials has no numeric parameter in common."
    _, axis, best = min(spread, key=lambda found: found[0])
    tried = [float(str(value)) for value in axis.values if value is not None]
    return (
        f"The best quarter of all trials agrees most on {axis.title}: {short(min(best))} to {short(max(best))}, where "
        f"{short(min(tried))} to {short(max(tried))} were tried."
    )
