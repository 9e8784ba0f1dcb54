"""The verdict in words: whether the ensemble pays, and the interval that decides it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.text import Text

from ensemble.evaluation import SCORES
from experiments.reporting.console import dollars, duration
from experiments.reporting.score_names import shown
from experiments.study.baseline import CATBOOST
from experiments.study.fold_intervals import Interval
from experiments.study.more_trials import Outlook
from experiments.study.spec import TrialResult
from experiments.study.verdict import (
    Verdict,
    best_single_member,
    decisive_score,
    lift_over_baseline,
    lift_over_best_member,
    verdict,
)

_SHOWN: dict[Verdict, tuple[str, str]] = {
    "pays": ("The ensemble pays", "green"),
    "costs": ("The ensemble costs", "red"),
    "undecided": ("Undecided", "yellow"),
}


def verdict_text(final: TrialResult, results: Sequence[TrialResult], members: Sequence[str], objective: str) -> Text:
    """Return the verdict as one sentence.

    Args:
        final: The winner.
        results: Every finished trial of its study.
        members: Names of the members.
        objective: The metric that the study optimised.
    """
    best = best_single_member(results, members, decisive_score(objective, [final, *results]))
    lift = lift_over_best_member(final, best, members)
    if lift is None:
        return Text("The ensemble has one member, so there is no blend to compare.")
    decision = verdict(lift)
    conclusion, style = _SHOWN[decision]
    tail = ", which includes zero" if decision == "undecided" else ""
    return Text(
        f"{conclusion}: on average over the folds, the blend's {shown(best.metric)} is "
        f"{below_or_above(lift.mean, best.metric)} that of the best single member ({best.name} in trial "
        f"{best.trial.index}, {best.score:.6g}); 95% interval {span(lift, best.metric)}{tail}.",
        style=style,
    )


def baseline_text(
    final: TrialResult, results: Sequence[TrialResult], baseline: TrialResult | None, objective: str
) -> Text | None:
    """Return in one sentence how the blend compares with plain CatBoost; None if that has no score.

    Args:
        final: The winner.
        results: Every finished trial of its study.
        baseline: Scores of plain CatBoost on the same folds, if it was trained.
        objective: The metric that the study optimised.
    """
    score = decisive_score(objective, [final, *results])
    lift = lift_over_baseline(final, baseline, score)
    if baseline is None or lift is None:
        return None
    decision = verdict(lift)
    tail = ", which includes zero" if decision == "undecided" else ""
    return Text(
        f"Plain CatBoost, with its own defaults on the same folds: "
        f"{baseline.metrics[f'cv_{score}_{CATBOOST}']:.6g}. The blend's {shown(score)} is "
        f"{below_or_above(lift.mean, score)} that; 95% interval {span(lift, score)}{tail}.",
        style=_SHOWN[decision][1],
    )


def outlook_text(found: Outlook, parallel: int) -> str:
    """Return in one sentence what further trials may bring and what they take.

    Args:
        found: What they may bring.
        parallel: How many trials run at a time.
    """
    advice = "may be worth it" if found.is_worth else "are hardly worth it"
    takes = duration(found.seconds * found.trials / parallel)
    takes += "" if found.usd is None else f" and {dollars(found.usd * found.trials)}"
    share = f", {found.gain / abs(found.best):.1%}" if found.best else ""
    return (
        f"{found.trials} more trials {advice}: judged by those so far, they improve the objective by "
        f"{digits(found.gain)}{share} on average (95% interval {digits(found.low)} to {digits(found.high)}), with a "
        f"chance of {found.chance:.0%} to improve it at all. They take about {takes}."
    )


def digits(value: float) -> str:
    """Return a number with three digits and without an exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, unique=False, trim="-")


def span(interval: Interval, score: str) -> str:
    """Return the ends of a lift's interval in words, the better end first, such as ``0.3 below to 0.1 above``."""
    return f"{below_or_above(interval.high, score)} to {below_or_above(interval.low, score)}"


def below_or_above(lift: float, score: str) -> str:
    """Return a lift in words, with three digits; a positive one is below, or above for a score that is maximised."""
    return f"{digits(abs(lift))} {'below' if (lift >= 0) is not SCORES[score].maximised else 'above'}"
