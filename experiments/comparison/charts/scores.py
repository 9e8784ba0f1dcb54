"""The winners' scores: a row for each member and the blend, a mark for each study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED
from experiments.comparison.charts.plot import (
    Chart,
    beside,
    colour,
    enumerated,
    marker,
    plain,
    rows_axis,
    rows_plot,
    series,
)
from experiments.comparison.measures import Measures, blend_title
from experiments.reporting.score_names import shown


def score_charts(measures: Sequence[Measures]) -> list[Chart]:
    """Draw the winners' scores in cross-validation that have an interval, one figure each."""
    scores = dict.fromkeys(score for one in measures for score in one.folded_scores)
    return [_chart(measures, score) for score in scores]


def _chart(measures: Sequence[Measures], score: str) -> Chart:
    names = list(dict.fromkeys(name for one in measures for name in one.names))
    names.sort(key=lambda name: name == BLENDED)
    data = [_trace(place, len(measures), one, names, score) for place, one in enumerate(measures)]
    titles = [blend_title(measures) if name == BLENDED else name for name in names]
    side = "right" if _is_maximised(score) else "left"
    quantity = measures[0].study.target if score in ("rmse", "mae") else ""
    of = f" of {quantity}" if quantity else ""
    spec = {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": plain(f"CV {shown(score)}{of}, {side} is better")}, "zeroline": False},
            "yaxis": rows_axis(titles),
            "shapes": [_band(len(names))] if names[-1] == BLENDED else [],
        },
    }
    title = f"{shown(score)[0].upper()}{shown(score)[1:]} of every member and of the blend"
    return Chart(score, title, _sentence(measures, score), (rows_plot(spec, titles, len(measures)),))


def _is_maximised(score: str) -> bool:
    return MetricName("cv", score, BLENDED).maximised


def _trace(place: int, places: int, one: Measures, names: Sequence[str], score: str) -> dict[str, Any]:
    rows, values, above, below, texts = [], [], [], [], []
    for row, name in enumerate(names):
        value = one.score("cv", score, name)
        if value is None:
            continue
        interval = one.interval(name, score)
        low, high = (value, value) if interval is None else (interval.low, interval.high)
        rows.append(row + beside(place, places))
        values.append(value)
        above.append(max(0.0, high - value))
        below.append(max(0.0, value - low))
        texts.append(f"{plain(one.label)}, {plain(name)}: {value:.6g}<br>95% interval: {low:.4g} to {high:.4g}")
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.6, "width": 4}
    return {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        **series(place, one.label),
        "x": values,
        "y": rows,
        "error_x": {**bars, "color": colour(place)},
        "marker": marker(place, 11),
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _band(rows: int) -> dict[str, Any]:
    """Return the shade behind the blend's row."""
    place = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": rows - 1.5, "y1": rows - 0.5}
    return {"type": "rect", "layer": "below", "fillcolor": "--band", "line": {"width": 0}, **place}


def _sentence(measures: Sequence[Measures], score: str) -> str:
    known = [(value, one) for one in measures if (value := one.score("cv", score, BLENDED)) is not None]
    if not known:
        return "No study has a winner yet."
    pick, most = (max, "highest") if _is_maximised(score) else (min, "lowest")
    value, best = pick(known, key=lambda item: item[0])
    leading = [one.label for found, one in known if found == value]
    if len(known) > 1 and len(leading) == len(known):
        who = f"All blends have the same {shown(score)}, {value:.6g}"
    else:
        what = "The blend" if BLENDED in best.names else f"{best.study.members[0]} alone,"
        who = f"{what} of {enumerated(leading)} has the {most} {shown(score)}, {value:.6g}"
    members = [(found, name) for name in best.study.members if (found := best.score("cv", score, name)) is not None]
    if len(members) < 2:
        return f"{who}."
    reached, name = pick(members)
    side = "above" if reached >= value else "below"
    return f"{who}; its best member, {name}, is {abs(reached - value):.3g} {side} it."
