"""Whether more trials are worth it, from what trials brought so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ensemble.evaluation import MetricName
from experiments.study.spec import TrialResult

# With fewer trials the best ones say too little about others.
FEWEST_TRIALS = 8
MORE = 20
# A gain of the objective by less than this share is not worth its time.
WORTH = 0.005
# The ends of the interval, as quantiles of the gains of looking back. No trial so far is better than the best one, so
# its upper end is further out than in one of 95%: with 0.975 it held 84% of the gains of twenty trials after twenty
# whose scores were normal, and with this 92% (98% and 99.6% where they were exponential).
LOW, HIGH = 0.025, 0.999


@dataclass(frozen=True)
class Outlook:
    """What further trials may bring.

    Attributes:
        trials: How many further trials.
        chance: Probability that one of them is better than all before.
        gain: Expected improvement of the best objective, in its unit.
        low: Lower end of the 95% interval of the improvement.
        high: Upper end.
        best: The best objective so far.
        seconds: Seconds that a trial took, on average.
        usd: Dollars that a trial cost, on average; None if it cost nothing or no price is known.
    """

    trials: int
    chance: float
    gain: float
    low: float
    high: float
    best: float
    seconds: float
    usd: float | None

    @property
    def is_worth(self) -> bool:
        """Whether the expected improvement is at least ``WORTH`` of the best objective."""
        return self.gain >= WORTH * abs(self.best)


def outlook(results: Iterable[TrialResult], objective: str, more: int = MORE) -> Outlook | None:
    """Estimate what further trials bring; None if there are too few trials.

    It assumes that further trials are like those so far, and that these could have come in any order, as random ones
    could. Then the best of n + m trials is among the last m with probability m / (n + m), and looking back tells the
    size: the same share of the n trials is taken away at random, and how much worse the best of the rest is has a known
    distribution, since the rest's best is the j-th best of all with probability C(n - j, a - 1) / C(n, a) for a rest of
    a trials. As improvements become smaller with more trials, this is rather too large. A sampler that learns proposes
    better points later, so that with ``tpe`` it may also be too small.

    Source of the distribution: J. Dodge et al., "Show Your Work: Improved Reporting of Experimental Results", EMNLP
    2019, which reports the expected best score by the number of trials.

    Args:
        results: The finished trials. Those that were pruned count as the worst of the others.
        objective: The metric that decides.
        more: How many further trials.
    """
    finished = [result for result in results if result.state != "failed"]
    sign = -1.0 if MetricName.parse(objective).maximised else 1.0
    scores = sorted(sign * result.metrics[objective] for result in finished if result.state == "complete")
    n = len(finished)
    if len(scores) < FEWEST_TRIALS:
        return None
    rest = max(round(n * n / (n + more)), 1)
    chances = [math.comb(n - place, rest - 1) / math.comb(n, rest) for place in range(1, n - rest + 2)]
    scores += [scores[-1]] * (n - len(scores))
    gains = [score - scores[0] for score in scores[: len(chances)]]
    costs = [cost for result in finished if (cost := result.info.get("cloud", {}).get("cost_usd")) is not None]
    return Outlook(
        trials=more,
        chance=more / (n + more),
        gain=sum(chance * gain for chance, gain in zip(chances, gains, strict=True)),
        low=_quantile(gains, chances, LOW),
        high=_quantile(gains, chances, HIGH),
        best=sign * scores[0],
        seconds=sum(result.finished - result.started for result in finished) / n,
        usd=sum(costs) / len(costs) if costs else None,
    )


def _quantile(gains: list[float], chances: list[float], share: float) -> float:
    """Return the smallest gain that is reached or not exceeded with this probability; gains ascend."""
    total = 0.0
    for gain, chance in zip(gains, chances, strict=True):
        total += chance
        if total >= share:
            return gain
    return gains[-1]
