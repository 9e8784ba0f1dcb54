"""Dollars in words."""

from __future__ import annotations

import numpy as np


def dollars(usd: float) -> str:
    """Say what was spent: in cents, or where it is less than ten of them in two digits.

    Args:
        usd: In US dollars, not negative.
    """
    return f"${usd:.2f}" if usd >= 0.1 or not usd else f"${np.format_float_positional(usd, 2, fractional=False)}"
