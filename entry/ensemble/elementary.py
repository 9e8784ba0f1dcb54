"""Exponential and logarithm with the same bits on every machine and for any number of values.

NumPy's own depend on the processor, and on whether values lie side by side in memory. These consist of additions,
multiplications and divisions, which IEEE 754 defines to the bit. The error is below one unit in the last place.

Source: the algorithms and constants of FreeBSD's msun, e_exp.c and e_log.c, by Sun Microsystems, 1993.
"""

from __future__ import annotations

import numpy as np

from ensemble.arrays import Floats

# Probabilities are at least this where their logarithm is taken, as in scikit-learn's log loss.
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_INVERSE_LN2 = 1.44269504088896338700e00
_EXP = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_ROOT_OF_HALF = 0.7071067811865476
_LOG_ODD = (6.666666666666735130e-01, 2.857142874366239149e-01, 1.818357216161805012e-01, 1.479819860511658591e-01)
_LOG_EVEN = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
# Beyond these, the result is 0 or infinity; so are the powers of two that ``ldexp`` gets.
_LOWEST, _HIGHEST = -746.0, 710.0


def exp(values: Floats) -> Floats:
    """Return e to the power of each value; 0 and infinity where float64 cannot hold it."""
    clipped = np.minimum(np.maximum(values, _LOWEST), _HIGHEST)
    power = np.rint(clipped * _INVERSE_LN2)
    high, low = clipped - power * _LN2_HIGH, power * _LN2_LOW
    rest = high - low
    correction = rest - rest * rest * _polynomial(rest * rest, _EXP)
    with np.errstate(over="ignore", under="ignore"):
        found: Floats = np.ldexp(1.0 + (rest * correction / (2.0 - correction) - low + high), power.astype(np.int32))
    return found


def log(values: Floats) -> Floats:
    """Return the natural logarithm of each value, which must be above 0."""
    fraction, power = np.frexp(values)
    small = fraction < _ROOT_OF_HALF
    power = power - small
    over = fraction * (1.0 + small) - 1.0
    half = 0.5 * over * over
    ratio = over / (2.0 + over)
    square = ratio * ratio
    fourth = square * square
    tail = square * _polynomial(fourth, _LOG_ODD) + fourth * _polynomial(fourth, _LOG_EVEN)
    found: Floats = ratio * (half + tail) + power * _LN2_LOW - half + over + power * _LN2_HIGH
    return found


def _polynomial(values: Floats, coefficients: tuple[float, ...]) -> Floats:
    total = coefficients[-1] * values + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total *= values
        total += coefficient
    return total
