"""The number of boosting rounds: one number for all folds, where the error that they have together is lowest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ensemble.arrays import Floats
from ensemble.elementary import LEAST_PROBABILITY, log

# Growth ends at this number of rounds, or once the error has not fallen for as many rounds as patience allows;
# docs/benchmarks.md has the measurements. The first fold waits longer, since it limits the others and is judged alone.
MOST = 1000
FIRST_PATIENCE = 100
PATIENCE = 50
# An error is lower than another if it is lower by this share. That is far above the rounding of sums, so that the order
# in which a library adds does not change the number of rounds.
LOWER = 1e-5
# The error of a row: its squared or absolute deviation, or the negative logarithm of the probability of its class.
Loss = Literal["squared", "absolute", "log"]


def loss_for(score: str, *, classes: bool) -> Loss:
    """Return the error by which rounds are chosen in a study of this objective.

    Args:
        score: The objective's score.
        classes: Whether the target is a class.
    """
    return "log" if classes else "absolute" if score == "mae" else "squared"


class Growth:
    """The growth of one fold's model, round by round, watched on the rows that the fold scores.

    It ends when the errors, added to those of the folds before, have not fallen for some rounds. No fold grows
    beyond the folds before it, since a number of rounds is possible only if every fold has reached it.

    Attributes:
        features: Features of the score rows, shape (rows, columns).
        target: Their target, shape (rows,).
        weights: Their weights, shape (rows,); None if all rows count equally.
        loss: What the error of a row is.
        most: The most rounds that are worth growing.
    """

    def __init__(
        self,
        features: Floats,
        target: Floats,
        weights: Floats | None = None,
        *,
        loss: Loss = "squared",
        unit: float = 1.0,
        before: Sequence[Floats] = (),
    ) -> None:
        """Begin a fold.

        Args:
            features: Features of the score rows.
            target: Their target.
            weights: Their weights.
            loss: What the error of a row is.
            unit: What deviations are divided by, the same in all folds, so that no square overflows.
            before: The curves of the folds before.
        """
        self.features = features
        self.target = target
        self.weights = weights
        self.loss = loss
        self.most = min(map(len, before), default=MOST)
        self._unit = unit
        self._patience = PATIENCE if before else FIRST_PATIENCE
        pooled = _pooled(before, self.most)
        self._errors: list[float] = []
        # Of the predictions, and of the scores that a library reports.
        self._noted, self._reported = _Pooled(pooled), _Pooled(pooled)
        self._is_late: Callable[[], bool] = lambda: False

    def end_within(self, seconds: float, clock: Callable[[], float]) -> None:
        """End growth after this time, in seconds of a clock that starts anywhere."""
        ends = clock() + seconds
        self._is_late = lambda: clock() >= ends

    def after(self, predicted: Floats) -> bool:
        """Note what the model predicts for the score rows after one more round; return whether to grow another.

        Args:
            predicted: What ``Member.predict`` returns.
        """
        with np.errstate(over="ignore"):
            errors = self._errors_of_rows(predicted)
            self._errors.append(_finite(float(np.sum(errors if self.weights is None else errors * self.weights))))
        return self._goes_on(self._noted, self._errors[-1])

    def goes_on(self, score: float) -> bool:
        """Return whether to grow another round, from the score after each round, as a library reports it.

        Called once for each round, in order.

        Args:
            score: The (weighted) root mean squared error on the score rows, the mean absolute one, or the log loss.
        """
        total = float(len(self.target) if self.weights is None else np.sum(self.weights))
        error = float(score) / (1.0 if self.loss == "log" else self._unit)
        return self._goes_on(self._reported, _finite(total * (error * error if self.loss == "squared" else error)))

    def curve(self) -> Floats:
        """Return the sum of the errors after each round.

        If the model has stopped changing, its last error stands for all rounds up to ``most``.
        """
        errors = self._errors
        if len(errors) < self.most and errors[-PATIENCE:] == [errors[-1]] * PATIENCE:
            errors = errors + [errors[-1]] * (self.most - len(errors))
        return np.array(errors)

    def stays(self, predicted: Floats) -> None:
        """Note that the model is finished: it predicts this for the score rows after any number of rounds."""
        self._errors = []
        self.after(predicted)
        self._errors *= self.most

    def _errors_of_rows(self, predicted: Floats) -> Floats:
        if self.loss == "log":
            given = predicted[np.arange(len(self.target)), self.target.astype(np.intp)]
            return -log(np.maximum(given, LEAST_PROBABILITY))
        deviations = np.abs(self.target - predicted) / self._unit
        return np.asarray(deviations if self.loss == "absolute" else deviations**2)

    def _goes_on(self, pooled: _Pooled, error: float) -> bool:
        pooled.add(error)
        if len(pooled.errors) >= self.most or self._is_late():
            return False
        return pooled.falls(self._patience)


class _Pooled:
    """The errors of a growing model, each with those of the folds before after as many rounds.

    Attributes:
        errors: The errors after each round so far.
    """

    def __init__(self, before: Floats) -> None:
        """Begin with the sums of the folds before, shape (rounds,)."""
        self._before = before
        self._lowest = [np.inf]
        self.errors: list[float] = []

    def add(self, error: float) -> None:
        """Note the error after one more round."""
        self.errors.append(float(self._before[len(self.errors)] + error))
        self._lowest.append(min(self._lowest[-1], self.errors[-1]))

    def falls(self, wait: int) -> bool:
        """Return whether the last rounds, as many as ``wait``, have an error below all earlier ones, or are the first.

        The lowest error before them is kept: to look at all rounds after each one took a third of CatBoost's time.
        """
        done = len(self.errors)
        return done < wait or min(self.errors[-wait:]) < self._lowest[done - wait] * (1 - LOWER)


def common_rounds(curves: Sequence[Floats]) -> int:
    """Return the number of rounds at which the folds' errors together are lowest, the smallest if several are.

    Args:
        curves: The sum of the errors after each round, by fold.
    """
    pooled = _pooled(curves, min(map(len, curves)))
    return int(np.flatnonzero(pooled <= pooled.min() * (1 + LOWER))[0]) + 1


def rounds_for_rows(rounds: int, fitted_on: float, rows: int) -> int:
    """Return how many rounds a model of ``rows`` rows gets: more by the square root of how many more rows it has.

    With more rows, later rounds still learn what is true of other rows; docs/decisions/080 has the measurements.

    Args:
        rounds: The number that was found.
        fitted_on: The mean number of rows of the folds' models for which it was found.
        rows: Number of rows; fewer than ``fitted_on`` do not lower the number.
    """
    return round(rounds * math.sqrt(max(rows / fitted_on, 1.0)))


def _pooled(curves: Sequence[Floats], rounds: int) -> Floats:
    total = np.zeros(rounds)
    for curve in curves:
        total += curve[:rounds]
    return total


def _finite(error: float) -> float:
    return error if np.isfinite(error) else float(np.finfo(np.float64).max) / 1e6
