"""The findings of a comparison: sentences made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ensemble.evaluation import MetricName
from ensemble.recipe import BLENDED
from experiments.comparison.charts.plot import enumerated
from experiments.comparison.measures import Measures, lift_between_winners
from experiments.comparison.parity import Parity
from experiments.reporting.score_names import shown
from experiments.reporting.verdict import below_or_above, interval_text

_MOST_SHOWN = 20


def which_is_better(measures: Sequence[Measures]) -> str:
    """Return which study found the better ensemble, by how much, and whether the interval decides it."""
    found = different(measures)
    if len(found) < 2:
        return _nothing_to_compare(measures, found)
    if len({one.study.data_hash for one in found}) > 1:
        return "The studies ran on different data, so their scores cannot be compared."
    best, second = sorted(found, key=rank)[:2]
    name, values = shown(best.decisive), f"{_value(best):.6g} against {_value(second):.6g}"
    apart = lift_between_winners(best, second)
    leads = f"{best.label} has the better {best.metric}, {values} in {second.label}."
    if apart is None:
        return f"{leads} Their folds differ, so there is no interval."
    if not apart.value and not apart.low:
        return f"{best.label} and {second.label} are equally good: their {name} is the same on every fold."
    side = below_or_above(apart.value)
    if best.metric != f"cv_{best.decisive}_{BLENDED}":
        return f"{leads} Its CV {name} is {side} the other's; {interval_text(apart)}."
    decided = "is ahead, but that may be chance" if apart.low <= 0 <= apart.high else "is better"
    return f"{best.label} {decided}: its CV {name} is {side} that of {second.label} ({values}); {interval_text(apart)}."


def _nothing_to_compare(measures: Sequence[Measures], found: Sequence[Measures]) -> str:
    if not found:
        return "No study has a score yet, so there is nothing to compare."
    same = [one.label for one in measures if one not in found and one.best is not None]
    if not same:
        return f"Only {found[0].label} has a score, so there is nothing to compare."
    return f"{enumerated(same)} ran points of {found[0].label} again, so there are no two ensembles to compare."


def different(measures: Sequence[Measures]) -> list[Measures]:
    """Return the studies with a score, without those that ran the points of another of them again."""
    scored = {one.study.name: one for one in measures if one.best is not None}
    origins: dict[str, Measures] = {}
    for one in scored.values():
        origin = one.study.replay_of or one.study.name
        origins.setdefault(origin, scored.get(origin, one))
    return list(origins.values())


def what_parity_means(parity: Parity) -> str:
    """Return the verdict in a sentence."""
    pairs = len(parity.pairs)
    counted = f"{pairs} pair{'' if pairs == 1 else 's'} of trials"
    if parity.verdict == "PASS" and parity.exact == pairs:
        return f"All numbers of the paired trials are equal to the bit ({counted})."
    if parity.verdict == "PASS":
        return (
            f"All numbers of the paired trials are equal ({counted}): {parity.exact} to the bit, the others within "
            f"{parity.tolerance:g} of the larger number."
        )
    if parity.verdict == "FAIL":
        return f"The numbers of {len(parity.unequal)} of {counted} are not equal."
    names = " or ".join(study.name for study in parity.without_pair)
    rest = f" Of the other studies, {parity.equal} of {counted} are equal." if pairs else ""
    return f"No trial of {names} ran in another study, so its numbers cannot be checked.{rest}"


def describe_unpaired(parity: Parity) -> list[str]:
    """Return which trials have no pair and why: one line for each study and reason."""
    trials: dict[tuple[str, str], list[int]] = {}
    for one in parity.unpaired:
        trials.setdefault((one.trial.study.name, one.reason), []).append(one.trial.result.index)
    lines = []
    for (study, reason), found in trials.items():
        shown = ", ".join(map(str, found[:_MOST_SHOWN]))
        more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        lines.append(f"trial{'s' if len(found) > 1 else ''} {shown}{more} of {study}: {reason}")
    return lines


def _value(one: Measures) -> float:
    """Return the objective of the winner, which may be better than that of its best trial."""
    if one.best is None:
        return math.nan
    return one.best.metrics.get(one.metric, math.nan)


def rank(one: Measures) -> float:
    """Return the winner's objective so that the lowest is the best."""
    return -_value(one) if MetricName.parse(one.metric).maximised else _value(one)
