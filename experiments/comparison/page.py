"""The report page: one HTML file with the verdict, the table, the figures and their sources."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ensemble import __version__
from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED
from experiments.comparison.answers import answers, does_it_pay
from experiments.comparison.charts import all_charts
from experiments.comparison.charts.plot import Chart, enumerated, glyph
from experiments.comparison.findings import describe_unpaired
from experiments.comparison.measures import Measures
from experiments.comparison.parity import Parity
from experiments.comparison.table import Row
from experiments.reporting.score_names import shown

# A cell is a number and, in brackets or behind a sign, its interval, which has its own line on a narrow screen.
_INTERVAL = re.compile(r" (?=[(±])")


@dataclass(frozen=True)
class Report:
    """A report page.

    Attributes:
        html: The whole page.
        partial: What the page lacks because a study is still running or its files are missing; a sentence each.
    """

    html: str
    partial: tuple[str, ...]


def make_report(measures: Sequence[Measures], parity: Parity, rows: Sequence[Row]) -> Report:
    """Return the page of a comparison.

    Args:
        measures: The studies in numbers.
        parity: Whether the paired trials are equal.
        rows: The table.
    """
    charts = all_charts(measures, parity)
    drawn = [chart for chart in charts if chart.plots or chart.grids]
    partial = _partial(measures, charts)
    html = _template().render(
        version=__version__,
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
        names=", ".join(one.study.name for one in measures),
        dataset=" and ".join(dict.fromkeys(one.study.dataset for one in measures if one.study.dataset)),
        parity=parity,
        answers=answers(measures, parity),
        pays=does_it_pay(measures),
        partial=partial,
        measures=measures,
        rows=[(row, [_INTERVAL.split(cell, maxsplit=1) for cell in row.cells]) for row in rows],
        charts=drawn,
        left_out=[f"{chart.title}: {chart.sentence}" for chart in charts if chart not in drawn],
        checked=_checked(parity),
        unpaired=describe_unpaired(parity),
        glyphs=[glyph(place) for place in range(len(measures))],
        sources=[_source(one) for one in measures],
        better=_better(measures),
        style=_text("report.css"),
        script=_text("report.js"),
        plotly=_text("plotly-basic.min.js"),
        figures=_figures(charts),
    )
    return Report(html, partial)


def _better(measures: Sequence[Measures]) -> str:
    """Return which way the scores of the table are better, and what is bold in it."""
    found = [MetricName("cv", score, BLENDED) for one in measures for score in one.shown_scores]
    lower, higher = (
        enumerated(list(dict.fromkeys(shown(name.score) for name in found if name.maximised is way)) or [""])
        for way in (False, True)
    )
    if not higher:
        return f"A lower {lower} is better; the lowest of a row is bold"
    return f"A lower {lower} and a higher {higher} are better; the best of a row is bold"


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("report.html"))


def _text(name: str) -> str:
    return (resources.files("experiments.comparison") / "templates" / name).read_text(encoding="utf-8")


def _figures(charts: Sequence[Chart]) -> str:
    """Return every plot by its element's id, as JSON that cannot close the script element around it."""
    plots = {
        f"{chart.key}-{place}": {
            "spec": plot.spec,
            "height": plot.height,
            "narrow": plot.narrow,
            "narrow_height": plot.narrow_height,
        }
        for chart in charts
        for place, plot in enumerate(chart.plots)
    }
    return json.dumps(plots, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _partial(measures: Sequence[Measures], charts: Sequence[Chart]) -> tuple[str, ...]:
    lines = []
    for one in measures:
        if one.study.running:
            lines.append(f"{one.label}: study {one.study.name} is still running; the report has its results so far")
        elif one.study.best is None:
            lines.append(f"{one.label}: no trial of study {one.study.name} has a score, so it has no winner")
        elif one.study.final is None:
            attached = "; action=attach has no test rows" if one.study.mode == "remote" else ""
            lines.append(
                f"{one.label}: study {one.study.name} has no winner with test scores yet; run the study's own command "
                f"again to get one{attached}"
            )
        elif one.study.has_test_rows and one.main("test", "blended") is None:
            lines.append(f"{one.label}: the winner of {one.study.name} was not scored on test rows")
        missing, trials = one.study.missing_logs(), len(one.study.results)
        if missing:
            lines.append(
                f"{one.label}: {missing} of {trials} trials have no log in {one.study.folder / 'trials'}: the "
                "objective that a tuner reads there was not checked"
            )
    return tuple(dict.fromkeys([*lines, *(line for chart in charts for line in chart.missing)]))


def _checked(parity: Parity) -> str:
    if parity.verdict == "PASS":
        return "The trials are equal, so a difference listed here did not change their numbers."
    return "These can make the same trial give different numbers. The verdict names the first one that differs."


def _source(one: Measures) -> str:
    info = next((result.info for result in one.study.results if "versions" in result.info), {})
    versions = ", ".join(f"{name} {text}" for name, text in info.get("versions", {}).items())
    processor = info.get("processor", {})
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.study.created))
    parts = [
        f"{one.label}: study {one.study.name}, started {started}",
        f"data {one.study.data_hash[:12]}",
        versions or "versions not recorded",
        f"{processor.get('model') or processor['machine']}" if processor else "processor not recorded",
    ]
    return "; ".join(parts)
