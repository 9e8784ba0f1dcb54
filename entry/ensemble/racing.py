"""Whether a training that is half done can still beat the best one so far: a race between them, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ensemble.evaluation import overlap_factor

# Of one fold nothing can be said, since folds differ more from each other than trainings do.
FEWEST_FOLDS = 2
WILCOXON_LEVEL = 0.1
T_LEVEL = 0.05


@dataclass(frozen=True)
class Rival:
    """The training to beat, on the same folds.

    A blend that is fitted on few folds is worse than one that is fitted on many, so a training that has done n folds is
    compared with the rival as that stood after n.

    Attributes:
        value: Its objective over all folds; None for nobody, whom to race only means to note standings for the next.
        standings: Its objective on each of the first n folds, blended by what these n alone can fit; entry n - 1, which
            is empty where n folds make no race.
    """

    value: float | None = None
    standings: tuple[tuple[float, ...], ...] = ()

    def after(self, n: int) -> tuple[float, ...]:
        """Return its objective on each of the first n folds as it stood then; empty if that is not known."""
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
    """A training was given up between folds.

    Attributes:
        folds: The objective on each fold that was done.
        expected: What the objective over all folds would have come to, judged by the difference so far.
        metrics: The members' RMSE on each fold that was done.
    """

    def __init__(self, folds: Sequence[float], expected: float, metrics: dict[str, float]) -> None:
        super().__init__(f"given up after {len(folds)} folds")
        self.folds = list(folds)
        self.expected = expected
        self.metrics = metrics


def is_lost(rival: Rival, folds: Sequence[float], k: int, *, maximise: bool) -> bool:
    """Whether the objective on the folds so far is worse than the rival's was then, by either of two paired tests.

    Wilcoxon's signed ranks at 10%, which is Optuna's ``WilcoxonPruner``, see no size of a difference, so that of five
    folds four must be done before they can speak. The t test sees a large difference after two; its variance is
    corrected for overlapping training sets as by ``overlap_factor``, and it speaks at 5%.

    Args:
        rival: Whom to beat.
        folds: The objective on the first folds, in order.
        k: Folds of one division of the rows.
        maximise: Whether more of the objective is better.
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
    """Return by how much the objective on the folds so far is above the rival's then, on the mean fold."""
    return float(np.mean(np.array(folds) - np.array(rival.after(len(folds)))))
