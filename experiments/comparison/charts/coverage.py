"""Whether the winners' intervals hold what they promise, on the test rows."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.comparison.charts.plot import INK, Chart, colour, marker, plain, rows_axis, rows_plot, series
from experiments.comparison.measures import Measures
from experiments.study.coverage import Coverage, coverage_of

_TITLE = "Do the intervals hold what they promise"


def coverage_chart(measures: Sequence[Measures]) -> Chart:
    """Draw the share of the test rows that each winner's intervals, or sets of classes, hold."""
    found = {
        place: known
        for place, one in enumerate(measures)
        if one.study.final is not None and (known := coverage_of(one.study.final.info)) is not None
    }
    if not found:
        return Chart("coverage", _TITLE, "No winner has intervals that were checked on test rows.")
    names = [measures[place].label for place in found]
    level = next(iter(found.values())).level
    held = "sets of labels" if measures[next(iter(found))].study.classes else "intervals"
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "cliponaxis": False,
            **series(place, measures[place].label),
            "x": [known.share],
            "y": [row],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [known.high - known.share],
                "arrayminus": [known.share - known.low],
                "thickness": 1.6,
                "width": 4,
                "color": colour(place),
            },
            "marker": marker(place, 11),
            "hovertemplate": f"{plain(measures[place].label)}: %{{x:.1%}}<br>95% interval: {known.low:.1%} to "
            f"{known.high:.1%}<extra></extra>",
        }
        for row, (place, known) in enumerate(found.items())
    ]
    promised = {"type": "line", "xref": "x", "x0": level, "x1": level, "yref": "paper", "y0": 0, "y1": 1}
    layout = {
        "xaxis": {
            "title": {"text": f"share of the test rows that {level:.0%} {held} hold"},
            "tickformat": ".0%",
            "zeroline": False,
        },
        "yaxis": rows_axis(names),
        "shapes": [{**promised, "line": {"color": INK, "width": 1, "dash": "dot"}}],
    }
    sentences = [_sentence(measures[place].label, known) for place, known in found.items()]
    text = f"The dotted line is what is promised. {'. '.join(sentences)}."
    return Chart("coverage", _TITLE, text, (rows_plot({"data": data, "layout": layout}, names, 1, more=12),))


def _sentence(label: str, known: Coverage) -> str:
    held = f"{label} holds {known.share:.1%}"
    if known.low <= known.level <= known.high:
        return f"{held}, which may be {known.level:.0%}"
    return f"{held}, which is {'more' if known.share > known.level else 'less'} than {known.level:.0%}"
