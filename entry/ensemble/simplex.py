"""The minimum of a smooth convex function of weights that are not negative and sum to one.

Everything is added up in a fixed order, without a library for linear algebra, whose sums depend on the processor: the
same function gives the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats

# Of a function of weights: its value, its gradient, shape (weights,), and its Hessian, shape (weights, weights).
Derivatives = tuple[float, Floats, Floats]
MOST_STEPS = 100
# By how much the value may be above the minimum. A convex function is nowhere below its tangent, and the tangent's
# minimum on the simplex is at a corner.
GAP = 1e-10
# Added to the diagonal of the Hessian, relative to its largest entry, so that equal members get equal weights.
_RIDGE = 1e-9
# A step must lower the value by this share of what its tangent promises (L. Armijo, 1966).
_SUFFICIENT = 1e-4
_NEGLIGIBLE = 1e-12
# What pulls weights of probabilities towards equal ones, in rows. A few rows on which a member is sure and wrong decide
# the log loss of a small table: without the prior, all weight went to the worst of nine members on one of ten splits.
# docs/decisions/071 and 081 have the measurements.
PRIOR_ROWS = 6.0


def towards_equal(function: Callable[[Floats], Derivatives], size: int, rows: int) -> Callable[[Floats], Derivatives]:
    """Return a mean log loss with a penalty on the squared distance of weights from equal ones.

    Args:
        function: The mean over the rows.
        size: Number of weights.
        rows: Number of rows. The more there are, the smaller the penalty.
    """
    equal, strength = 1.0 / size, PRIOR_ROWS * size / rows

    def penalised(weights: Floats) -> Derivatives:
        value, gradient, hessian = function(weights)
        away = weights - equal
        value += strength / 2 * float(np.sum(away * away))
        return value, gradient + strength * away, hessian + strength * np.eye(size)

    return penalised


def minimise_on_simplex(function: Callable[[Floats], Derivatives], size: int) -> Floats:
    """Return the weights, shape (size,), at which ``function`` is lowest.

    Each step goes towards the minimum of the function's quadratic approximation on the simplex (Newton's method with
    constraints: J. Nocedal and S. Wright, "Numerical Optimization", 2006, chapter 18).
    """
    weights = np.full(size, 1.0 / size)
    value, gradient, hessian = function(weights)
    for _ in range(MOST_STEPS):
        if float(np.sum(gradient * weights)) - float(gradient.min()) <= GAP:
            break
        curved = hessian + _RIDGE * max(float(np.diag(hessian).max()), _NEGLIGIBLE) * np.eye(size)
        goal = _quadratic_minimum(curved, gradient - times(curved, weights), weights)
        slope = float(np.sum(gradient * (goal - weights)))
        step = 1.0
        while step > _NEGLIGIBLE:
            tried = weights + step * (goal - weights)
            found = function(tried)
            if found[0] <= value + _SUFFICIENT * step * slope:
                break
            step /= 2.0
        else:
            break
        weights, (value, gradient, hessian) = tried, found
    return weights / float(np.sum(weights))


def _quadratic_minimum(hessian: Floats, linear: Floats, start: Floats) -> Floats:
    """Return the minimum of w' hessian w / 2 + linear' w on the simplex by an active-set method, from ``start``."""
    size = len(linear)
    weights, free = start.copy(), start > 0
    for _ in range(10 * size + 10):
        goal = _on_face(hessian, linear, free)
        if (goal[free] >= 0).all():
            weights = goal
            slopes = times(hessian, weights) + linear
            level = float(np.max(slopes[free]))
            slopes[free] = np.inf
            enters = int(np.argmin(slopes))
            if not slopes[enters] < level - _NEGLIGIBLE * (1.0 + abs(level)):
                break
            free[enters] = True
        else:
            falling = free & (goal < 0)
            shares = np.full(size, np.inf)
            shares[falling] = weights[falling] / (weights[falling] - goal[falling])
            leaves = int(np.argmin(shares))
            weights = weights + shares[leaves] * (goal - weights)
            weights[leaves] = 0.0
            free[leaves] = False
    return np.maximum(weights, 0.0)


def _on_face(hessian: Floats, linear: Floats, free: npt.NDArray[np.bool_]) -> Floats:
    """Return the minimum with sum one where only the ``free`` weights may differ from 0, of either sign."""
    places = np.flatnonzero(free)
    factor = cholesky(hessian[np.ix_(places, places)])
    ones, down = solved(factor, np.ones(len(places))), solved(factor, -linear[places])
    found = np.zeros(len(linear))
    found[places] = down + ones * ((1.0 - float(np.sum(down))) / float(np.sum(ones)))
    return found


def times(matrix: Floats, vector: Floats) -> Floats:
    """Return the product of a matrix and a vector, of which each entry is added up on its own."""
    return np.asarray(np.sum(matrix * vector, axis=1))


def cholesky(matrix: Floats) -> Floats:
    """Return the lower triangle whose product with its transpose is ``matrix``, which must be positive definite."""
    lower = np.zeros_like(matrix)
    rest = matrix.copy()
    for place in range(len(matrix)):
        column = rest[place:, place] / np.sqrt(max(float(rest[place, place]), np.finfo(np.float64).tiny))
        lower[place:, place] = column
        rest[place:, place:] -= column[:, None] * column
    return lower


def solved(lower: Floats, right: Floats) -> Floats:
    """Return what, multiplied by the matrix that ``cholesky`` factorised, is ``right``: shape (size,) or (size, n)."""
    found = right.copy()
    for place in range(len(found)):
        found[place] = found[place] / lower[place, place]
        found[place + 1 :] -= (lower[place + 1 :, place] * found[place].T[..., None]).T
    for place in reversed(range(len(found))):
        found[place] = found[place] / lower[place, place]
        found[:place] -= (lower[place, :place] * found[place].T[..., None]).T
    return found
