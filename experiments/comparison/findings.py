"""What a comparison says, in sentences that are made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.evaluation import MetricName
from experiments.comparison.measures import Measures, winners_apart
from experiments.comparison.parity import Parity
from experiments.reporting.verdict import below_or_above, span

_MOST_SHOWN = 20


def which_search(measures: Sequence[Measures]) -> str:
    """Say which search found the better ensemble, and whether the folds decide it."""
    searches = [one for one in measures if one.study.searched and one.best is not None]
    if len(searches) < 2:
        who = f"only {searches[0].label} searched, and the others" if searches else "all studies"
        return f"No search is compared with another: {who} ran given points."
    if len({one.study.data_hash for one in searches}) > 1:
        return "The searches ran on different data, so their scores do not say which is better."
    ranked = sorted(searches, key=_rank)
    best, second = ranked[0], ranked[1]
    apart = winners_apart(second, best)
    if apart is None:
        return (
            f"{best.label} has the better {best.metric}, {_value(best):.6g} against {_value(second):.6g} of "
            f"{second.label}; their folds differ, so there is no interval."
        )
    if not apart.mean and not apart.low:
        return f"{best.label} and {second.label} found equally good ensembles: the blend is the same on every fold."
    verdict = "The folds decide it" if apart.low > 0 or apart.high < 0 else "The folds do not decide it"
    return (
        f"{best.label} has the better {best.metric}, {_value(best):.6g} against {_value(second):.6g} of "
        f"{second.label}. "
        f"{verdict}: on the mean fold its blend's RMSE is {below_or_above(apart.mean)} the other's, 95% interval "
        f"{span(apart)}."
    )


def what_parity_means(parity: Parity) -> str:
    """Say the verdict in words."""
    pairs = len(parity.pairs)
    if parity.verdict == "PASS" and parity.exact == pairs:
        return f"Each of the {pairs} trials that ran in two places gave the same numbers in both, to the bit."
    if parity.verdict == "PASS":
        return (
            f"Each of the {pairs} trials that ran in two places gave the same numbers in both: {parity.exact} to the "
            f"bit, the others within {parity.tolerance:g} of the larger number."
        )
    if parity.verdict == "FAIL":
        return (
            f"{len(parity.unequal)} of the {pairs} trials that ran in two places did not give the same numbers in both."
        )
    names = " and ".join(study.name for study in parity.without_pair)
    rest = f" Of the others, {parity.equal} of {pairs} trials are equal." if pairs else ""
    return f"Nothing can be said of {names}: no trial there ran anywhere else too.{rest}"


def without_partner(parity: Parity) -> list[str]:
    """Say which trials ran in one study only and why, a line a study and reason."""
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
