"""Support vector machines whose decision values become probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble.arrays import Floats
from ensemble.elementary import exp, log
from ensemble.members.probabilities import softmax

_FOLDS = 5
# Keeps the bias of a class finite that all scores separate.
_PENALTY = 1e-3
# Rows whose decision values of all pairs of classes are in memory at a time.
_ROWS_AT_A_TIME = 1_000


class CalibratedVectors(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A support vector machine for each pair of classes, as an estimator of scikit-learn.

    The score of a class is the mean of its decision values against the other classes. The probabilities are the softmax
    of the scores times a scale, plus a bias for each class. Scale and biases are fitted on scores of rows that the
    machines have not seen. Of two classes, this is Platt's scaling.

    Source: J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
    methods", Advances in Large Margin Classifiers, 1999. scikit-learn's own ``probability=True`` fits each pair of
    classes by itself, and is deprecated.
    """

    def __init__(self, machine: dict[str, Any]) -> None:
        """Keep the settings, as scikit-learn requires.

        Args:
            machine: Settings of ``sklearn.svm.SVC``.
        """
        self.machine = machine

    def fit(
        self, features: Floats, target: npt.NDArray[np.int64], sample_weight: Floats | None = None
    ) -> CalibratedVectors:
        """Fit the machines on all rows, and the scale and biases on scores out of fold.

        Args:
            features: Shape (rows, columns), float64, finite, standardised.
            target: Positions of classes, shape (rows,), at least two different ones.
            sample_weight: Shape (rows,). Rows of weight zero are left out.
        """
        if sample_weight is not None:
            used = sample_weight > 0
            features, target, sample_weight = features[used], target[used], sample_weight[used]
        self.classes_, codes = np.unique(target, return_inverse=True)
        order = np.random.default_rng(0).permutation(len(codes))
        order = order[np.argsort(codes[order], kind="stable")]
        fold_of_row = np.empty(len(codes), dtype=np.intp)
        fold_of_row[order] = np.arange(len(codes)) % _FOLDS
        scores = np.zeros((len(codes), len(self.classes_)))
        for fold in range(_FOLDS):
            inside, outside = fold_of_row == fold, fold_of_row != fold
            machines = self._machines(features, codes, sample_weight, outside)
            if machines is not None and inside.any():
                scores[inside] = self._scores(machines, features[inside])
        self.scale_, self.biases_ = calibration(scores, codes, sample_weight)
        self.machines_ = self._machines(features, codes, sample_weight, np.ones(len(codes), dtype=bool))
        return self

    def predict_proba(self, features: Floats) -> Floats:
        """Return the probabilities of ``classes_``, shape (rows, classes)."""
        return softmax(self.scale_ * self._scores(self.machines_, features) + self.biases_)

    def _machines(
        self, features: Floats, codes: npt.NDArray[np.intp], weights: Floats | None, rows: npt.NDArray[np.bool_]
    ) -> Any:
        """Return the machines of these rows, None if they have one class only, or none of them."""
        from sklearn.svm import SVC

        if len(np.unique(codes[rows])) < 2:
            return None
        machines = SVC(**self.machine, decision_function_shape="ovo")
        return machines.fit(features[rows], codes[rows], None if weights is None else weights[rows])

    def _scores(self, machines: Any, features: Floats) -> Floats:
        """Return each class's score, shape (rows, classes); a class that the machines lack gets the lowest."""
        present = machines.classes_
        found = np.zeros((len(features), len(self.classes_)))
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            decisions = machines.decision_function(features[part])
            if decisions.ndim == 1:  # of two classes, for the second
                decisions = -decisions[:, None]
            place = 0
            for first in range(len(present)):
                for second in range(first + 1, len(present)):
                    found[part, present[first]] += decisions[:, place]
                    found[part, present[second]] -= decisions[:, place]
                    place += 1
        found /= len(present) - 1
        absent = np.setdiff1d(np.arange(len(self.classes_)), present)
        found[:, absent] = found[:, present].min(axis=1, keepdims=True)
        return found


def calibration(scores: Floats, codes: npt.NDArray[np.intp], weights: Floats | None) -> tuple[float, Floats]:
    """Return the scale of the scores and the bias of each class that minimise the log loss.

    Args:
        scores: Out-of-fold scores, shape (rows, classes).
        codes: Column of each row's class.
        weights: Row weights; None if all rows count equally.
    """
    from scipy.optimize import minimize

    classes = scores.shape[1]
    counts = np.maximum(np.bincount(codes, minlength=classes), 0.5)  # a class may have no row among those that are used
    shares = np.ones(len(codes)) / len(codes) if weights is None else weights / weights.sum()
    # Laplace's rule of succession: where all rows are separated, the next one may still be of any other class.
    other = 1 / (len(codes) + 2)
    wanted = np.full((len(codes), classes), other / (classes - 1))
    wanted[np.arange(len(codes)), codes] = 1 - other

    def loss(found: Floats) -> tuple[float, Floats]:
        scale, biases = exp(found[:1]), found[1:]
        probabilities = softmax(scale * scores + biases)
        logarithms = log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        value = -float((shares[:, None] * wanted * logarithms).sum()) + _PENALTY * float((biases**2).sum())
        slopes = shares[:, None] * (probabilities - wanted)
        return value, np.concatenate([scale * (slopes * scores).sum(), slopes.sum(axis=0) + 2 * _PENALTY * biases])

    found = minimize(
        loss,
        np.concatenate([[0.0], log(counts / counts.sum())]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-10.0, 10.0), *[(None, None)] * classes],
    ).x
    return float(exp(found[:1])[0]), found[1:]
