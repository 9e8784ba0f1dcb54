"""Gaussian processes whose means become probabilities of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble.arrays import Floats
from ensemble.members.calibrated_vectors import calibration
from ensemble.members.matern_regression import MaternRegression
from ensemble.members.probabilities import softmax


class MaternClasses(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A Gaussian process for each class, or one for two classes, as an estimator of scikit-learn.

    Whether a row has the class is a quantity, 0 or 1, that the process predicts. The processes have one covariance. The
    probabilities are the softmax of their means times a scale, plus a bias for each class. Scale and biases are fitted
    on what the processes predict for each row from all others.

    Source: C. Rasmussen and C. Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, section 6.5,
    "Least-squares classification".
    """

    def __init__(self, max_rows: int, tuned_rows: int, seed: int, max_iter: int) -> None:
        """Keep the settings, as scikit-learn requires; they are those of ``MaternRegression``."""
        self.max_rows = max_rows
        self.tuned_rows = tuned_rows
        self.seed = seed
        self.max_iter = max_iter

    def fit(
        self,
        features: Floats,
        target: npt.NDArray[np.int64],
        sample_weight: Floats | None = None,
        groups: Sequence[int] | None = None,
    ) -> MaternClasses:
        """Fit the processes, and the scale and biases on their predictions for rows that are left out.

        Args:
            features: Shape (rows, columns), float64, finite, standardised.
            target: Positions of classes, shape (rows,), at least two different ones.
            sample_weight: Shape (rows,). Rows of weight zero are left out.
            groups: The group of each column, as in ``MaternRegression``.
        """
        self.classes_, codes = np.unique(target, return_inverse=True)
        own = (codes[:, None] == np.arange(len(self.classes_))).astype(np.float64)
        own = (own - own.mean(axis=0)) / own.std(axis=0)
        if len(self.classes_) == 2:
            own = np.ascontiguousarray(own[:, 1])
        self.process_ = MaternRegression(self.max_rows, self.tuned_rows, self.seed, self.max_iter)
        self.process_.fit(features, own, sample_weight, groups)
        weights = np.ones(len(codes)) if sample_weight is None else sample_weight / sample_weight.mean()
        rows = self.process_.drawn(weights)[: self.max_rows]
        scores = _of_classes(self.process_.left_out(own[rows], weights[rows]))
        used = None if sample_weight is None else weights[rows]
        self.scale_, self.biases_ = calibration(scores, codes[rows], used)
        return self

    def predict_proba(self, features: Floats) -> Floats:
        """Return the probabilities of ``classes_``, shape (rows, classes)."""
        return softmax(self.scale_ * _of_classes(self.process_.predict(features)) + self.biases_)


def _of_classes(means: Floats) -> Floats:
    """Return a score for each class, shape (rows, classes), of which two have one process."""
    return np.stack([-means, means], axis=1) if means.ndim == 1 else means
