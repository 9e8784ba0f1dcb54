"""What the page answers first, in a short sentence each: which search is better, whether trials agree, what pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ensemble.evaluation import MetricName
from experiments.comparison.findings import what_parity_means, which_search
from experiments.comparison.measures import Measures, lift_between_winners
from experiments.comparison.parity import Parity, Verdict
from experiments.reporting.score_names import shown
from experiments.reporting.verdict import below_or_above, digits
from experiments.study.verdict import verdict

Tone = Literal["pass", "fail", "open"]
_PARITY: dict[Verdict, tuple[str, Tone]] = {
    "PASS": ("The same trials gave the same numbers.", "pass"),
    "FAIL": ("The same trials gave different numbers.", "fail"),
    "NOT COMPARABLE": ("No trial ran in two studies, so their numbers cannot be checked.", "open"),
}
_PAYS: dict[str, tuple[str, Tone]] = {
    "pays": ("The ensemble pays", "pass"),
    "costs": ("The ensemble costs", "fail"),
    "undecided": ("Undecided", "open"),
}


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        sentence: A short sentence.
        tone: Its colour.
        details: Sentences with the numbers behind it.
    """

    sentence: str
    tone: Tone
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pays:
    """Whether the ensemble of a study pays.

    Attributes:
        place: Index of the study.
        verdict: Two or three words.
        tone: Its colour.
        reason: By how much the blend and its best member differ; empty if the verdict says all.
        interval: The 95% interval of that; empty if there is none.
    """

    place: int
    verdict: str
    tone: Tone
    reason: str = ""
    interval: str = ""


def answers(measures: Sequence[Measures], parity: Parity) -> list[Answer]:
    """Return which search is better and whether the same trials agree, the one that was asked for first.

    Trials that differ, and studies that ran given points, are about parity.
    """
    better, same = _better(measures), _same(parity)
    if sum(one.study.searched for one in measures) < 2:
        return [same]
    asked = parity.verdict == "FAIL" or not all(one.study.searched for one in measures)
    return [same, better] if asked else [better, same]


def _better(measures: Sequence[Measures]) -> Answer:
    details = (which_search(measures),)
    found = [one for one in measures if one.study.searched and one.best is not None]
    if len(found) < 2 or len({one.study.data_hash for one in found}) > 1:
        return Answer("There are no two searches to compare.", "open", details)
    metric = MetricName.parse(measures[0].metric)
    sign = -1.0 if metric.maximised else 1.0
    best, second = sorted(found, key=lambda one: sign * _best_value(one))[:2]
    apart = lift_between_winners(second, best)
    if apart is None:
        word = "higher" if metric.maximised else "lower"
        return Answer(f"{best.label} has the {word} {shown(metric.score)}.", "open", details)
    if not apart.mean and not apart.low:
        return Answer(f"{best.label} and {second.label} found equally good ensembles.", "open", details)
    if apart.low > 0:
        by = f"{digits(apart.mean)} lower {shown(best.study.main_score)}"
        return Answer(f"{best.label} found the better ensemble: {by}.", "pass", details)
    return Answer(f"Undecided: {best.label} is ahead of {second.label}, perhaps by chance.", "open", details)


def _best_value(one: Measures) -> float:
    return [point.best for point in one.by_trial if point.best is not None][-1]


def _same(parity: Parity) -> Answer:
    sentence, tone = _PARITY[parity.verdict]
    if parity.verdict == "NOT COMPARABLE" and parity.pairs:
        sentence = "Not every study has a trial that ran in another one."
    # If all numbers are exact, the sentence about what parity means says so.
    exact = parity.verdict == "PASS" and parity.exact == len(parity.pairs)
    exactness = [f"{parity.exactness}."] if parity.pairs and not exact else []
    return Answer(sentence, tone, (f"{parity.line}.", what_parity_means(parity), *exactness, *parity.details()))


def does_it_pay(measures: Sequence[Measures]) -> list[Pays]:
    """Return for each study whether its ensemble pays."""
    return [_pays(place, one) for place, one in enumerate(measures)]


def _pays(place: int, one: Measures) -> Pays:
    if one.best is None:
        return Pays(place, "No winner yet", "open")
    if one.lift is None or one.best_member is None:
        return Pays(place, "One member, so nothing is blended", "open")
    words, tone = _PAYS[verdict(one.lift)]
    reason = f"{shown(one.study.main_score)} {below_or_above(one.lift.mean)} its best member, {one.best_member.name}"
    interval = f"95%: {below_or_above(one.lift.high)} to {below_or_above(one.lift.low)}"
    return Pays(place, words, tone, reason, interval)
