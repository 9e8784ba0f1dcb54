"""The content hash of a table, and its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble.table import Column, Table, joined, numbers
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
        replace(table, classes=("a", "b"), positive="b"),
        replace(table, classes=("a", "b"), positive="a"),
        replace(table, classes=("a", "c"), positive="a"),
        replace(table, classes=("a", "b", "c")),
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


def test_parts_of_a_table_and_tables_together_keep_all_classes() -> None:
    table = replace(make_table(10), target=np.arange(10.0) % 2, classes=("a", "b"), positive="b", notes=("note",))
    part = table.take(np.array([0, 2]))
    assert (part.classes, part.positive, part.notes, part.task) == (("a", "b"), "b", ("note",), "binary")
    both = joined([part, table])
    assert (both.classes, both.positive, both.rows) == (("a", "b"), "b", 12)


def test_the_hash_of_a_quantity_is_what_it_was() -> None:
    # Studies that exist are found again by the hash of their data.
    table = Table(numbers("a", "b"), "y", np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([5.0, 6.5]))
    assert table.content_hash() == "e68f2e23c8466f61f742bfb4e6b6ef309241198a3d036774e17b5a059115ab39"
