"""Numbers that lose digits in the libraries: beyond 2^53 in float64, and close together or tiny in float32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble.arrays import Floats
from ensemble.column_types import column_key
from ensemble.members import Member
from ensemble.table import NUMBER, Table

# Rows that are looked at.
MOST_ROWS = 100_000
# Share of a column's different values that may coincide in float32: among many, some do so by chance.
COINCIDING = 0.05
# The largest whole number up to which float64 has all whole numbers, and the end of 64-bit integers.
_WHOLE, _INT64 = 2.0**53, 2.0**64


def float_warnings(train: Table, members: Mapping[str, type[Member]]) -> list[str]:
    """Return a sentence on each column whose numbers lose what distinguishes them, with what to do.

    Args:
        train: The training rows.
        members: The classes of the members, by name.
    """
    rounding = [name for name, member in members.items() if member.float32]
    sentences = []
    for place, column in enumerate(train.columns):
        values = np.asarray(train.features[:MOST_ROWS, place])
        values = values[~np.isnan(values)]
        if column.type == NUMBER and _beyond_whole(train.features[:, place]):
            sentences.append(
                f"{column.name}: it has whole numbers above 2^53, whose last digits float64 does not keep. If they are "
                f"names and not amounts: {column_key(column.name, 'category')}"
            )
        elif column.type in (NUMBER, "date") and rounding:
            sentences += _coinciding(column.name, values, rounding, date=column.type == "date")
    if train.classes:
        return sentences
    labels = [name for name, member in members.items() if member.float32_target]
    if _beyond_whole(train.target):
        sentences.append(
            f"the target {train.target_name}: it has whole numbers above 2^53, whose last digits float64 does not "
            "keep; subtract a constant in the file"
        )
    elif labels:
        sentences += _coinciding(f"the target {train.target_name}", train.target[:MOST_ROWS], labels)
    return [*sentences, *_spread(train.target, members)]


def _beyond_whole(values: Floats) -> bool:
    values = values[~np.isnan(values)]
    largest = float(np.abs(values).max(initial=0.0))
    return _WHOLE < largest < _INT64 and np.array_equal(values, np.round(values))


def _coinciding(name: str, values: Floats, rounding: list[str], *, date: bool = False) -> list[str]:
    different = np.unique(values)
    left = len(np.unique(different.astype(np.float32)))
    if len(different) - left <= COINCIDING * len(different):
        return []
    if date:
        cure = "give it as a number, the seconds since its first value"
    elif np.abs(different).max() < np.finfo(np.float32).tiny:
        cure = "multiply the column by a constant"
    else:
        cure = f"subtract a constant, such as its smallest value, {different[0]:.17g}"
    read = f"{name}: {', '.join(rounding)} read numbers with 24 bits (float32)"
    return [f"{read}, in which {len(different)} different values are only {left}; {cure}"]


def _spread(target: Floats, members: Mapping[str, type[Member]]) -> list[str]:
    spread = float(np.std(target))
    limited = {name: member.spreads for name, member in members.items() if spread > 0}
    few = [name for name, (low, high) in limited.items() if not low <= spread <= high]
    if not few:
        return []
    how, cure = ("little", "multiply") if spread < 1 else ("much", "divide")
    found = f"the target's standard deviation is {spread:.3g}, and {', '.join(few)} learn little if it varies so {how}"
    return [f"{found}; {cure} it by a constant"]
