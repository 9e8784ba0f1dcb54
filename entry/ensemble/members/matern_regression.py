"""Regression with a Gaussian process: the smooth function that explains the rows best, with a scale for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from ensemble.arrays import Floats

# Bounds of the logarithms of the function's variance, the noise's variance and the length scales. The target has
# variance 1, and so has each number.
_BOUNDS = ((np.log(1e-3), np.log(1e4)), (np.log(1e-5), np.log(3.0)), (np.log(0.05), np.log(1e3)))
_FIRST_NOISE = 0.1
# Added to the diagonal of the covariance matrix, so that it can be factorised where rows are equal.
_JITTER = 1e-8
_ROWS_AT_A_TIME = 1_000


class MaternRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The mean of a Gaussian process with a Matern 5/2 covariance, as an estimator of scikit-learn.

    The variances and the length scales maximise the likelihood of a random part of the rows, after which the process is
    conditioned on a larger part. Columns of one group share a length scale.

    Source: C. Rasmussen and C. Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, chapters 2, 4 and
    5. scikit-learn's ``GaussianProcessRegressor`` gives the same model, but its gradient costs memory and time in
    proportion to rows^2 * columns where this one has a matrix product.
    """

    def __init__(self, max_rows: int, tuned_rows: int, seed: int, max_iter: int = 40) -> None:
        """Keep the settings, as scikit-learn requires.

        Args:
            max_rows: The most rows on which the process is conditioned.
            tuned_rows: The most rows on which variances and length scales are found.
            seed: Seed of the choice of rows.
            max_iter: The most steps of the optimiser.
        """
        self.max_rows = max_rows
        self.tuned_rows = tuned_rows
        self.seed = seed
        self.max_iter = max_iter

    def fit(
        self, features: Floats, target: Floats, sample_weight: Floats | None = None, groups: Sequence[int] | None = None
    ) -> MaternRegression:
        """Find the variances and length scales, and condition the process on the rows.

        Args:
            features: Shape (rows, columns), float64, finite, standardised.
            target: Shape (rows,), float64, finite, standardised; or (rows, outputs), for processes with one covariance.
            sample_weight: Shape (rows,); the noise's variance of a row is divided by its weight. Rows of weight zero
                are left out.
            groups: The group of each column, from 0; columns of one group share a length scale. None if each column
                is a group.
        """
        from scipy.linalg import cho_factor, cho_solve
        from scipy.optimize import minimize

        weights = np.ones(len(target)) if sample_weight is None else sample_weight / sample_weight.mean()
        rows = self.drawn(weights)
        group_of = np.arange(features.shape[1]) if groups is None else np.asarray(groups)
        tuned = rows[: self.tuned_rows]
        # Standardised columns are about 1 apart, and squares of distances add up over the columns.
        first_scale = 0.5 * np.log(len(group_of))
        found = minimize(
            _negative_log_likelihood,
            np.array([0.0, np.log(_FIRST_NOISE), *[first_scale] * (group_of.max() + 1)]),
            (features[tuned], target[tuned], 1 / weights[tuned], group_of),
            method="L-BFGS-B",
            jac=True,
            bounds=[_BOUNDS[0], _BOUNDS[1], *[_BOUNDS[2]] * (group_of.max() + 1)],
            options={"maxiter": self.max_iter},
        )
        self.variance_, self.noise_ = (float(number) for number in np.exp(found.x[:2]))
        self.scales_ = np.exp(found.x[2:])[group_of]
        rows = rows[: self.max_rows]
        self.rows_ = features[rows] / self.scales_
        covariance = self._covariance(weights[rows])
        self.factors_ = cho_solve(cho_factor(covariance, lower=True, overwrite_a=True), target[rows])
        return self

    def drawn(self, weights: Floats) -> Any:
        """Return the rows that have a weight, in random order; the first are used."""
        return np.random.default_rng(self.seed).permutation(np.flatnonzero(weights > 0))

    def left_out(self, target: Floats, weights: Floats) -> Floats:
        """Return what the process predicts for each conditioned row from all others.

        Source: C. Rasmussen and C. Williams, section 5.4.2.

        Args:
            target: The target of the conditioned rows, shape (rows,) or (rows, outputs).
            weights: Their weights, with mean 1 over all rows.
        """
        from scipy.linalg import cholesky
        from scipy.linalg.lapack import dpotri

        inverse = dpotri(cholesky(self._covariance(weights), lower=True, overwrite_a=True), lower=1)[0]
        spread = np.diag(inverse)
        return np.asarray(target - self.factors_ / (spread if target.ndim == 1 else spread[:, None]))

    def _covariance(self, weights: Floats) -> Floats:
        covariance = self.variance_ * _matern(_distances(self.rows_, self.rows_))
        covariance[np.diag_indices(len(weights))] += self.noise_ / weights + _JITTER
        return covariance

    def predict(self, features: Floats) -> Floats:
        """Return the mean of the process, shape (rows[, outputs]): a sum over the conditioned rows in one order."""
        predicted = np.empty((len(features), *self.factors_.shape[1:]))
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            covariance = _matern(_distances(features[part] / self.scales_, self.rows_))
            if self.factors_.ndim == 1:
                predicted[part] = self.variance_ * (covariance * self.factors_).sum(axis=1)
            else:
                for output, factors in enumerate(np.ascontiguousarray(self.factors_.T)):
                    predicted[part, output] = self.variance_ * (covariance * factors).sum(axis=1)
        return predicted


