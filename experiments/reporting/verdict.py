"""The verdict in words: whether the ensemble pays, the interval that decides it, and what would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.text import Text

from ensemble.evaluation import SCORES
from ensemble.recipe import BLENDED
from experiments.errors import listed
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
    gap_on_test_rows,
    lift_over_baseline,
    lift_over_best_member,
    repeats_to_decide,
    verdict,
)

_SHOWN: dict[Verdict, tuple[str, str]] = {
    "pays": ("The ensemble pays", "green"),
    "costs": ("The ensemble costs", "red"),
    "undecided": ("Undecided", "yellow"),
}
# Folds of a division that cannot be repeated, up to which more of them are proposed.
_MOST_FOLDS = 10
# The share of the main score by which a blend may be worse without a member that it does not need.
_SPARE = 0.002


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
    decision = verdict(lift, best.metric)
    conclusion, style = _SHOWN[decision]
    if not lift.value and not lift.low:
        return Text(
            f"{conclusion}: the blend is as good as the best single member ({best.name} in trial {best.trial.index}, "
            f"{best.score:.6g}); their CV {shown(best.metric)} is the same on every fold.",
            style=style,
        )
    return Text(
        f"{conclusion}: the blend's CV {shown(best.metric)} is {below_or_above(lift.value)} that of the best "
        f"single member ({best.name} in trial {best.trial.index}, {best.score:.6g}); {interval_text(lift)}.",
        style=style,
    )


def next_step_text(
    final: TrialResult,
    results: Sequence[TrialResult],
    members: Sequence[str],
    objective: str,
    rises: Mapping[str, float],
    ahead: Outlook | None,
) -> str | None:
    """Return in one sentence what would decide an undecided verdict, or what is simpler; None if the ensemble pays.

    Args:
        final: The winner.
        results: Every finished trial of its study.
        members: Names of the members.
        objective: The metric that the study optimised.
        rises: By member, the rise of the blend's main score without it; empty if it is not known.
        ahead: What more trials may bring; None if that is not known.
    """
    best = best_single_member(results, members, decisive_score(objective, [final, *results]))
    lift = lift_over_best_member(final, best, members)
    decision = None if lift is None else verdict(lift, best.metric)
    alone = f"take the simpler model, ensemble.members=[{best.name}]"
    if decision == "costs":
        return f"Next step: {alone}."
    if lift is None or decision != "undecided":
        return None
    steps = [*_more_folds(final, lift)]
    if any(result.info.get("left_out") for result in results):
        steps.insert(0, "allow the members that were left out their time, with a longer search.timeout")
    if ahead is not None and ahead.is_worth:
        steps.append(f"run more trials, search.n_trials={len(results) + ahead.trials}")
    is_better = (lift.value > 0) is SCORES[best.metric].maximised
    steps += _without_spare(final, members, rises) if is_better else [alone]
    if steps == [alone] or not steps:
        return f"More folds would hardly decide it. Next step: {alone}."
    return f"Next step: {'; or '.join(steps)}."


def _without_spare(final: TrialResult, members: Sequence[str], rises: Mapping[str, float]) -> list[str]:
    """Return which members to drop: all without weight, or the one whose lack makes the blend hardly worse."""
    weights = final.info.get("weights", {})
    spare, why = [name for name in members if round(weights.get(name, 1.0), 3) == 0], "without weight"
    if not spare:
        known = {name: rise for name, rise in rises.items() if name in members and np.isfinite(rise)}
        most = _SPARE * (final.main("cv", BLENDED) or 0.0)
        spare = sorted((name for name in known if known[name] <= most), key=lambda name: known[name])[:1]
        why = "without which the blend is hardly worse"
    rest = ",".join(name for name in members if name not in spare)
    return [f"drop {listed(spare)}, {why}, ensemble.members=[{rest}]"] if spare and len(members) > 2 else []


def _more_folds(final: TrialResult, lift: Interval) -> list[str]:
    folds = final.info.get("recipe", {}).get("folds", {})
    kind, k, repeats = folds.get("kind", "kfold"), int(folds.get("k", 5)), int(folds.get("repeats", 1))
    if kind not in ("kfold", "repeated"):
        return [f"use more folds, dataset.folds.k={_MOST_FOLDS}"] if k < _MOST_FOLDS else []
    needed = repeats_to_decide(lift, k, repeats)
    if needed is None:
        return []
    how = f"dataset.folds.kind=repeated dataset.folds.repeats={needed}"
    return [f"repeat the folds, {how}, which decides it if the difference stays"]


def baseline_text(
    final: TrialResult,
    results: Sequence[TrialResult],
    members: Sequence[str],
    objective: str,
    baseline: TrialResult | None,
) -> Text | None:
    """Return in one sentence how the winner compares with plain CatBoost; None if that has no score.

    Args:
        final: The winner.
        results: Every finished trial of its study.
        members: Names of the members.
        objective: The metric that the study optimised.
        baseline: Scores of plain CatBoost on the same folds, if it was trained.
    """
    score = decisive_score(objective, [final, *results])
    lift = lift_over_baseline(final, baseline, score)
    if baseline is None or lift is None:
        return None
    who = "The blend" if len(members) > 1 else members[0]
    return Text(
        f"Plain CatBoost, with its own defaults on the same folds: "
        f"{baseline.metrics[f'cv_{score}_{CATBOOST}']:.6g}. {who}'s CV {shown(score)} is "
        f"{below_or_above(lift.value)} that; {interval_text(lift)}.",
        style=_SHOWN[verdict(lift, score)][1],
    )


def gap_text(final: TrialResult) -> str | None:
    """Return in one sentence that the test score is far from that in cross-validation; None if it is not."""
    gap = gap_on_test_rows(final)
    if gap is None:
        return None
    score, side = final.main_score, "above" if gap.share > 0 else "below"
    worse = (gap.share > 0) is not SCORES[score].maximised
    advice = (
        "If the test rows are later than the others, or of other groups, divide the folds likewise: "
        "dataset.folds.kind=time or group."
        if worse
        else "The test rows are easier than the others, so expect the CV score for new rows."
    )
    return (
        f"The test {shown(score)} is {abs(gap.share):.0%} {side} that in cross-validation, {gap.errors:.1f} times the "
        f"standard error that the folds tell. {advice}"
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


def interval_text(difference: Interval) -> str:
    """Return the interval of a difference in words, and whether it includes zero."""
    tail = ", which includes zero" if difference.low <= 0 <= difference.high else ""
    return f"95% interval {below_or_above(difference.low)} to {below_or_above(difference.high)}{tail}"


def below_or_above(difference: float) -> str:
    """Return a difference in words, with three digits; a negative one is below."""
    return f"{digits(abs(difference))} {'below' if difference <= 0 else 'above'}"
