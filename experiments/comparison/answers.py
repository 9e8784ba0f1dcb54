"""What the page answers first, in a short sentence each: which study is better, whether trials agree, what pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from experiments.comparison.findings import different, rank, what_parity_means, which_is_better
from experiments.comparison.measures import Measures, lift_between_winners
from experiments.comparison.parity import Parity, Verdict
from experiments.reporting.score_names import shown
from experiments.reporting.verdict import below_or_above
from experiments.study.verdict import verdict

Tone = Literal["pass", "fail", "open"]
_PARITY: dict[Verdict, tuple[str, Tone]] = {
    "PASS": ("The same trials gave the same numbers.", "pass"),
    "FAIL": ("The same trials gave different numbers.", "fail"),
    "NOT COMPARABLE": ("No trial ran in two studies, so their numbers cannot be checked.", "open"),
    "NOT CHECKED": ("No trial ran in two studies.", "open"),
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
    """Return which study is better and whether the same trials agree, the one that was asked for first.

    Trials that differ, and replays, are about parity.
    """
    better, same = _better(measures), _same(parity)
    if len(different(measures)) < 2:
        return [same]
    if parity.verdict == "NOT CHECKED":
        return [replace(better, details=(*better.details, *same.details))]
    asked = parity.verdict in ("FAIL", "NOT COMPARABLE") or any(one.study.replay_of for one in measures)
    return [same, better] if asked else [better, same]


def _better(measures: Sequence[Measures]) -> Answer:
    details = (which_is_better(measures),)
    found = different(measures)
    if len(found) < 2 or len({one.study.data_hash for one in found}) > 1:
        return Answer("There are no two ensembles to compare.", "open", details)
    best, second = sorted(found, key=rank)[:2]
    apart = lift_between_winners(best, second)
    if apart is None:
        return Answer(f"{best.label} has the better {best.metric}; its folds differ.", "open", details)
    if not apart.value and not apart.low:
        return Answer(f"{best.label} and {second.label} are equally good.", "open", details)
    if apart.low <= 0 <= apart.high:
        return Answer(f"Undecided: {best.label} is ahead of {second.label}, perhaps by chance.", "open", details)
    by = f"its CV {shown(best.decisive)} is {below_or_above(apart.value)}"
    return Answer(f"{best.label} is better than {second.label}: {by}.", "pass", details)


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
    words, tone = _PAYS[verdict(one.lift, one.decisive)]
    if not one.lift.value and not one.lift.low:
        name = one.best_member.name
        return Pays(place, words, tone, f"CV {shown(one.decisive)} as its best member, {name}, on every fold")
    reason = f"CV {shown(one.decisive)} {below_or_above(one.lift.value)} its best member, {one.best_member.name}"
    interval = f"95%: {below_or_above(one.lift.low)} to {below_or_above(one.lift.high)}"
    return Pays(place, words, tone, reason, interval)
