"""Races: compare a training, fold by fold, with the best one so far, and decide whether it can still win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ensemble.evaluation import overlap_factor

# One fold decides nothing, since folds differ more from each other than trainings do.
FEWEST_FOLDS = 2
WILCOXON_LEVEL = 0.1
T_LEVEL = 0.05


@dataclass(frozen=True)
class Rival:
    """The training to beat, on the same folds.

    A blend that was fitted on few folds is worse than one that was fitted on many. A training that has done n folds is
    therefore compared with the rival's scores after n folds.

    Attributes:
        value: Its objective over all folds. None if there is no rival yet: the training then records its own standings,
            so that later trainings can race it.
        standings: Entry n - 1 has the objective on each of the first n folds, with blends that were fitted on these n
            folds only. It is empty where n folds are too few for a race.
    """

    value: float | None = None
    standings: tuple[tuple[float, ...], ...] = ()

    def after(self, n: int) -> tuple[float, ...]:
        """Return its objective on each of the first n folds, as it was after n folds; empty if that is not known."""
        return self.standings[n - 1] if n <= len(self.standings) else ()

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Rival:
        """Read what ``as_dict`` wrote."""
        value = data["value"]
        standings = tuple(tuple(float(score) for score in standing) for standing in data["standings"])
        return cls(None if value is None else float(value), standings)


class RaceLost(Exception):
    """A training was stopped between folds because it cannot beat its rival.

    Attributes:
        folds: The objective on each fold that was done.
        expected: The objective over all folds that the difference so far predicts.
        metrics: The members' scores on each fold that was done, by metric name.
    """

    def __init__(self, folds: Sequence[float], expected: float, metrics: dict[str, float]) -> None:
        super().__init__(f"pruned after {len(folds)} folds")
        self.folds = list(folds)
        self.expected = expected
        self.metrics = metrics


def is_lost(rival: Rival, folds: Sequence[float], k: int, *, maximise: bool) -> bool:
    """Return whether the objective so far is significantly worse than the rival's was, by either of two paired tests.

    Wilcoxon's signed-rank test at 10%, as in Optuna's ``WilcoxonPruner``, ignores the size of a difference, so it needs
    four of five folds before it can reject. The t test at 5% detects a large difference after two folds; its variance
    is corrected for overlapping training sets with ``overlap_factor``.

    Args:
        rival: The training to beat.
        folds: The objective on the first folds, in order.
        k: Number of folds in one division of the rows.
        maximise: Whether a higher objective is better.
    """
    from scipy.stats import t, wilcoxon

    n, there = len(folds), rival.after(len(folds))
    if n < FEWEST_FOLDS or len(there) != n:
        return False
    worse = np.array(folds) - np.array(there)
    worse = -worse if maximise else worse
    if not np.isfinite(worse).all():
        return False
    error = float(np.sqrt(overlap_factor(n, k) * np.var(worse, ddof=1)))
    if float(np.mean(worse)) > float(t.ppf(1 - T_LEVEL, n - 1)) * error:
        return True
    return float(wilcoxon(worse, alternative="greater", zero_method="zsplit").pvalue) < WILCOXON_LEVEL


def mean_difference(rival: Rival, folds: Sequence[float]) -> float:
    """Return how far the objective on the folds so far is above the rival's at that point, on the mean fold."""
    return float(np.mean(np.array(folds) - np.array(rival.after(len(folds)))))
