"""Models of classes that are linear in the logarithms of members' probabilities, and how they are fitted.

A class has a probability in proportion to exp(bias + the weighted sum of the logarithms): the logarithmic opinion pool
(C. Genest and J. Zidek, "Combining Probability Distributions", Statistical Science 1, 114-135, 1986). As in
``simplex``, every sum has a fixed order. Arrays have the classes first: NumPy is quick with long rows, and classes are
few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ensemble.arrays import Floats
from ensemble.elementary import exp, log
from ensemble.simplex import Derivatives, cholesky, minimise_on_simplex, solved, towards_equal

# From the strongest penalty to the weakest, in rows that each parameter is worth.
PENALTIES = (1e4, 3e3, 1e3, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
# By how much a weaker penalty's criterion must be lower than that of the strongest one. Where it was lower by 0.3, the
# log loss on other rows was 8% higher.
MARGIN = 3.0
MOST_STEPS = 50
# The most classes whose biases are fitted.
MOST_BIASES = 50
# The standard deviation of a temperature's logarithm before any row is seen. Without it, a few rows that all are on the
# right side give the temperature 0. With 0.7 the log loss of ten splits of tables was 1% lower than with 0.4, mostly on
# a table whose classes are separated, and 0.3% higher than with 1.
TEMPERATURES = 0.7
_COLDEST, _HALVINGS = 4.0, 32
# The fit ends where another step would lower the mean log loss by less.
GAIN = 1e-12


def softmax(logarithms: Floats) -> Floats:
    """Return the probabilities, shape (classes, rows), whose logarithms these are up to a constant for each row."""
    powers = exp(logarithms - logarithms.max(axis=0))
    return np.asarray(powers / _added(powers))


def _added(parts: Floats) -> Floats:
    """Return the sum over the first axis, added up in order."""
    total: Floats = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


class Logarithms:
    """Rows with the logarithms of members' probabilities, on which log-linear models are fitted."""

    def __init__(self, values: Floats, target: Floats, weights: Floats | None = None) -> None:
        """Keep the rows.

        Args:
            values: Shape (rows, members, classes).
            target: Class positions, shape (rows,).
            weights: Row weights, shape (rows,); None if all rows count equally.
        """
        self.rows, self.members, self.classes = values.shape
        self.columns = [np.ascontiguousarray(values[:, member].T) for member in range(self.members)]
        self.truth = (np.asarray(target) == np.arange(self.classes)[:, None]).astype(np.float64)
        share = np.ones(self.rows) if weights is None else np.asarray(weights, dtype=np.float64)
        self.share = share / float(np.sum(share))

    def sum(self, weights: Floats, biases: Floats | None = None) -> Floats:
        """Return the logarithms of a model, up to a constant for each row, shape (classes, rows)."""
        total = np.zeros((self.classes, self.rows))
        if biases is not None:
            total += biases[:, None]
        for weight, column in zip(weights, self.columns, strict=True):
            total += weight * column
        return total

    def loss(self, logarithms: Floats) -> float:
        """Return the mean log loss of a model by its logarithms, shape (classes, rows)."""
        top = logarithms.max(axis=0)
        total = top + log(_added(exp(logarithms - top)))
        return float(np.sum(self.share * (total - _added(self.truth * logarithms))))

    def slope(self, factor: float) -> float:
        """Return the derivative of the mean log loss by a factor of the logarithms of the only member."""
        (column,) = self.columns
        return float(np.sum(self.share * (softmax(factor * column) - self.truth) * column))

    def derivatives(self, weights: Floats, biases: Floats | None = None) -> Derivatives:
        """Return the mean log loss of a model with its gradient and Hessian, by weights and, if given, by biases."""
        logarithms = self.sum(weights, biases)
        predicted = softmax(logarithms)
        residual, mass = self.share * (predicted - self.truth), self.share * predicted
        inputs = [column - _added(predicted * column) for column in self.columns]
        size, members = self.members + (0 if biases is None else self.classes), self.members
        gradient, hessian = np.zeros(size), np.zeros((size, size))
        for place, column in enumerate(self.columns):
            gradient[place] = np.sum(residual * column)
        for place, column in enumerate(inputs):
            weighed = mass * column
            for other in range(place, members):
                hessian[place, other] = hessian[other, place] = np.sum(weighed * inputs[other])
            if biases is not None:
                hessian[place, members:] = hessian[members:, place] = np.sum(weighed, axis=1)
        if biases is not None:
            gradient[members:] = np.sum(residual, axis=1)
            for place in range(self.classes):
                hessian[members + place, members:] = -np.sum(mass[place] * predicted, axis=1)
            hessian[range(members, size), range(members, size)] += np.sum(mass, axis=1)
        return self.loss(logarithms), gradient, hessian


