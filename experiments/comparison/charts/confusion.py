"""Which classes the winners confuse, on the test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.arrays import Floats
from ensemble.evaluation import SCORES, Index
from experiments.comparison.charts.plot import Chart, Plot, Spec, plain
from experiments.comparison.measures import Measures, winners_on_test_rows
from experiments.study.class_curves import confusion

_TITLE = "Which classes are confused, on the test rows"
# With more classes, numbers do not fit into the cells, and two figures not side by side.
_FEW, _MOST = 6, 20
# Above this share of a class a cell is bright and has dark text.
_BRIGHT = 0.55


def confusion_chart(measures: Sequence[Measures]) -> Chart:
    """Draw how often the winners predict each class for the test rows of each class."""
    found, missing = winners_on_test_rows(measures, of_classes=True)
    if not found:
        return Chart("confusion", _TITLE, "No winner has predictions on the test rows.", missing=missing)
    plots, parts = [], []
    for place, kept in found.items():
        one = measures[place]
        counts = confusion(kept.target, kept.decided(), len(one.study.classes))
        plots.append(_heatmap(place, one.study.classes, counts))
        scores = [SCORES[name](kept.target, kept.blended, kept.weights, kept.decided()) for name in ("accuracy", "auc")]
        auc = f" and an AUC of {scores[1]:.4f}" if np.isfinite(scores[1]) else ""
        parts.append(f"{one.label}: an accuracy of {scores[0]:.1%}{auc} on {len(kept.target)} rows")
    widest = max(len(measures[place].study.classes) for place in found)
    columns = min(len(plots), 3 if widest <= _FEW else 2)
    sentence = f"Rows are the actual classes, columns the predicted ones. {'; '.join(parts)}."
    return Chart("confusion", _TITLE, sentence, tuple(plots), columns=columns, missing=missing)


def _heatmap(place: int, classes: Sequence[str], counts: Index) -> Plot:
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts, numbers = [plain(label) for label in classes], list(range(len(classes)))
    notes = [
        {"x": column, "y": row, "text": f"{counts[row, column]}", "showarrow": False}
        | {"font": {"color": "#10131A" if shares[row, column] > _BRIGHT else "#FFFFFF", "size": 12}}
        for row, column in np.ndindex(*counts.shape)
    ]
    heat = {
        "type": "heatmap",
        "z": [[float(share) for share in row] for row in shares],
        "x": numbers,
        "y": numbers,
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": "Cividis",
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "text": [
            [f"{actual} taken for {predicted}: {counts[row, column]} rows" for column, predicted in enumerate(texts)]
            for row, actual in enumerate(texts)
        ],
        "hovertemplate": "%{text}, %{z:.1%} of the actual class<extra></extra>",
    }
    axis: Spec = {"showgrid": False, "zeroline": False, "fixedrange": True}
    axis |= {"tickvals": numbers, "ticktext": texts} if len(classes) <= _MOST else {"showticklabels": False}
    layout = {
        "xaxis": {**axis, "title": {"text": "predicted"}},
        "yaxis": {**axis, "title": {"text": "actual"}, "autorange": "reversed"},
        "annotations": notes if len(classes) <= 2 * _FEW else [],
    }
    height = 110 + min(len(classes), _MOST) * (56 if len(classes) <= _FEW else 28)
    return Plot({"data": [heat], "layout": layout}, height, series=place)