def _distances(first: Floats, second: Floats) -> Floats:
    """Return the Euclidean distances, shape (first rows, second rows), each computed by itself."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(first, second))


def _matern(distances: Floats) -> Floats:
    root = np.sqrt(5.0) * distances
    return np.asarray((1.0 + root + root**2 / 3.0) * np.exp(-root))


def _negative_log_likelihood(
    logarithms: Floats, features: Floats, target: Floats, noises: Floats, groups: Any
) -> tuple[float, Floats]:
    """Return the negative logarithm of the marginal likelihood, up to a constant, and its gradient.

    With W = a a' - inverse(K), where a = inverse(K) target, the derivative by a parameter is -sum(W * dK) / 2. For a
    length scale, dK is a matrix of the distances alone times the squared differences in the column, whose sum is a
    matrix product.

    Args:
        logarithms: Of the function's variance, the noise's variance and each group's length scale.
        features: Shape (rows, columns).
        target: Shape (rows,) or (rows, outputs); the likelihoods of several outputs are multiplied.
        noises: The noise's variance of each row, relative to that of a row of weight 1, shape (rows,).
        groups: The group of each column, shape (columns,).
    """
    from scipy.linalg import LinAlgError, cholesky
    from scipy.linalg.lapack import dpotri

    variance, noise = np.exp(logarithms[:2])
    scaled = features / np.exp(logarithms[2:])[groups]
    root = np.sqrt(5.0) * _distances(scaled, scaled)
    decay = variance * np.exp(-root)
    function = (1.0 + root + root**2 / 3.0) * decay
    covariance = function.copy()
    covariance[np.diag_indices(len(target))] += noise * noises + _JITTER
    try:
        lower = cholesky(covariance, lower=True, overwrite_a=True)
    except LinAlgError:  # the optimiser then tries a shorter step
        return 1e25, np.zeros_like(logarithms)
    inverse = dpotri(lower, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    solved = inverse @ target
    outputs = 1 if target.ndim == 1 else len(target.T)
    difference = np.outer(solved, solved) - inverse if target.ndim == 1 else solved @ solved.T - outputs * inverse
    fit = float(target @ solved) if target.ndim == 1 else float((target * solved).sum())
    value = 0.5 * fit + outputs * float(np.log(np.diag(lower)).sum())
    slopes = difference * (5.0 / 3.0 * (1.0 + root) * decay)
    columns = slopes.sum(axis=1) @ scaled**2 - (scaled * (slopes @ scaled)).sum(axis=0)
    by_group = np.bincount(groups, columns, minlength=len(logarithms) - 2)
    gradient = [-0.5 * (difference * function).sum(), -0.5 * noise * (np.diag(difference) @ noises), *-by_group]
    return value, np.array(gradient)
