"""What the winners' predictions consist of: how large the parts of columns are, and how they depend on the values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.comparison.charts.plot import (
    Chart,
    Plot,
    bars,
    digits6,
    enumerated,
    marker,
    plain,
    rows_axis,
    rows_plot,
    series,
)
from experiments.comparison.measures import Measures
from experiments.study.explained_rows import ExplainedRows

_PARTS, _DEPENDENCE = "Which columns move the winners' predictions", "How the value of a column moves them"
# Columns in all, and those of each study whose dependence is drawn.
_MOST_ROWS, _MOST_DRAWN = 12, 3


def explanation_charts(measures: Sequence[Measures]) -> list[Chart]:
    """Draw the mean absolute part of each column, and the parts of the most important ones against their values."""
    found = {place: rows for place, one in enumerate(measures) if (rows := one.study.explained_rows()) is not None}
    if not found:
        why = "No winner has rows that were explained: its study is of an earlier version, or has no other rows."
        return [Chart("parts", _PARTS, why), Chart("dependence", _DEPENDENCE, why)]
    return [_sizes(measures, found), _dependence(measures, found)]


def _sizes(measures: Sequence[Measures], found: dict[int, ExplainedRows]) -> Chart:
    sizes = {
        place: dict(zip([column.name for column in rows.columns], rows.sizes.tolist(), strict=True))
        for place, rows in found.items()
    }
    # Each study counts equally, whatever the unit of its target.
    share: dict[str, float] = {}
    for each in sizes.values():
        for name, size in each.items():
            share[name] = share.get(name, 0.0) + size / (sum(each.values()) or 1.0)
    names = sorted(share, key=lambda name: -share[name])[:_MOST_ROWS]
    data = []
    for place, each in sizes.items():
        label = measures[place].label
        shown = [(row, each[name]) for row, name in enumerate(names) if name in each]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                **series(place, label),
                "x": [digits6(size) for _, size in shown],
                "y": [row for row, _ in shown],
                "marker": bars(place),
                "hovertemplate": f"{plain(label)}: %{{x:.4g}}<extra></extra>",
            }
        )
    unit = {_unit(measures[place], rows) for place, rows in found.items()}
    title = f"mean size of the part, {unit.pop()}" if len(unit) == 1 else "mean size of the part"
    layout = {"barmode": "group", "bargap": 0.3, "xaxis": {"title": {"text": plain(title)}}, "yaxis": rows_axis(names)}
    most = [f"{rows.columns[0].name} in {measures[place].label}" for place, rows in found.items()]
    rows = sorted({len(rows.parts) for rows in found.values()})
    counted = f"{rows[0]}" if len(rows) == 1 else f"{rows[0]} to {rows[-1]}"
    sentence = (
        f"The largest part is that of {enumerated(most)}. Parts and a base value add up to the prediction; these are "
        f"of {counted} rows from which the models have not learnt."
    )
    return Chart("parts", _PARTS, sentence, (rows_plot({"data": data, "layout": layout}, names, len(sizes)),))


def _dependence(measures: Sequence[Measures], found: dict[int, ExplainedRows]) -> Chart:
    plots = [
        _scatter(place, rows, number, _unit(measures[place], rows))
        for place, rows in found.items()
        for number in range(min(_MOST_DRAWN, len(rows.columns)))
    ]
    sentence = (
        "Each point is a row; points at one value that are far apart vertically differ in other columns. Rows without "
        "a value are left out."
    )
    return Chart("dependence", _DEPENDENCE, sentence, tuple(plots), columns=min(3, len(plots)))


def _scatter(place: int, rows: ExplainedRows, number: int, unit: str) -> Plot:
    column, values, parts = rows.columns[number], rows.values[:, number], rows.parts[:, number]
    known = ~np.isnan(values)
    x: list[object] = [digits6(value) for value in values[known]]
    axis: dict[str, object] = {"title": {"text": plain(column.name)}, "zeroline": False}
    if column.type == "category":
        x = [plain(column.levels[int(value)]) for value in values[known]]
        axis |= {"type": "category", "automargin": True}
    elif column.type == "boolean":
        x = ["true" if value else "false" for value in values[known]]
        axis |= {"type": "category"}
    elif column.type == "date":
        x = [f"{np.datetime64('1970-01-01') + np.timedelta64(int(value), 'D')}" for value in values[known]]
        axis |= {"type": "date"}
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": [digits6(value) for value in parts[known]],
        "cliponaxis": False,
        "marker": marker(place, 6, opacity=0.6),
        "hovertemplate": "%{x}<br>%{y:.4g}<extra></extra>",
    }
    layout = {"xaxis": axis, "yaxis": {"title": {"text": plain(f"part, {unit}")}}}
    return Plot({"data": [points], "layout": layout}, 300, series=place)


def _unit(one: Measures, rows: ExplainedRows) -> str:
    if rows.positive:
        return f"probability of {rows.positive}"
    return "probability of the predicted class" if one.study.classes else one.study.target or "in the target's unit"
