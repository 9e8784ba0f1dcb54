"""A class that cannot be in every fit is found before the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ensemble.errors import InputError
from experiments.config.compose import compose
from experiments.planning.study import StudyPlan, plan_study


def planned(folder: Path, columns: dict[str, Sequence[object]], *arguments: str) -> StudyPlan:
    rows = zip(*columns.values(), strict=True)
    text = "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)])
    (folder / "table.csv").write_text(text + "\n")
    given = ["dataset=file", "action=train", "dataset.path=table.csv", "dataset.target=risk", *arguments]
    return plan_study(compose(given))


def refusal(folder: Path, risk: Sequence[object], *arguments: str, **columns: Sequence[object]) -> str:
    features = {"a": np.random.RandomState(0).rand(len(risk)).round(3).tolist()}
    with pytest.raises(InputError) as refused:
        planned(folder, {**features, **columns, "risk": risk}, *arguments)
    assert list(folder.iterdir()) == [folder / "table.csv"]
    return str(refused.value)


def test_a_class_of_one_row_is_named(folder: Path) -> None:
    assert refusal(folder, ["low"] * 40 + ["high"] * 40 + ["odd"]) == (
        "dataset.target=risk: 1 of 3 classes has fewer than 2 of the 49 training rows, 'odd' (1), but each fold is "
        "fitted on every class. Combine classes, remove their rows, give more of them, or lower dataset.split.test and "
        "dataset.split.validation."
    )


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_a_class_of_a_few_rows_is_trained_on(rows: int, folder: Path) -> None:
    columns = {"a": list(range(60 + rows)), "risk": ["low"] * 30 + ["high"] * 30 + ["odd"] * rows}
    planned(folder, columns)


def test_many_classes_in_few_rows_are_named_with_the_key_for_a_quantity(folder: Path) -> None:
    found = refusal(folder, [*range(200), *range(100)], "dataset.task=multiclass")
    assert "of 200 classes have fewer than 2 of the 180 training rows" in found
    assert found.endswith("If it is a quantity: dataset.task=regression.")
    assert len(found) < 600


def test_classes_that_are_all_smaller_than_the_number_of_folds_are_named(folder: Path) -> None:
    found = refusal(folder, [f"c{number % 40}" for number in range(200)], "dataset.folds.k=5")
    assert (
        "each class has at most 3 training rows, which cannot be divided into 5 folds: lower dataset.folds.k" in found
    )


def test_a_class_that_comes_late_is_named_with_its_fold(folder: Path) -> None:
    risk = ["low", "high"] * 30 + ["late", "low"] * 15
    whole = ("dataset.split.test=0", "dataset.split.validation=0")
    found = refusal(folder, risk, "dataset.folds.kind=time", "dataset.folds.column=day", *whole, day=list(range(90)))
    assert "no row of the class 'late' is among those that fold 0 is fitted on. Choose other folds" in found


def test_a_class_of_one_group_is_named_with_its_fold(folder: Path) -> None:
    who = [number // 4 for number in range(80)]
    risk = ["rare" if group == 3 else ["low", "high"][number % 2] for number, group in enumerate(who)]
    found = refusal(
        folder, risk, "dataset.folds.kind=group", "dataset.folds.column=who", "dataset.split.test=0", who=who
    )
    assert "no row of the class 'rare' is among those that fold" in found


def test_rows_without_weight_do_not_count(folder: Path) -> None:
    risk = ["low"] * 40 + ["high"] * 40
    found = refusal(folder, risk, "dataset.weights=w", w=[1] * 40 + [0] * 40)
    assert "training rows with a weight above 0, 'high' (0)" in found


def test_each_way_to_set_the_task_wrongly_is_refused(folder: Path) -> None:
    text = ["low", "high", "odd", "low"] * 20
    assert "dataset.task=binary: target 'risk'" in refusal(folder, text, "dataset.task=binary")
    assert "where numbers are expected" in refusal(folder, text, "dataset.task=regression")
    assert "dataset.task='classes' is not valid" in refusal(folder, text, "dataset.task=classes")
    assert "has 3 classes, and dataset.positive=low is for two" in refusal(folder, text, "dataset.positive=low")
    assert "has no class 'High'" in refusal(folder, ["low", "high"] * 40, "dataset.positive=High")
    assert "is a quantity" in refusal(folder, [1, 2, 3, 5] * 20, "dataset.positive=1")
