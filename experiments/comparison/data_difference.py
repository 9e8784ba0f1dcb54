"""How the data of two studies differ, if both are on this machine."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ensemble.arrays import Floats
from ensemble.channel import read_channel
from ensemble.errors import InputError
from ensemble.table import Table
from ensemble.targets import named_labels
from experiments.comparison.recorded_study import RecordedStudy
from experiments.data.channels import channels_at
from experiments.data.presplit import SPLITS

# Larger tables are not compared row by row.
_MOST_ROWS = 100_000


def describe_difference(one: RecordedStudy, other: RecordedStudy) -> str:
    """Return in one line how the data of two studies differ."""
    tables = [_tables(study) for study in (one, other)]
    if tables[0] is None or tables[1] is None:
        hashes = [f"{study.data_hash[:12]} in {study.name}" for study in (one, other)]
        return ", ".join(hashes)
    left, right = tables[0], tables[1]
    return (
        _columns(left["train"], right["train"], (one.name, other.name))
        or _cell(left, right, (one.name, other.name))
        or _rows(left, right, (one.name, other.name))
    )


def _tables(study: RecordedStudy) -> dict[str, Table] | None:
    """Return a study's tables, or None if they are not on this machine."""
    folder = channels_at(study.data_hash, study.folder.parent)
    names = [name for name in SPLITS if name == "train" or (folder / name).exists()]
    try:
        return {name: read_channel(folder / name) for name in names}
    except InputError:
        return None


def _columns(one: Table, other: Table, names: tuple[str, str]) -> str | None:
    if one.target_name != other.target_name:
        return f"target {one.target_name} in {names[0]}, {other.target_name} in {names[1]}"
    if (one.classes, one.positive) != (other.classes, other.positive):
        found = " and ".join(f"{_classes(table)} in {name}" for table, name in zip((one, other), names, strict=True))
        return f"target {one.target_name} is {found}"
    known = [{column.name: column for column in table.columns} for table in (one, other)]
    lines = [
        f"column {name} only in {study}"
        for study, here, there in ((names[0], *known), (names[1], *reversed(known)))
        for name in here
        if name not in there
    ]
    lines += [
        f"column {name} is {known[0][name].type} in {names[0]}, {known[1][name].type} in {names[1]}"
        for name in known[0]
        if name in known[1] and known[0][name].type != known[1][name].type
    ]
    lines += [
        f"column {name} has different categories"
        for name in known[0]
        if name in known[1] and known[0][name].type == known[1][name].type and known[0][name] != known[1][name]
    ]
    if lines:
        return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
    if one.names != other.names:
        return "the same columns in a different order"
    parts = [sorted(table.arrays()) for table in (one, other)]
    if parts[0] != parts[1]:
        return f"{', '.join(parts[0])} in {names[0]}, {', '.join(parts[1])} in {names[1]}"
    return None


def _classes(table: Table) -> str:
    if not table.classes:
        return "a quantity"
    positive = "" if table.positive is None else f" with {table.positive!r} positive"
    return f"{len(table.classes)} classes ({named_labels(table.classes)}){positive}"


def _cell(one: dict[str, Table], other: dict[str, Table], names: tuple[str, str]) -> str | None:
    """Return the rows that differ and the first differing cell; None if the rows are split differently."""
    total, first = 0, ""
    if set(one) != set(other):
        return None
    for split, table in one.items():
        a, b = _matrix(table), _matrix(other[split])
        if a.shape != b.shape:
            return None
        differs = (a != b) & ~(np.isnan(a) & np.isnan(b))
        rows = np.flatnonzero(differs.any(axis=1))
        if len(rows) > len(a) // 2:  # a different split, rather than some changed cells
            return None
        if len(rows) and not first:
            row, column = rows[0], int(np.flatnonzero(differs[rows[0]])[0])
            title = _titles(table)[column]
            here, there = (_written(table, column, float(cells[row, column])) for cells in (a, b))
            values = f"{here} in {names[0]}, {there} in {names[1]}"
            first = f"{title} in row {row} of the {split} rows is {values}"
        total += len(rows)
    return None if not total else f"{total} row{'s' if total != 1 else ''} differ{'' if total != 1 else 's'}: {first}"


def _written(table: Table, place: int, value: float) -> str:
    """Return a cell of ``_matrix``: a category and a class by their names."""
    levels = [*(column.levels for column in table.columns), table.classes]
    named = place < len(levels) and levels[place] and not np.isnan(value)
    return repr(levels[place][int(value)]) if named else str(value)


def _rows(one: dict[str, Table], other: dict[str, Table], names: tuple[str, str]) -> str:
    counts = [{split: table.rows for split, table in tables.items()} for tables in (one, other)]
    totals = [sum(count.values()) for count in counts]
    described = ", ".join(
        f"{total} rows in {name} ({' + '.join(str(count.get(split, 0)) for split in SPLITS)})"
        for name, total, count in zip(names, totals, counts, strict=True)
    )
    if max(totals) > _MOST_ROWS:
        return described
    both = (_multiset(one) & _multiset(other)).total()
    divided = ", split differently" if both == totals[0] == totals[1] else ""
    return f"{described}; {both} are in both{divided}"


def _multiset(tables: dict[str, Table]) -> Counter[bytes]:
    # Adding zero turns -0.0 into 0.0, which it equals.
    return Counter((row + 0.0).tobytes() for table in tables.values() for row in _matrix(table))


def _matrix(table: Table) -> Floats:
    return np.column_stack([np.asarray(array, dtype=np.float64) for array in table.arrays().values()])


def _titles(table: Table) -> list[str]:
    extra = {"target": table.target_name, "weights": "weight", "fold_keys": "fold key"}
    return [*table.names, *(extra[name] for name in table.arrays() if name != "features")]
