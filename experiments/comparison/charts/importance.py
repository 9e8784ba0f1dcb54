"""The importance of each searched parameter, side by side for the studies."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.wire import SEPARATOR
from experiments.comparison.charts.plot import Chart, bars, enumerated, plain, rows_axis, rows_plot, series
from experiments.comparison.measures import Measures
from experiments.reporting.figures import TRIALS_A_PARAMETER
from experiments.study.sampling import FEWEST_TRIALS_FOR_IMPORTANCE, parameter_importance

_TITLE = "Which parameters made a trial good"
_MOST_ROWS = 15


def importance_chart(measures: Sequence[Measures]) -> Chart:
    """Draw the importance of each searched parameter."""
    shares = {
        place: parameter_importance(one.study.space, one.study.results, one.study.objective)
        for place, one in enumerate(measures)
        if one.study.searched
    }
    shares = {place: found for place, found in shares.items() if found}
    unknown = tuple(
        f"{one.label}: its search space was not recorded, so the importance of its parameters is not known"
        for one in measures
        if one.study.searched and not one.study.space.ranges
    )
    if not shares:
        why = f"No search has the {FEWEST_TRIALS_FOR_IMPORTANCE} trials with a score that this figure needs."
        return Chart("importance", _TITLE, why, missing=unknown)
    total = {
        name: sum(found.get(name, 0.0) for found in shares.values()) for found in shares.values() for name in found
    }
    names = sorted(total, key=lambda name: -total[name])[:_MOST_ROWS]
    data = []
    for place, found in shares.items():
        label = measures[place].label
        shown = [(row, found[name]) for row, name in enumerate(names) if name in found]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                **series(place, label),
                "x": [share for _, share in shown],
                "y": [row for row, _ in shown],
                "marker": bars(place),
                "hovertemplate": f"{plain(label)}: %{{x:.2f}}<extra></extra>",
            }
        )
    titles = [name.replace(SEPARATOR, ".") for name in names]
    layout = {"barmode": "group", "bargap": 0.3, "xaxis": {"title": {"text": "share"}}, "yaxis": rows_axis(titles)}
    plot = rows_plot({"data": data, "layout": layout}, titles, len(shares))
    return Chart("importance", _TITLE, _sentence(measures, shares), (plot,), missing=unknown)


def _sentence(measures: Sequence[Measures], shares: dict[int, dict[str, float]]) -> str:
    most = []
    for place, found in shares.items():
        name = max(found, key=lambda key: found[key])
        most.append(f"{name.replace(SEPARATOR, '.')} in {measures[place].label} ({found[name]:.0%})")
    few = [
        measures[place].label
        for place, found in shares.items()
        if measures[place].count("complete") < TRIALS_A_PARAMETER * len(found)
    ]
    hint = f" {enumerated(few)} ran few trials for this many parameters, so this is only a hint." if few else ""
    return f"The most important parameter is {enumerated(most)}.{hint}"
