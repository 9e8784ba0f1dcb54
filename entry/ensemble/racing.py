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

    Attributes:
        value: Its objective over all folds.
        folds: Its objective on each fold, in order.
    """

    value: float
    folds: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Rival:
        """Read what ``as_dict`` wrote."""
        return cls(float(data["value"]), tuple(float(value) for value in data["folds"]))


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
    """Whether the objective on the folds so far is worse than the rival's by either of two paired tests.

    Wilcoxon's signed ranks at 10%, which is Optuna's ``WilcoxonPruner``, see no size of a difference, so that of five
    folds four must be done before they can speak. The t test sees a large difference after two; its variance is
    corrected for overlapping training sets as in ``paired_lift``, and it speaks at 5%.

    Args:
        rival: Whom to beat.
        folds: The objective on the first folds, in order.
        k: Folds of one division of the rows.
        maximise: Whether more of the objective is better.
    """
    from scipy.stats import t, wilcoxon

    n = len(folds)
    if n < FEWEST_FOLDS:
        return False
    worse = np.array(folds) - np.array(rival.folds[:n])
    worse = -worse if maximise else worse
    if not np.isfinite(worse).all():
        return False
    error = float(np.sqrt(overlap_factor(n, k) * np.var(worse, ddof=1)))
    if float(np.mean(worse)) > float(t.ppf(1 - T_LEVEL, n - 1)) * error:
        return True
    return float(wilcoxon(worse, alternative="greater", zero_method="zsplit").pvalue) < WILCOXON_LEVEL


def expected(rival: Rival, folds: Sequence[float]) -> float:
    """Return the rival's objective, moved by the mean difference on the folds so far."""
    return rival.value + float(np.mean(np.array(folds) - np.array(rival.folds[: len(folds)])))
