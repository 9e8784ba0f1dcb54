"""The content hash of a table, and its rows."""

from __future__ import annotations

import numpy as np

from ensemble.table import Column, Table, numbers
from tests.entry.conftest import make_table


def test_the_hash_changes_with_whatever_counts() -> None:
    table = make_table(10)
    features, target = table.features.copy(), table.target.copy()
    features[3, 1] = np.nextafter(features[3, 1], 99)
    target[-1] = np.nextafter(target[-1], 99)
    swapped = table.features[:, [1, 0, 2]]
    tables = [
        table,
        Table(table.columns, "y", features, table.target),
        Table(table.columns, "y", table.features, target),
        Table(numbers("x0", "x1", "z"), "y", table.features, table.target),
        Table(table.columns, "z", table.features, table.target),
        Table(numbers("x1", "x0", "x2"), "y", swapped, table.target),
        Table(table.columns, "y", swapped, table.target),
        Table(numbers("x1", "x0", "x2"), "y", table.features, table.target),
        Table((Column("x0", "boolean"), *table.columns[1:]), "y", table.features, table.target),
        Table((Column("x0", "category", ("a",)), *table.columns[1:]), "y", table.features, table.target),
        Table((Column("x0", "category", ("b",)), *table.columns[1:]), "y", table.features, table.target),
        Table(table.columns, "y", table.features, table.target, np.ones(10)),
        Table(table.columns, "y", table.features, table.target, None, np.ones(10)),
        table.take(slice(9)),
        table.take(np.arange(10)[::-1]),
    ]
    assert len({each.content_hash() for each in tables}) == len(tables)


def test_the_hash_does_not_depend_on_how_the_numbers_lie_in_memory() -> None:
    table = make_table(10)
    turned = Table(table.columns, "y", np.asfortranarray(table.features), table.target[::-1].copy()[::-1])
    assert turned.content_hash() == table.content_hash()


def test_rows_are_taken_in_the_requested_order() -> None:
    table = make_table(10)
    found = table.take(np.array([7, 2, 2]))
    assert np.array_equal(found.features, table.features[[7, 2, 2]])
    assert found.target.tolist() == table.target[[7, 2, 2]].tolist()
