"""The figures of a comparison, as plain data that plotly.js draws, each with a sentence that says what to see in it."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.comparing.charts.coordinates import parallel_coordinates
from experiments.comparing.charts.differences import difference_chart
from experiments.comparing.charts.errors import error_correlation, predicted_against_actual
from experiments.comparing.charts.histories import history_charts
from experiments.comparing.charts.importance import importance_chart
from experiments.comparing.charts.plot import Chart
from experiments.comparing.charts.rmse import rmse_chart
from experiments.comparing.measures import Measures
from experiments.comparing.parity import Parity


def all_charts(measures: Sequence[Measures], parity: Parity) -> list[Chart]:
    """Return every figure, in the order of the page."""
    return [
        rmse_chart(measures),
        difference_chart(measures, parity),
        *history_charts(measures),
        parallel_coordinates(measures),
        importance_chart(measures),
        error_correlation(measures),
        predicted_against_actual(measures),
    ]
