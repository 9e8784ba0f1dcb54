"""The findings of a comparison: sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.evaluation import MetricName
from experiments.comparison.measures import Measures, lift_between_winners
from experiments.comparison.parity import Parity
from experiments.reporting.score_names import shown
from experiments.reporting.verdict import below_or_above, span

_MOST_SHOWN = 20


def which_search(measures: Sequence[Measures]) -> str:
    """Return which search found the better ensemble, and whether the interval over the folds decides it."""
    searches = [one for one in measures if one.study.searched and one.best is not None]
    if len(searches) < 2:
        others = f"only {searches[0].label} searched, the other studies" if searches else "all studies"
        return f"There are no two searches to compare: {others} ran given points."
    if len({one.study.data_hash for one in searches}) > 1:
        return "The searches ran on different data, so their scores cannot be compared."
    ranked = sorted(searches, key=_rank)
    best, second = ranked[0], ranked[1]
    apart, name = lift_between_winners(second, best), shown(best.decisive)
    if apart is None:
        return (
            f"{best.label} has the better {best.metric}, {_value(best):.6g} against {_value(second):.6g} in "
            f"{second.label}. Their folds differ, so there is no interval."
        )
    if not apart.mean and not apart.low:
        return f"{best.label} and {second.label} found equally good ensembles: their {name} is the same on every fold."
    decided = apart.low > 0 or apart.high < 0
    conclusion = "excludes zero" if decided else "includes zero, so the difference may be chance"
    return (
        f"{best.label} has the better {best.metric}, {_value(best):.6g} against {_value(second):.6g} in "
        f"{second.label}. On average over the folds, its blend's {name} is "
        f"{below_or_above(apart.mean, best.decisive)} the other's; "
        f"the 95% interval, {span(apart, best.decisive)}, {conclusion}."
    )


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
    best = [point.best for point in one.by_trial if point.best is not None]
    return best[-1]


def _rank(one: Measures) -> float:
    return -_value(one) if MetricName.parse(one.metric).maximised else _value(one)
