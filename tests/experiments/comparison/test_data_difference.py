"""The one-line description of how the data of two studies differ."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble.table import Column, Table, numbers
from experiments.comparison.data_difference import describe_difference
from experiments.data.channels import channels_at
from experiments.data.datasets import Splits
from experiments.data.presplit import SPLITS
from tests.experiments.comparison.builder import POINTS, add_study, scored, splits, table


def differing(folder: Path, one: Splits, other: Splits) -> str:
    found = [
        add_study(
            folder,
            name,
            [scored(0, POINTS[0])],
            data=dataclasses.replace(data, hashes=dict.fromkeys(SPLITS, digest * 64)),
        )
        for name, data, digest in (("laptop", one, "1"), ("server", other, "2"))
    ]
    return describe_difference(*found)


def with_cells(changed: Table, cells: dict[tuple[int, int], float]) -> Table:
    features = np.array(changed.features)
    for place, value in cells.items():
        features[place] = value
    return dataclasses.replace(changed, features=features)


def test_a_changed_cell_is_named_with_its_row_and_column(folder: Path) -> None:
    base = with_cells(table(12), {(4, 1): 0.25, (5, 0): np.nan})
    assert differing(folder, splits(base), splits(with_cells(base, {(4, 1): 0.5}))) == (
        "1 row differs: height in row 4 of the train rows is 0.25 in laptop, 0.5 in server"
    )


def test_changed_rows_are_counted_over_all_parts(folder: Path) -> None:
    base = splits()
    target = np.array(base.test.target)
    target[2] = 7.0
    other = dataclasses.replace(
        base,
        validation=with_cells(base.validation, {(0, 0): 1.0, (1, 1): 2.0}),
        test=dataclasses.replace(base.test, target=target),
    )
    assert differing(folder, base, other).startswith("3 rows differ: width in row 0 of the validation rows is ")


def test_a_removed_row_is_counted(folder: Path) -> None:
    base = table(12)
    assert differing(folder, splits(base), splits(base.take(slice(1, None)))) == (
        "24 rows in laptop (12 + 5 + 7), 23 rows in server (11 + 5 + 7); 23 are in both"
    )


def test_the_same_rows_in_other_parts_are_the_same_rows(folder: Path) -> None:
    base = splits()
    shuffled = dataclasses.replace(base, train=base.train.take(np.arange(12)[::-1]))
    assert differing(folder, base, shuffled).endswith("24 are in both, split differently")


@pytest.mark.parametrize(
    ("columns", "description"),
    [
        (numbers("width", "depth"), "column height only in laptop; column depth only in server"),
        (numbers("height", "width"), "the same columns in a different order"),
        ((Column("width"), Column("height", "date")), "column height is number in laptop, date in server"),
    ],
)
def test_columns_come_before_rows(folder: Path, columns: tuple[Column, ...], description: str) -> None:
    base = splits()
    other = dataclasses.replace(base, train=dataclasses.replace(base.train, columns=columns))
    assert differing(folder, base, other) == description


def test_a_different_target_is_named(folder: Path) -> None:
    base = splits()
    other = dataclasses.replace(base, train=dataclasses.replace(base.train, target_name="cost"))
    assert differing(folder, base, other) == "target price in laptop, cost in server"


def of_classes(base: Splits, classes: tuple[str, ...], positive: str | None = None) -> Splits:
    def changed(part: Table) -> Table:
        return dataclasses.replace(
            part, target=np.arange(part.rows) % len(classes) * 1.0, classes=classes, positive=positive
        )

    parts = {name: changed(part) for name, part in base.tables.items()}
    return dataclasses.replace(base, **parts, hashes={name: part.content_hash() for name, part in parts.items()})


@pytest.mark.parametrize(
    ("classes", "positive", "description"),
    [
        (("no", "yes"), "no", "2 classes (no, yes) with 'yes' positive in laptop and 2 classes (no, yes) with 'no'"),
        (("a", "b", "c"), None, "2 classes (no, yes) with 'yes' positive in laptop and 3 classes (a, b, c) in server"),
    ],
)
def test_other_classes_are_named(folder: Path, classes: tuple[str, ...], positive: str, description: str) -> None:
    base = splits()
    found = differing(folder, of_classes(base, ("no", "yes"), "yes"), of_classes(base, classes, positive))
    assert found.startswith(f"target price is {description}")


def test_classes_and_a_quantity_are_told_apart(folder: Path) -> None:
    base = splits()
    found = differing(folder, base, of_classes(base, ("no", "yes"), "yes"))
    assert found == "target price is a quantity in laptop and 2 classes (no, yes) with 'yes' positive in server"


def test_a_changed_class_is_named_by_its_label(folder: Path) -> None:
    base = of_classes(splits(), ("no", "yes"), "yes")
    target = np.array(base.train.target)
    target[3] = 0
    other = dataclasses.replace(base, train=dataclasses.replace(base.train, target=target))
    assert (
        differing(folder, base, other)
        == "1 row differs: price in row 3 of the train rows is 'yes' in laptop, 'no' in server"
    )


def test_weights_in_one_study_only_are_named(folder: Path) -> None:
    base = splits()
    other = dataclasses.replace(base, train=dataclasses.replace(base.train, weights=np.ones(12)))
    assert differing(folder, base, other) == "features, target in laptop, features, target, weights in server"


def test_data_that_cannot_be_read_is_named_by_its_hash(folder: Path) -> None:
    descriptions = []
    for damage in (shutil.rmtree, lambda path: (path / "train" / "schema.json").write_text("{")):
        shutil.rmtree(folder / "studies", ignore_errors=True)
        laptop, server = (
            add_study(folder, name, [scored(0, POINTS[0])], data=splits(digest=digest * 64))
            for name, digest in (("laptop", "1"), ("server", "2"))
        )
        damage(channels_at(server.data_hash, folder / "studies"))
        descriptions.append(describe_difference(laptop, server))
    assert descriptions == [f"{laptop.data_hash[:12]} in laptop, {server.data_hash[:12]} in server"] * 2
