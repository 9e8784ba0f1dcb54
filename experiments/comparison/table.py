"""The comparison as rows of text with one column for each study, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED
from experiments.comparison.measures import SPLITS, Measures, blend_title, lift_between_winners
from experiments.reporting.console import dollars, duration
from experiments.reporting.score_names import shown
from experiments.study.baseline import CATBOOST, MEAN
from experiments.study.coverage import Coverage, coverage_of
from experiments.study.fold_intervals import Interval
from experiments.study.more_trials import Outlook
from experiments.study.serving_cost import ServingCost
from experiments.study.verdict import verdict

NOTHING = "-"


@dataclass(frozen=True)
class Row:
    """One measure of every study.

    Attributes:
        title: The row's title.
        cells: One text for each study; empty for a heading.
        best: Indices of the best cells.
    """

    title: str
    cells: tuple[str, ...] = ()
    best: frozenset[int] = frozenset()


def comparison_rows(measures: Sequence[Measures]) -> list[Row]:
    """Return the rows of the table, without its header."""
    rows = [
        _row("study", measures, lambda one: one.study.name),
        _row("state", measures, state),
        _row("trials", measures, lambda one: str(len(one.study.results))),
        _row("failed", measures, lambda one: str(one.count("failed"))),
    ]
    if any(one.count("pruned") for one in measures):
        rows.append(_row("pruned", measures, lambda one: str(one.count("pruned"))))
    rows += [
        Row("cost"),
        _row("wall time", measures, lambda one: duration(one.seconds)),
        _row("trials/minute", measures, lambda one: _number(one.trials_per_minute, "{:.3g}")),
    ]
    if any(one.billed is not None or one.usd is not None for one in measures):
        rows.append(_row("billed", measures, lambda one: "nothing" if one.billed is None else duration(one.billed)))
        rows.append(_row("dollars", measures, spent))
    rows += _outlooks(measures)
    names = list(dict.fromkeys(name for one in measures for name in one.names))
    names.sort(key=lambda name: name == BLENDED)
    for score in dict.fromkeys(score for one in measures for score in one.shown_scores):
        for split in SPLITS:
            found = [_scores(measures, split, score, name) for name in names]
            if any(cell != NOTHING for row in found for cell in row.cells):
                has_interval = split == "cv" and any(one.interval(name, score) for one in measures for name in names)
                title = f"{'CV' if split == 'cv' else split} {shown(score)}"
                rows += [Row(f"{title} (95%)" if has_interval else title), *found]
    rows += [*_coverage(measures), *_serving(measures)]
    rows += [
        Row(_verdict_title(measures)),
        _row("best single member", measures, _best_member),
        _row("blend minus best member", measures, lambda one: _spread(one.lift)),
        _row(
            "the ensemble",
            measures,
            lambda one: NOTHING if one.lift is None else verdict(one.lift, one.decisive),
        ),
        *_baselines(measures),
        _row(f"blend minus {measures[0].label}'s", measures, lambda one: _against(measures[0], one)),
    ]
    return _without_empty(rows)


def _without_empty(rows: Sequence[Row]) -> list[Row]:
    """Return the rows without those that have nothing for any study, and without headings of no row."""
    known = [row for row in rows if not row.cells or any(cell != NOTHING for cell in row.cells)]
    return [row for row, after in zip(known, [*known[1:], Row("")], strict=True) if row.cells or after.cells]


def _verdict_title(measures: Sequence[Measures]) -> str:
    """Return the heading of the verdicts, with the score that they are on if it is not the main one."""
    other = dict.fromkeys(one.decisive for one in measures if one.decisive != one.study.main_score)
    return f"does it pay? ({', '.join(map(shown, other))})" if other else "does it pay?"


def spent(one: Measures) -> str:
    """Return what a study cost, as text."""
    if one.usd is not None:
        least = "at least " if one.unpriced else ""
        return f"{least}{dollars(one.usd)}"
    return "none" if one.billed is None else "price not known"


def _row(title: str, measures: Sequence[Measures], cell: Callable[[Measures], str]) -> Row:
    return Row(title, tuple(cell(one) for one in measures))


def state(one: Measures) -> str:
    """Return whether a study is finished, or why it is not."""
    if one.study.running:
        return "still running"
    if one.study.time_limit is not None and one.study.final is not None:
        return f"finished by search.timeout={one.study.time_limit:g}"
    if one.study.unfinished:
        return f"interrupted, {one.study.unfinished} unfinished"
    return "finished" if one.study.final is not None else "winner not trained"


def _scores(measures: Sequence[Measures], split: str, score: str, name: str) -> Row:
    values = [one.score(split, score, name) for one in measures]
    known = [value for value in values if value is not None]
    best = (max if MetricName(split, score, name).maximised else min)(known, default=None)
    winners = {place for place, value in enumerate(values) if value is not None and value == best}
    cells = []
    for one, value in zip(measures, values, strict=True):
        text = _number(value, "{:.6g}")
        interval = one.interval(name, score) if split == "cv" and value is not None else None
        cells.append(
            text if interval is None else f"{text} ({_digits(interval.low, 4)} to {_digits(interval.high, 4)})"
        )
    one_data = len({one.study.data_hash for one in measures}) == 1
    title = blend_title(measures) if name == BLENDED else name
    return Row(title, tuple(cells), frozenset(winners if one_data and len(winners) < len(known) else ()))


def _outlooks(measures: Sequence[Measures]) -> list[Row]:
    found = [one.outlook for one in measures]
    known = next((one for one in found if one is not None), None)
    if known is None:
        return []
    return [
        _row(f"gain of {known.trials} more trials", measures, lambda one: _gain(one.outlook)),
        _row(
            "chance of any gain", measures, lambda one: NOTHING if one.outlook is None else f"{one.outlook.chance:.0%}"
        ),
    ]


def _gain(outlook: Outlook | None) -> str:
    return (
        NOTHING
        if outlook is None
        else f"{_digits(outlook.gain, 3)} ({_digits(outlook.low, 3)} to {_digits(outlook.high, 3)})"
    )


def _coverage(measures: Sequence[Measures]) -> list[Row]:
    found = [None if one.study.final is None else coverage_of(one.study.final.info) for one in measures]
    known = [one for one in found if one is not None]
    if not known:
        return []

    def row(title: str, text: Callable[[Coverage], str]) -> Row:
        return Row(title, tuple(NOTHING if one is None else text(one) for one in found))

    return [
        Row(f"{known[0].level:.0%} intervals"),
        row("hold of the test rows (95%)", lambda one: f"{one.share:.1%} ({one.low:.1%} to {one.high:.1%})"),
        row("mean width, or labels in a set", lambda one: _digits(one.size, 4)),
    ]


def _serving(measures: Sequence[Measures]) -> list[Row]:
    costs = [None if one.study.final is None else one.study.serving_cost for one in measures]
    if not any(costs):
        return []

    def row(title: str, value: Callable[[ServingCost], float]) -> Row:
        return Row(title, tuple(NOTHING if cost is None else _digits(value(cost), 3) for cost in costs))

    return [
        Row("the served model"),
        row("ms for one row", lambda cost: cost.one_row_ms),
        row("ms a row among many", lambda cost: cost.bulk_row_ms),
        row("MB", lambda cost: cost.megabytes),
    ]


def _baselines(measures: Sequence[Measures]) -> list[Row]:
    def naive(one: Measures, *, wanted: bool) -> str:
        return _number(one.baseline(MEAN), "{:.6g}") if bool(one.study.classes) is wanted else NOTHING

    rows = [
        _row("plain CatBoost", measures, lambda one: _number(one.baseline(CATBOOST), "{:.6g}")),
        _row("blend minus plain CatBoost", measures, lambda one: _spread(one.lift_over_baseline)),
        _row("mean of the target", measures, lambda one: naive(one, wanted=False)),
        _row("class frequencies", measures, lambda one: naive(one, wanted=True)),
    ]
    return [row for row in rows if any(cell != NOTHING for cell in row.cells)]


def _best_member(one: Measures) -> str:
    return NOTHING if one.best_member is None else f"{one.best_member.name} {one.best_member.score:.6g}"


def _against(first: Measures, one: Measures) -> str:
    if one is first:
        return NOTHING
    apart = lift_between_winners(one, first)
    if apart is None:
        return "different folds"
    if not apart.value and apart.low == apart.high:
        return "equal"
    return _spread(apart)


def _spread(lift: Interval | None) -> str:
    """Return a difference of scores with half the width of its interval."""
    if lift is None:
        return NOTHING
    sign = "+" if lift.value >= 0 else ""
    return f"{sign}{_digits(lift.value + 0.0, 3)} ± {_digits((lift.high - lift.low) / 2, 3)}"


def _digits(value: float, digits: int) -> str:
    """Return a number with this many digits and without an exponent."""
    return np.format_float_positional(value, digits, fractional=False, unique=False, trim="k").rstrip(".")


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)