def pool_weights(rows: Logarithms) -> Floats:
    """Return the weights of the best logarithmic pool, not negative and with sum one, shape (members,)."""
    return minimise_on_simplex(towards_equal(rows.derivatives, rows.members, rows.rows), rows.members)


def fit_temperature(logarithms: Floats, target: Floats, weights: Floats | None = None) -> float:
    """Return the temperature, by which logarithms are divided, that is most probable for these rows.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017; the prior
    is byoe's.

    Args:
        logarithms: Of probabilities, up to a constant for each row, shape (classes, rows).
        target: Class positions, shape (rows,).
        weights: Row weights, shape (rows,); None if all rows count equally.
    """
    rows = Logarithms(logarithms.T[:, None], target, weights)
    low, high = -_COLDEST, _COLDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        factor = float(exp(np.array([middle]))[0])
        if rows.rows * rows.slope(factor) * factor + middle / TEMPERATURES**2 > 0:
            high = middle
        else:
            low = middle
    return float(exp(np.array([-(low + high) / 2]))[0])


class Stack(NamedTuple):
    """A log-linear model: a weight for each member and, unless there are many classes, a bias for each class."""

    weights: Floats
    biases: Floats


def fit_stack(rows: Logarithms, towards: Floats) -> Stack:
    """Return multinomial logistic regression with a quadratic penalty on the distance from ``towards`` and from bias 0.

    The penalty is the strongest one unless another has a clearly lower Akaike information criterion, for which the
    number of parameters is the trace of the model's influence matrix (S. le Cessie and J. van Houwelingen, "Ridge
    Estimators in Logistic Regression", Applied Statistics 41, 191-201, 1992), corrected for few rows (C. Hurvich and
    C.-L. Tsai, "Regression and time series model selection in small samples", Biometrika 76, 297-307, 1989).

    With more than ``MOST_BIASES`` classes there are no biases: the time that they take grows with the square of the
    classes, to a minute for 200 classes of 10,000 rows, and each class has few rows.

    Args:
        rows: The rows.
        towards: Weights of the members, shape (members,).
    """
    biases = rows.classes if rows.classes <= MOST_BIASES else 0
    centre = np.concatenate([towards, np.zeros(biases)])

    def parts(point: Floats) -> tuple[Floats, Floats | None]:
        return point[: rows.members], point[rows.members :] if biases else None

    found, best, least = centre, centre, np.inf
    for penalty in PENALTIES:
        strength = penalty / rows.rows

        def penalised(point: Floats, strength: float = strength) -> Derivatives:
            value, gradient, hessian = rows.derivatives(*parts(point))
            away = point - centre
            value += strength / 2 * float(np.sum(away * away))
            return value, gradient + strength * away, hessian + strength * np.eye(len(point))

        found, hessian = _newton(penalised, found)
        inverse = solved(cholesky(hessian), np.eye(len(found)))
        parameters = len(found) - strength * float(np.sum(np.diag(inverse)))
        left = rows.rows - parameters - 1
        cost = parameters * (1 + (parameters + 1) / left) if left > 0 else np.inf
        criterion = rows.rows * rows.loss(rows.sum(*parts(found))) + cost
        if criterion < least:
            # The strongest penalty, which is nearly ``towards``, has an advantage.
            best, least = found, criterion - (MARGIN if penalty == PENALTIES[0] else 0.0)
    return Stack(best[: rows.members], best[rows.members :])


def _newton(function: Callable[[Floats], Derivatives], start: Floats) -> tuple[Floats, Floats]:
    """Return where a strictly convex function is lowest, and its Hessian there."""
    point = start
    value, gradient, hessian = function(point)
    for _ in range(MOST_STEPS):
        step = -solved(cholesky(hessian), gradient)
        slope = float(np.sum(gradient * step))
        if -slope < 2 * GAIN:
            break
        size = 1.0
        while size > GAIN and (found := function(point + size * step))[0] > value + 1e-4 * size * slope:
            size /= 2.0
        if size <= GAIN:
            break
        point = point + size * step
        value, gradient, hessian = found
    return point, hessian
