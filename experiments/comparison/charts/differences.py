"""How far apart the same trials are: every number of every pair, with the exact ones counted in a separate lane."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from ensemble.recipe import BLENDED
from experiments.comparison.charts.plot import (
    SOFT,
    WARNING,
    Chart,
    Spec,
    beside,
    marker,
    plain,
    rows_axis,
    rows_plot,
    series,
)
from experiments.comparison.measures import Measures
from experiments.comparison.pairing import Pair, member_of
from experiments.comparison.parity import Parity

_TITLE = "How far apart the same trials are"
# Position of the lane of exact numbers, as a power of ten: left of the last bit of a double, 1.1e-16.
_EXACT = -17.5
_SMALLEST = -16.5
_WIDEST = 0.3
_HIGHEST = -6.0
# Of all studies together. With more marks the page is slow and shows nothing more.
_MOST_MARKS = 1000


def difference_chart(measures: Sequence[Measures], parity: Parity) -> Chart:
    """Draw the relative difference of every compared number."""
    pairs = [pair for pair in parity.pairs if pair.failed is None]
    if not pairs:
        return Chart("differences", _TITLE, "No trial has numbers in two studies, so there is nothing to compare.")
    names = [*dict.fromkeys(name for one in measures for name in one.study.members), BLENDED]
    places = {one.study.name: place for place, one in enumerate(measures)}
    labels = {one.study.name: one.label for one in measures}
    data: list[Spec] = []
    others = list(dict.fromkeys(pair.other.study.name for pair in pairs))
    for number, study in enumerate(others):
        own = [pair for pair in pairs if pair.other.study.name == study]
        rows = {name: row + beside(number, len(others)) for row, name in enumerate(names)}
        data += _traces(own, rows, places[study], labels[study], _MOST_MARKS // len(others))
    worst = max((_power(moved.relative) for pair in pairs for moved in pair.differences), default=_HIGHEST)
    end = max(_HIGHEST, worst + 1)
    ticks = [power for power in range(-16, math.ceil(end) + 1) if power % 4 == 0]
    axis = {
        "title": {"text": "relative difference"},
        "range": [_EXACT - 1, end],
        "tickvals": [_EXACT, *ticks],
        "ticktext": ["exact", *(f"1e{power}" if power else "1" for power in ticks)],
        "zeroline": False,
    }
    layout = {"xaxis": axis, "yaxis": rows_axis(names), **_tolerance(parity.tolerance)}
    plot = rows_plot({"data": data, "layout": layout}, names, len(others), 20)
    return Chart("differences", _TITLE, _sentence(pairs, parity), (plot,))


def _traces(pairs: Sequence[Pair], rows: Mapping[str, float], place: int, label: str, most: int) -> list[Spec]:
    """Return one mark for all exact numbers of a member, and one for each other number.

    Args:
        pairs: The pairs of one study with others.
        rows: The vertical position of each member's marks.
        place: The index of the study.
        label: The label of the study.
        most: How many marks to draw at most.
    """
    exact = Counter(member_of(metric) for pair in pairs for metric in pair.metrics)
    exact.subtract(moved.who for pair in pairs for moved in pair.differences)
    apart = sorted(
        ((moved, pair) for pair in pairs for moved in pair.differences), key=lambda found: -found[0].relative
    )
    shown = apart[:most]
    texts = [
        f"{plain(pair.one.name)}, {plain(pair.other.name)}<br>{plain(moved.metric)}<br>"
        f"{moved.one!r} and {moved.other!r}<br>{moved.relative:.2g} apart"
        for moved, pair in shown
    ]
    counted = [name for name in rows if exact[name]]
    common: Spec = {"type": "scatter", "cliponaxis": False, **series(place, label)}
    lane = {
        **common,
        "mode": "markers+text",
        "x": [_EXACT for _ in counted],
        "y": [rows[name] for name in counted],
        "marker": marker(place, 11),
        "text": [str(exact[name]) for name in counted],
        "textposition": "middle right",
        "hovertemplate": f"{plain(label)}: %{{text}} numbers are equal to the bit<extra></extra>",
    }
    rest = {
        **common,
        "mode": "markers",
        "x": [_power(moved.relative) for moved, _ in shown],
        "y": [rows[moved.who] for moved, _ in shown],
        "text": texts,
        "marker": marker(place, 9),
        "hovertemplate": "%{text}<extra></extra>",
    }
    return [lane, rest]


def _power(relative: float) -> float:
    return math.log10(min(max(relative, 10**_SMALLEST), 10**_WIDEST))


def _tolerance(tolerance: float) -> Spec:
    """Return a labelled line at the tolerance."""
    if not tolerance:
        return {}
    at = math.log10(tolerance)
    line = {"type": "line", "xref": "x", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
    text = {"x": at, "xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {
        "shapes": [{**line, "line": {"color": WARNING, "width": 1.5, "dash": "dot"}}],
        "annotations": [{**text, "text": f"tolerance {tolerance:.3g}", "font": {"color": SOFT, "size": 12}}],
        "margin": {"l": 8, "r": 16, "t": 26, "b": 8},
    }


def _sentence(pairs: Sequence[Pair], parity: Parity) -> str:
    numbers = sum(len(pair.metrics) for pair in pairs)
    moved = [(found.relative, found.metric, pair) for pair in pairs for found in pair.differences]
    failed = len(parity.pairs) - len(pairs)
    if not moved:
        rest = f"; {failed} more failed in one study only" if failed else ""
        return f"All {numbers} numbers of the {len(pairs)} pairs are equal to the bit{rest}."
    relative, metric, pair = max(moved, key=lambda item: item[0])
    side = "above" if relative > parity.tolerance else "within"
    counts = Counter(pair.other.study.name for _, _, pair in moved)
    drawn = _MOST_MARKS // len({pair.other.study.name for pair in pairs})
    few = f" Only the {drawn} largest differences of each study are drawn." if max(counts.values()) > drawn else ""
    return (
        f"{numbers - len(moved)} of {numbers} numbers are equal to the bit; the largest difference is in {metric} of "
        f"{pair.other.name}, {relative:.2g}, {side} the tolerance of {parity.tolerance:g}.{few}"
    )
