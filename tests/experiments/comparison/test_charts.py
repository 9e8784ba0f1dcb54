"""The figures as data, for every module of ``charts/``: valid for plotly, drawn from the numbers, with a finding."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.comparison.charts import all_charts
from experiments.comparison.charts.axes import make_axis
from experiments.comparison.charts.confusion import _most_confused
from experiments.comparison.charts.plot import SERIES, Chart, glyph, line, marker
from experiments.comparison.measures import measure
from experiments.comparison.parity import compare_trials
from experiments.comparison.recorded_study import RecordedStudy
from experiments.study.folder import test_predictions as predictions_path
from experiments.study.predictions import Predictions
from experiments.study.spec import TrialResult
from tests.conftest import PROJECT
from tests.experiments.comparison.builder import POINTS, add_study, failed, scored, scored_classes

STYLE = PROJECT / "experiments" / "comparison" / "templates" / "report.css"
COLOUR = re.compile(r"--[a-z]+(-[a-z0-9]+)*")


def charts(*studies: RecordedStudy) -> dict[str, Chart]:
    found = all_charts(measure(studies), compare_trials(studies, 1e-9))
    return {chart.key: chart for chart in found}


def spread(count: int, *, shift: float = 0.0) -> list[TrialResult]:
    random = np.random.RandomState(count)
    return [
        scored(
            index,
            {"xgboost__eta": float(random.uniform(0.02, 0.9)), "ridge__alpha": float(random.uniform(1, 8))},
            shift=shift,
        )
        for index in range(count)
    ]


def billed(result: TrialResult, usd: float) -> TrialResult:
    return dataclasses.replace(result, info={"cloud": {"job": "job", "billable_seconds": 60, "cost_usd": usd}})


@pytest.fixture
def two(folder: Path) -> tuple[RecordedStudy, RecordedStudy]:
    laptop = add_study(folder, "laptop", [*spread(15), failed(15, POINTS[0])])
    server = [billed(dataclasses.replace(r, metrics=dict(r.metrics)), 0.5) for r in spread(15)[:6]]
    server[0].metrics["cv_rmse_ridge"] *= 1 + 1e-12  # type: ignore[index]
    return laptop, add_study(folder, "server", server, mode="remote")


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from strings(list(node.values()))
    elif isinstance(node, list | tuple):
        for item in node:
            yield from strings(item)


def test_every_figure_exists_and_is_valid_for_plotly(two: tuple[RecordedStudy, RecordedStudy]) -> None:
    from plotly.graph_objects import Figure

    found = charts(*two)
    declared = {match.group() for match in COLOUR.finditer(STYLE.read_text())}
    assert list(found) == [
        "rmse",
        "coverage",
        "differences",
        "history-trials",
        "history-time",
        "history-dollars",
        "trials",
        "importance",
        "parts",
        "dependence",
        "errors",
        "actual",
    ]
    for chart in found.values():
        assert bool(chart.plots) != bool(chart.grids), chart.key
        assert chart.sentence.endswith("."), chart.sentence
        assert not chart.missing
        for plot in chart.plots:
            for spec in (plot.spec, plot.narrow):
                if spec is not None:
                    json.dumps(spec, allow_nan=False)
                    Figure(_with_black(spec))  # raises on an unknown name or value
                    assert {text for text in strings(spec) if COLOUR.fullmatch(text)} <= declared


def test_studies_of_classes_have_a_figure_for_each_score_with_an_interval(folder: Path) -> None:
    from plotly.graph_objects import Figure

    studies = [
        add_study(folder, name, map(scored_classes, range(3), POINTS), mode=mode, objective="cv_logloss_blended")
        for name, mode in (("one", "local"), ("two", "sagemaker"))
    ]
    found = charts(*studies)
    assert list(found)[:4] == ["logloss", "auc", "coverage", "differences"]
    assert list(found)[-2:] == ["errors", "confusion"]
    assert found["logloss"].title == "Log loss of every member and of the blend"
    axis = found["coverage"].plots[0].spec["layout"]["xaxis"]
    assert axis["title"]["text"] == "share of the test rows that 90% sets of labels hold"
    assert "All blends have the same log loss, 0.5" in found["logloss"].sentence
    assert "All blends have the same AUC, 0.89" in found["auc"].sentence
    assert "ridge" not in found["auc"].sentence.split("its best member")[0]
    assert found["auc"].plots[0].spec["layout"]["xaxis"]["title"]["text"] == "CV AUC, right is better"
    for chart in found.values():
        for plot in chart.plots:
            Figure(_with_black(plot.spec))
    assert found["dependence"].plots[0].spec["layout"]["yaxis"]["title"]["text"] == "part, probability of yes"
    kept = studies[0].on_test_rows()
    assert kept is not None
    right = int((kept.decided() == kept.target).sum())
    assert f"local: an accuracy of {right / 7:.1%} and an AUC of" in found["confusion"].sentence
    grid = found["confusion"].grids[0]
    assert grid.names == ("no", "yes")
    counts = [int(cell.text) for row in grid.cells for cell in row]
    assert sum(counts) == 7
    assert counts[0] + counts[3] == right
    share = counts[1] / max(1, counts[0] + counts[1])
    assert (grid.cells[0][1].shade, grid.cells[0][1].title) == (share, f"no taken for yes: {share:.1%} of no")


def _with_black(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _with_black(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_with_black(item) for item in node]
    return "black" if isinstance(node, str) and COLOUR.fullmatch(node) else node


def test_sentences_are_made_from_the_numbers(two: tuple[RecordedStudy, RecordedStudy]) -> None:
    laptop, _ = two
    found = charts(*two)
    best = laptop.best
    assert best is not None
    value = best.metrics["cv_rmse_blended"]
    assert f"{value:.6g}" in found["rmse"].sentence
    numbers = sum(name.startswith(("cv_", "validation_")) for name in best.metrics) * 6
    assert f"{numbers - 1} of {numbers} numbers are equal to the bit" in found["differences"].sentence
    assert ", 1e-12, within the tolerance of 1e-09" in found["differences"].sentence
    assert f"local reached its best, {value:.6g}, after {best.index + 1} trials" in found["history-trials"].sentence
    assert "local cost nothing." in found["history-dollars"].sentence
    assert re.search(
        r"The best quarter .* agrees most on xgboost.eta: [\d.]+ to [\d.]+, where", found["trials"].sentence
    )
    assert "xgboost.eta in local" in found["importance"].sentence
    assert "xgboost and ridge in local" in found["errors"].sentence
    assert re.search(
        r"remote: RMSE [\d.]+ on 7 rows, the predictions vary \d+% as much as the actual values",
        found["actual"].sentence,
    )


def test_exact_numbers_are_counted_and_the_others_are_drawn(two: tuple[RecordedStudy, RecordedStudy]) -> None:
    (plot,) = charts(*two)["differences"].plots
    lane, rest = plot.spec["data"]
    assert sum(int(text) for text in lane["text"]) + 1 == sum(len(p.metrics) for p in compare_trials(two, 1e-9).pairs)
    assert rest["x"] == pytest.approx([-12.0], abs=0.01)
    assert plot.spec["layout"]["xaxis"]["ticktext"][0] == "exact"


def test_parallel_coordinates_draw_every_scored_trial_once(
    two: tuple[RecordedStudy, RecordedStudy],
) -> None:
    (plot,) = charts(*two)["trials"].plots
    assert plot.narrow is not None
    *traces, over = plot.spec["data"]
    assert over["x"] == []
    drawn = [trial for trace in traces for trial in dict.fromkeys(trace["customdata"])]
    assert sorted(drawn) == list(range(15 + 6))
    assert [len(set(trace["customdata"])) for trace in traces] == [14, 5, 1, 1]
    places = [place for trace in traces for place in trace["x"] if place is not None]
    assert (min(places), max(places)) == (0.0, 1.0)
    titles = ["xgboost.eta", "ridge.alpha", "cv_rmse_blended"]
    assert plot.spec["layout"]["yaxis"]["ticktext"] == titles
    above = [note["text"] for note in plot.narrow["layout"]["annotations"]]
    assert above[-3:] == titles


def test_a_bad_trial_does_not_flatten_the_history(folder: Path) -> None:
    trials = spread(9)
    bad = scored(9, {"xgboost__eta": 0.1, "ridge__alpha": 1.0}, shift=1e6)
    found = charts(add_study(folder, "laptop", [*trials, bad]), add_study(folder, "server", spread(9), mode="remote"))
    low, high = found["history-trials"].plots[0].spec["layout"]["yaxis"]["range"]
    assert 0 < high - low < 100


def test_the_line_of_the_best_so_far_has_steps_and_ends(two: tuple[RecordedStudy, RecordedStudy]) -> None:
    (plot,) = charts(*two)["history-trials"].plots
    _, line = plot.spec["data"][:2]
    values = [r.metrics["cv_rmse_blended"] for r in two[0].results if r.state == "complete"]
    running = np.minimum.accumulate(values)
    steps = [(place + 1, value) for place, value in enumerate(running) if place == 0 or value < running[place - 1]]
    assert list(zip(line["x"], line["y"], strict=True)) == [*steps, (16, running[-1])]


def test_only_the_largest_differences_and_the_best_trials_are_drawn(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, most in (
        ("differences", "_MOST_MARKS", 4),
        ("histories", "_MOST_DOTS", 8),
        ("coordinates", "_MOST_TRIALS", 8),
    ):
        monkeypatch.setattr(f"experiments.comparison.charts.{module}.{name}", most)
    laptop = add_study(folder, "laptop", spread(9))
    found = charts(laptop, add_study(folder, "server", spread(9, shift=1e-12), mode="remote"))
    _, rest = found["differences"].plots[0].spec["data"]
    assert len(rest["x"]) == 4
    assert rest["x"] == sorted(rest["x"], reverse=True)
    assert "Only the 4 largest differences of each study are drawn." in found["differences"].sentence
    assert len(found["history-trials"].plots[0].spec["data"][0]["x"]) == 3
    assert "Only the best 4 trials of each study are drawn." in found["trials"].sentence


def test_missing_files_of_a_study_are_reported(folder: Path) -> None:
    laptop = add_study(folder, "laptop", spread(6))
    server = add_study(folder, "server", spread(6), mode="remote")
    predictions_path(server.folder).write_bytes(predictions_path(server.folder).read_bytes()[:100])
    (laptop.folder / "final" / "output" / "data" / "out_of_fold.npz").unlink()
    found = charts(laptop, server)
    assert found["errors"].missing == (
        f"local: the winner's out-of-fold predictions are missing or incomplete: {laptop.out_of_fold_file}",
    )
    assert found["actual"].missing == (
        f"remote: the winner's predictions on the test rows are missing or incomplete: {server.test_file}",
    )
    assert len(found["errors"].grids) == len(found["actual"].plots) == 1


def test_a_figure_with_nothing_to_draw_gives_the_reason(folder: Path) -> None:
    bare = {"final": False, "members": ("xgboost",)}
    trial = dataclasses.replace(scored(0, {"xgboost__eta": 0.1}, members=("xgboost",)), params={})
    laptop = add_study(folder, "laptop", [trial], **bare)
    server = add_study(folder, "server", [trial], mode="remote", blend="weighted", **bare)
    found = charts(laptop, server)
    empty = ("differences", "history-dollars", "trials", "importance", "errors", "actual", "coverage", "parts")
    assert {key: chart.sentence for key, chart in found.items() if not chart.plots and not chart.grids} == {
        key: found[key].sentence for key in (*empty, "dependence")
    }
    assert found["trials"].sentence.startswith("Nothing was searched")
    assert found["differences"].sentence.startswith("No trial has numbers in two studies")


def test_a_member_that_never_errs_has_no_correlation(folder: Path) -> None:
    laptop = add_study(folder, "laptop", spread(3))
    path = laptop.folder / "final" / "output" / "data" / "out_of_fold.npz"
    kept = Predictions.read(path)
    members = np.column_stack([kept.target, kept.members[:, 1]])
    dataclasses.replace(kept, members=members).write(path)
    (grid, _) = charts(laptop, add_study(folder, "server", spread(3), mode="remote"))["errors"].grids
    assert (grid.cells[0][1].text, grid.cells[0][1].shade) == ("-", 0.0)


def test_only_the_most_important_of_many_parameters_are_drawn(folder: Path) -> None:
    random = np.random.RandomState(0)
    more = ("alpha", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "gamma", "huber_slope", "lambda")
    names = [f"xgboost__{name}" for name in (*more, "subsample", "max_delta_step", "min_child_weight")]
    trials = [
        dataclasses.replace(one, params={**{name: float(random.uniform(0.1, 1)) for name in names}, **one.params})
        for one in spread(15)
    ]
    trials = [dataclasses.replace(one, params={**one.params, "xgboost__tweedie_variance_power": 1.5}) for one in trials]
    chart = charts(add_study(folder, "laptop", trials), add_study(folder, "server", trials, mode="remote"))["trials"]
    names = chart.plots[0].spec["layout"]["yaxis"]["ticktext"]
    assert len(names) == 12 + 1
    assert {"xgboost.eta", "ridge.alpha", "cv_rmse_blended"} <= set(names)
    assert chart.sentence.endswith("The most important 12 of 13 parameters are drawn.")


def test_only_the_most_confused_of_many_classes_are_shown() -> None:
    counts = np.diag(np.full(30, 5))
    counts[3, 28] = 2
    chosen = _most_confused(counts)
    assert len(chosen) == 20
    assert {3, 28} <= set(chosen)
    assert chosen == sorted(chosen)


def test_choices_and_missing_parameters_are_drawn(folder: Path) -> None:
    trials = [
        dataclasses.replace(scored(index, POINTS[index]), params={**POINTS[index], "xgboost__grow_policy": method})
        for index, method in enumerate(("depthwise", "lossguide", "depthwise"))
    ]
    laptop = add_study(folder, "laptop", trials)
    server = add_study(folder, "server", [scored(0, POINTS[0])], mode="remote")
    (plot,) = charts(laptop, server)["trials"].plots
    notes = [note["text"] for note in plot.spec["layout"]["annotations"]]
    assert {"depthwise", "lossguide"} <= set(notes)
    assert plot.spec["layout"]["yaxis"]["ticktext"][2] == "xgboost.grow_policy"
    # The line of a trial without that parameter skips its axis.
    (lone,) = [trace for trace in plot.spec["data"][:-1] if len(set(trace["customdata"])) == 1 and len(trace["y"]) == 4]
    assert lone["y"] == [0, 1, 3, None]
    assert len(lone["customdata"]) == 4


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([1, 8], False, {0.0: "1", 3 / 7: "4", 1.0: "8"}),
        ([5, 6], False, {0.0: "5", 1.0: "6"}),
        ([1, 16], True, {0.0: "1", 0.5: "4", 1.0: "16"}),
        ([1.0, 2.0], False, {0.0: "1", 0.5: "1.5", 1.0: "2"}),
    ],
)
def test_ticks_of_integers_are_integers(values: list[float], log: bool, ticks: dict[float, str]) -> None:
    found = sorted(make_axis("x", values, log=log).ticks.items())
    assert [text for _, text in found] == list(ticks.values())
    assert [place for place, _ in found] == pytest.approx(list(ticks))


def test_the_finding_on_good_trials_counts_each_trial_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = spread(12)
    laptop = add_study(folder, "laptop", trials)
    best = sorted(trials, key=lambda result: result.metrics["cv_rmse_blended"])
    again = add_study(folder, "again", [dataclasses.replace(best[0], index=0)], mode="remote")
    sentence = charts(laptop, again)["trials"].sentence
    etas = [float(result.params["xgboost__eta"]) for result in best]
    assert (
        f"{min(etas[:3]):.4g} to {max(etas[:3]):.4g}, where {min(etas):.4g} to {max(etas):.4g} were tried" in sentence
    )
    monkeypatch.setattr("experiments.comparison.charts.coordinates._MOST_TRIALS", 8)
    assert sentence.removesuffix(".") in charts(laptop, again)["trials"].sentence


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2.2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_contrast_with_their_background(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    colours = dict(re.findall(r"(--[a-z]+(?:-[a-z0-9]+)?): (#[0-9a-f]{6})", blocks[scheme]))
    for name in (*SERIES, "--pass", "--fail", "--open"):
        assert contrast(colours[name], colours["--paper"]) >= 3, name  # of graphical objects
    for name in ("--ink", "--soft", "--pass", "--fail", "--open"):
        assert contrast(colours[name], colours["--paper"]) >= 4.5, name  # of text
        assert contrast(colours[name], colours["--page"]) >= 4.5, name
    for name in ("--pass", "--fail", "--open"):
        assert contrast(colours[name], colours[f"{name}-paper"]) >= 4.5, name


def test_no_two_of_many_studies_look_alike() -> None:
    looks = [(marker(place)["color"], marker(place)["symbol"], line(place)["dash"]) for place in range(40)]
    assert len(set(looks)) == 40
    assert len({(marker(place)["symbol"], line(place)["dash"]) for place in range(30)}) == 30
    assert all(glyph(place).path and glyph(place).dashes for place in range(40))


def test_the_parts_of_predictions_are_drawn_from_the_explained_rows(two: tuple[RecordedStudy, RecordedStudy]) -> None:
    rows = two[1].explained_rows()
    assert rows is not None
    found = charts(*two)
    _, bars = found["parts"].plots[0].spec["data"]
    sizes = {column.name: size for column, size in zip(rows.columns, rows.sizes, strict=True)}
    shown = [found["parts"].plots[0].spec["layout"]["yaxis"]["ticktext"][row] for row in bars["y"]]
    assert dict(zip(shown, bars["x"], strict=True)) == pytest.approx(sizes, rel=1e-5)
    assert [plot.series for plot in found["dependence"].plots] == [0, 0, 0, 1, 1, 1]
    width, town, garden = (plot.spec["data"][0] for plot in found["dependence"].plots[3:])
    known = ~np.isnan(rows.values[:, 0])
    assert known.sum() == 6
    assert np.allclose(width["x"], rows.values[known, 0], rtol=1e-5)
    assert np.allclose(width["y"], rows.parts[known, 0], rtol=1e-5)
    assert set(town["x"]) <= {"a&lt;b", "c"}
    assert set(garden["x"]) <= {"true", "false"}
    assert "laptop" in found["coverage"].sentence or "local holds 85.7%, which may be 90%" in found["coverage"].sentence
    (two[0].folder / "final" / "explained_rows.npz").write_bytes(b"PK garbage")
    (two[1].folder / "final" / "explained_rows.npz").unlink()
    found = charts(*two)
    assert not found["parts"].plots
    assert "No winner has rows that were explained" in found["dependence"].sentence
