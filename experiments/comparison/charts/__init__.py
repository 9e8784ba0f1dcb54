"""The figures of a comparison as plain data for plotly.js, each with its finding in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.comparison.charts.confusion import confusion_chart
from experiments.comparison.charts.coordinates import parallel_coordinates
from experiments.comparison.charts.coverage import coverage_chart
from experiments.comparison.charts.differences import difference_chart
from experiments.comparison.charts.errors import error_correlation, predicted_against_actual
from experiments.comparison.charts.explanations import explanation_charts
from experiments.comparison.charts.histories import history_charts
from experiments.comparison.charts.importance import importance_chart
from experiments.comparison.charts.plot import Chart
from experiments.comparison.charts.scores import score_charts
from experiments.comparison.measures import Measures
from experiments.comparison.parity import Parity


def all_charts(measures: Sequence[Measures], parity: Parity) -> list[Chart]:
    """Return every figure, in the order of the page."""
    predicted = {bool(one.study.classes): None for one in measures}
    return [
        *score_charts(measures),
        coverage_chart(measures),
        difference_chart(measures, parity),
        *history_charts(measures),
        parallel_coordinates(measures),
        importance_chart(measures),
        *explanation_charts(measures),
        error_correlation(measures),
        *((confusion_chart if classes else predicted_against_actual)(measures) for classes in predicted),
    ]
