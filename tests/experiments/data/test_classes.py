"""Tables of classes: how they are split, what is noted about the target, and the built-in ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import InputError
from ensemble.table import Table
from experiments.config.compose import compose
from experiments.config.schema import DatasetConfig, FoldsConfig, LocalModeConfig, SplitConfig
from experiments.data.datasets import Splits, load


def splits_of(folder: Path, targets: list[Any], groups: list[int] | None = None, **keys: Any) -> Splits:
    """Return the split table with these targets."""
    cells = [range(len(targets)), groups or [0] * len(targets), targets]
    lines = ["a,who,y", *(",".join(map(str, row)) for row in zip(*cells, strict=True))]
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    folds = FoldsConfig("group", 2, None, "who") if groups else FoldsConfig("kfold", 2)
    return load(DatasetConfig("file", str(path), "y", folds=folds, **keys), LocalModeConfig())


def counts(table: Table | None) -> list[int]:
    """Return the number of rows of each class."""
    assert table is not None
    return np.bincount(table.target.astype(int), minlength=len(table.classes)).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_each_part_has_its_share_of_every_class(seed: int, folder: Path) -> None:
    targets = np.random.RandomState(seed).permutation(["a"] * 100 + ["b"] * 50 + ["c"] * 10).tolist()
    splits = splits_of(folder, targets, split=SplitConfig(seed=seed))
    assert [counts(table) for table in splits.tables.values()] == [[60, 30, 6], [20, 10, 2], [20, 10, 2]]
    rows = np.concatenate([table.features[:, 0] for table in splits.tables.values()])
    assert sorted(rows) == list(range(160))


@pytest.mark.parametrize(("rows", "left"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_most_rows_of_a_small_class_stay_in_training(rows: int, left: int, folder: Path) -> None:
    for seed in range(10):
        targets = ["a"] * 50 + ["b"] * 50 + ["rare"] * rows
        assert counts(splits_of(folder, targets, split=SplitConfig(seed=seed)).train)[2] == left


def test_the_seed_of_the_split_draws_other_rows(folder: Path) -> None:
    drawn = {splits_of(folder, ["a", "b"] * 50, split=SplitConfig(seed=seed)).data_hash for seed in range(3)}
    assert len(drawn) == 3


def test_groups_stay_together_and_those_of_a_rare_class_are_dealt_out(folder: Path) -> None:
    groups = [number // 5 for number in range(200)]
    # Every fourth group has one row of the rare class.
    targets = ["rare" if number % 20 == 0 else "usual" for number in range(200)]
    for seed in range(5):
        splits = splits_of(folder, targets, groups, split=SplitConfig(seed=seed))
        assert [counts(table)[0] for table in splits.tables.values()] == [6, 2, 2]
        whose = [set(table.fold_keys.tolist()) for table in splits.tables.values() if table.fold_keys is not None]
        assert not whose[0] & whose[1] | whose[0] & whose[2] | whose[1] & whose[2]


@pytest.mark.parametrize(
    ("targets", "keys", "parts"),
    [
        (["no", "yes"], {}, ["takes the target y for 2 classes, no, yes; yes is the positive one (dataset.positive)."]),
        (["no", "yes"], {"positive": "no"}, ["no is the positive one"]),
        (["a", "b", "c"], {}, ["dataset.task=auto takes the target y for 3 classes, a, b, c."]),
        (
            ["0", "1"],
            {},
            ["for 2 classes, 0, 1; 1 is the positive one", "If it is a quantity: dataset.task=regression."],
        ),
        (["true", "false"], {}, ["for 2 classes, false, true", "dataset.task=regression"]),
        (["1", "2"], {}, ["for a quantity: it is 1, 2. If they are classes: dataset.task=binary."]),
        (["3", "4", "5"], {}, ["for a quantity: it is 3, 4, 5", "dataset.task=multiclass"]),
        (["a", "b"], {"task": "multiclass"}, ["the target y has two classes, a, b, so that the task is binary."]),
    ],
)
def test_what_the_target_was_taken_for_is_one_note(
    targets: list[str], keys: dict[str, Any], parts: list[str], folder: Path
) -> None:
    splits = splits_of(folder, targets * 60, **keys)
    (note,) = splits.notes(DatasetConfig(**keys))
    assert [part for part in parts if part not in note] == []


@pytest.mark.parametrize(
    ("targets", "keys"),
    [
        (["a", "b"], {"task": "binary"}),
        (["a", "b", "c"], {"task": "multiclass"}),
        (["1", "2"], {"task": "regression"}),
        (["0.5", "1.5"], {}),
        ([str(number) for number in range(60)], {}),
    ],
)
def test_nothing_is_noted_where_nothing_was_guessed(targets: list[str], keys: dict[str, Any], folder: Path) -> None:
    assert splits_of(folder, targets * 60, **keys).notes(DatasetConfig(**keys)) == []


def test_classes_without_test_rows_are_named(folder: Path) -> None:
    splits = splits_of(folder, ["a", "b"] * 50 + ["c", "c"])
    assert splits.notes(DatasetConfig(task="multiclass")) == [
        "no test row is of the class c: the test scores say nothing of it."
    ]


@pytest.mark.parametrize(
    ("name", "classes", "positive", "rows"),
    [
        ("cancer", ("benign", "malignant"), "malignant", [357, 212]),
        ("wine", ("class_0", "class_1", "class_2"), None, [59, 71, 48]),
        ("diabetes", (), None, None),
    ],
)
def test_built_in_tables_have_their_classes(
    name: str, classes: tuple[str, ...], positive: str | None, rows: list[int] | None
) -> None:
    splits = load(compose([f"dataset={name}"]).config.dataset, LocalModeConfig())
    for table in splits.tables.values():
        assert (table.classes, table.positive) == (classes, positive)
    if rows is not None:
        assert np.sum([counts(table) for table in splits.tables.values()], axis=0).tolist() == rows


def test_the_rows_of_a_built_in_table_of_numbers_are_what_they_were() -> None:
    # Studies that exist are found again by the hash of their data.
    splits = load(DatasetConfig("diabetes"), LocalModeConfig())
    assert splits.data_hash == "e7b2910684a859c96b176be8f60c347bad2318f76ec3983f50d59030518e6849"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (DatasetConfig("cancer", task="regression"), "dataset.task=regression: the task of dataset=cancer is binary"),
        (DatasetConfig("wine", task="binary"), "dataset.task=binary: the task of dataset=wine is multiclass"),
        (DatasetConfig("diabetes", task="binary"), "dataset.task=binary: the task of dataset=diabetes is regression"),
        (DatasetConfig("cancer", positive="benig"), "no class 'benig'. Did you mean 'benign'?"),
        (DatasetConfig("wine", positive="class_1"), "has 3 classes, and dataset.positive=class_1 is for two"),
        (DatasetConfig("diabetes", positive="1"), "is a quantity, and dataset.positive=1 is for two classes"),
        (DatasetConfig("cancer", target="mean_radius"), "dataset.target is for your own table: add dataset=file"),
        (DatasetConfig("wine", folds=FoldsConfig("time")), "needs a column, which wine lacks"),
    ],
)
def test_keys_that_a_built_in_table_cannot_have_are_named(config: DatasetConfig, words: str) -> None:
    with pytest.raises(InputError) as refused:
        load(config, LocalModeConfig())
    assert words in str(refused.value)


def test_two_classes_are_accepted_as_several_with_a_note() -> None:
    config = DatasetConfig("cancer", task="multiclass")
    (note,) = load(config, LocalModeConfig()).notes(config)
    assert "has two classes, benign, malignant, so that the task is binary." in note


def test_the_positive_class_of_a_built_in_table_can_be_chosen() -> None:
    assert load(DatasetConfig("cancer", positive="benign"), LocalModeConfig()).train.positive == "benign"


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    seed=st.integers(0, 1000),
    shares=st.sampled_from([(0.2, 0.2), (0.1, 0), (0, 0.3), (0, 0), (0.25, 0.15)]),
)
def test_parts_have_the_configured_number_of_rows(
    sizes: list[int], seed: int, shares: tuple[float, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    targets = [f"c{place}" for place, size in enumerate(sizes) for _ in range(size)]
    if len(targets) < 20:
        targets += ["c0"] * 20
    test, validation = shares
    splits = splits_of(tmp_path_factory.mktemp("t"), targets, split=SplitConfig(test, validation, seed))
    wanted = {"test": round(test * len(targets)), "validation": round(validation * len(targets))}
    for name, rows in wanted.items():
        assert (splits.tables[name].rows if rows else 0) == rows
