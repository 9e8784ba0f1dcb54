"""Misleading columns of a table are reported before the first trial."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ensemble.members import REGISTRY
from experiments.config.schema import DatasetConfig, LocalModeConfig, SplitConfig
from experiments.data.column_report import DataReport, report
from experiments.data.datasets import load
from tests.conftest import Ended

ROWS = 100


def table(folder: Path, **columns: list[object]) -> DataReport:
    random = np.random.RandomState(0)
    cells = {"size": random.normal(size=ROWS).tolist(), "price": random.normal(size=ROWS).tolist()} | columns
    lines = [",".join(cells), *(",".join(map(str, row)) for row in zip(*cells.values(), strict=True))]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return report(load(DatasetConfig("file", str(folder / "table.csv"), "price"), LocalModeConfig()), REGISTRY)


def test_sound_table_has_no_warning(folder: Path) -> None:
    found = table(folder, town=["a", "b"] * 50, gap=["", 1.5, 2.5, 3.5] * 25)
    assert found.warnings == ()
    rows = {column.name: (column.type, round(column.missing, 2), column.distinct) for column in found.columns}
    assert rows == {"size": ("number", 0, ROWS), "town": ("category", 0, 2), "gap": ("number", 0.25, 3)}


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([7] * ROWS, ["odd: constant", "dataset.drop=[odd]"]),
        ([""] * ROWS, ["odd: constant"]),
        (list(range(1000, 1000 + ROWS)), ["odd: an identifier", "dataset.drop=[odd]"]),
        ([f"id-{row}" for row in range(ROWS)], ["odd: an identifier"]),
        ([f"{row % 12 + 1:02}/03/2024" for row in range(ROWS)], ["odd: dates", "2024-12-31"]),
    ],
    ids=["constant", "empty", "counting", "names", "dates"],
)
def test_misleading_column_is_named_with_what_to_do(values: list[object], parts: list[str], folder: Path) -> None:
    (warning,) = table(folder, odd=values).warnings
    assert [part for part in parts if part not in warning] == []


def test_a_number_of_the_row_in_any_step_is_an_identifier(folder: Path) -> None:
    (warning,) = table(folder, odd=[13 + 7 * row for row in range(ROWS)]).warnings
    assert "odd: an identifier" in warning


@pytest.mark.parametrize("leak", ["scaled", "ordered", "levels"])
def test_a_feature_that_tells_the_target_is_named(leak: str, folder: Path) -> None:
    random = np.random.RandomState(1)
    price = random.gamma(1.0, size=ROWS).round(2)
    if leak == "levels":
        price = (np.arange(ROWS) % 12 + random.normal(size=ROWS) / 100).round(4)
    values = {
        "scaled": (price * 1.8 + 32).tolist(),
        "ordered": [-(value**3) for value in price],
        "levels": [f"kind-{row % 12}" for row in range(ROWS)],
    }
    (warning,) = table(folder, price=price.tolist(), odd=values[leak]).warnings
    assert warning.startswith("odd: it tells the target nearly alone. If it is not known when you predict")
    assert "dataset.drop=[odd]" in warning


def test_a_feature_that_explains_much_is_not_a_leak(folder: Path) -> None:
    random = np.random.RandomState(1)
    price = random.normal(size=ROWS)
    assert table(folder, price=price.tolist(), odd=(price + random.normal(size=ROWS) / 4).tolist()).warnings == ()


def test_few_rows_and_many_columns_are_explained(folder: Path) -> None:
    random = np.random.RandomState(0)
    cells = {f"x{place}": random.normal(size=30) for place in range(40)} | {"price": random.normal(size=30)}
    lines = [",".join(cells), *(",".join(map(str, row)) for row in zip(*cells.values(), strict=True))]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    config = DatasetConfig("file", str(folder / "table.csv"), "price")
    few, many = report(load(config, LocalModeConfig()), REGISTRY).warnings
    assert few.startswith("there are 18 training rows, so that scores are uncertain")
    assert many.startswith("there are more columns (40) than training rows (18)")
    assert "dataset.split.validation=0" in few


def test_what_could_be_read_otherwise_is_named_with_its_key(folder: Path) -> None:
    found = table(folder, odd=[f'"{row % 50},5"' for row in range(ROWS)], gap=["-", 1.5, 2.5, 3.5] * 25)
    assert any("dataset.columns.odd=decimal_comma reads it as 0.5" in warning for warning in found.warnings)
    assert any("'-' in 25 of 100 cells is read as missing" in warning for warning in found.warnings)
    assert len(found.warnings) == 2


def test_rows_in_several_folds_or_in_training_and_test_are_counted(folder: Path) -> None:
    within, across = table(folder, size=[1, 2, 3, 4] * 25, price=[1, 2, 3, 4] * 25).warnings
    assert within.startswith(
        "56 of 60 training rows repeat another, in any fold, so cross-validation scores are too good"
    )
    assert across.startswith("20 of 20 test rows are among the training rows too")


def test_one_value_with_gaps_is_not_constant(folder: Path) -> None:
    assert table(folder, known=["", 1] * 50).warnings == ()


def test_target_with_a_heavy_tail_is_named(folder: Path) -> None:
    rows = 600
    size = np.random.RandomState(1).normal(size=rows).tolist()
    (warning,) = table(folder, size=size, price=[*range(rows - 3), *[1e6] * 3]).warnings
    assert "standard deviations from the mean" in warning


def test_few_rows_with_a_heavy_tail_are_named(folder: Path) -> None:
    random = np.random.RandomState(3)
    rows = 60
    (warning,) = (
        text
        for text in table(
            folder, size=random.normal(size=rows).tolist(), price=(10.0 ** random.uniform(0, 10, rows)).tolist()
        ).warnings
        if "RMSE" in text
    )
    assert "one row has" in warning
    assert "of the target's variance, and so dominates the RMSE: consider its logarithm" in warning


def test_of_many_columns_those_with_something_to_say_are_shown(folder: Path) -> None:
    random = np.random.RandomState(0)
    plain = {f"x{place}": random.normal(size=ROWS).tolist() for place in range(100)}
    found = table(folder, **plain, town=["a", "b"] * 50, same=[1] * 100, gap=["", *random.normal(size=99).tolist()])
    printed = io.StringIO()
    Console(width=120, file=printed).print(found.render())
    lines = printed.getvalue().splitlines()
    names = [line.split()[0] for line in lines[2:42]]
    assert names == ["size", *(f"x{place}" for place in range(36)), "town", "same", "gap"]
    assert "and 64 more columns (64 of type number), which the card of the model lists" in lines


def test_report_is_shown_before_the_first_trial(project: Path, byoe: Callable[..., Ended]) -> None:
    from tests.conftest import QUICK, run_command

    table(project, town=["a", "b"] * 50, same=[1] * ROWS)
    ended = run_command(
        "mode=local", "dataset=file", "dataset.path=table.csv", "dataset.target=price", "search.n_trials=1", *QUICK
    )
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "100 rows: 60 train, 20 validation, 20 test."
    assert lines[1].split() == ["column", "type", "missing", "distinct"]
    assert lines[3].split() == ["town", "category", "2"]
    assert any("dataset.columns.<name>=number|decimal_comma|category|date|boolean" in line for line in lines)
    assert any(line.startswith("warning: same: constant") for line in lines)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        # Epoch seconds within a quarter of an hour, whole numbers above 2^24, times within a minute, and tiny numbers.
        (
            [1700000000 + 7 * row % 997 for row in range(ROWS)],
            ["odd: xgboost, catboost, random", "subtract", "1700000000"],
        ),
        ([2**24 + row for row in range(ROWS)], ["60 different values are only", "subtract"]),
        (
            [f"2024-01-01T00:00:{row % 60:02}" for row in range(ROWS)],
            ["are only 1; give it as a number, the seconds since"],
        ),
        ([row % 50 * 1e-160 for row in range(ROWS)], ["different values are only 1; multiply the column"]),
        (
            [2**53 + 2 * row for row in range(ROWS)],
            ["odd: it has whole numbers above 2^53", "dataset.columns.odd=category"],
        ),
    ],
    ids=["epoch seconds", "above 2^24", "seconds of a day", "1e-160", "above 2^53"],
)
def test_numbers_that_lose_digits_are_named_with_what_to_do(
    values: list[object], parts: list[str], folder: Path
) -> None:
    warnings = [text for text in table(folder, odd=values).warnings if "identifier" not in text]
    assert len(warnings) == 1
    assert [part for part in parts if part not in warnings[0]] == []


def test_a_target_of_whole_numbers_above_2_53_is_named(folder: Path) -> None:
    (warning,) = table(folder, price=[2**53 + 1000 * row for row in range(ROWS)]).warnings
    assert "the target price: it has whole numbers above 2^53" in warning
    assert "subtract a constant" in warning


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (
            [row * 37 % 100 * 1e-5 for row in range(ROWS)],
            ["deviation is 0.0002", "and xgboost learn little", "multiply"],
        ),
        ([row * 37 % 100 * 1e-9 for row in range(ROWS)], ["and xgboost, random_forest, extra_trees learn", "multiply"]),
        ([row * 37 % 100 * 1e18 for row in range(ROWS)], ["and xgboost learn little", "varies so much; divide"]),
        (
            [1e9 + row * 37 % 100 for row in range(ROWS)],
            ["the target price: xgboost, catboost, lightgbm read", "subtract a constant"],
        ),
    ],
    ids=["0.001", "1e-9", "1e20", "1e9 and little"],
)
def test_a_target_that_a_library_cannot_resolve_is_named(values: list[object], parts: list[str], folder: Path) -> None:
    (warning,) = table(folder, price=values).warnings
    assert [part for part in parts if part not in warning] == []


def test_members_that_keep_float64_need_no_warning(folder: Path) -> None:
    rows = [f"{1700000000 + 7 * row * row % 997},{row % 9 * 1e-4}" for row in range(ROWS)]
    (folder / "table.csv").write_text("\n".join(["odd,price", *rows]) + "\n")
    splits = load(DatasetConfig("file", str(folder / "table.csv"), "price"), LocalModeConfig())
    kept = {name: REGISTRY[name] for name in ("ridge", "svr", "hist_gradient_boosting", "mlp", "nearest_neighbors")}
    assert report(splits, kept).warnings == ()


def test_the_rows_of_each_class_are_shown(folder: Path) -> None:
    found = table(folder, price=["no"] * 70 + ["yes"] * 30)
    assert found.classes == {"no": 70, "yes": 30}
    assert found.warnings == ()
    lines = [line.split() for line in rendered(found)]
    assert lines[-3:] == [["class", "rows", "share"], ["no", "70", "70.0%"], ["yes", "30", "30.0%"]]
    assert table(folder).classes == {}


def test_the_most_frequent_of_many_classes_are_shown(folder: Path) -> None:
    names = [f"c{place:02}" for place in range(25)]
    found = table(folder, price=names * 4, size=list(range(ROWS)))
    assert len(found.classes) == 25
    assert rendered(found)[-1].strip() == "and 5 classes more, with at most 4 rows each"


def test_a_rare_class_is_named(folder: Path) -> None:
    (warning,) = table(folder, price=["no"] * 96 + ["yes"] * 4).warnings
    assert warning.startswith("the target price: 4.0% of the rows have the class yes, so that accuracy is high")


@pytest.mark.parametrize("classes", [["no", "yes"], ["low", "middle", "high"]])
@pytest.mark.parametrize("leak", ["level", "number"])
def test_a_feature_that_tells_the_class_is_named(classes: list[str], leak: str, folder: Path) -> None:
    random = np.random.RandomState(2)
    price = random.choice(len(classes), ROWS)
    odd = [f"kind-{place}" for place in price] if leak == "level" else (price + random.uniform(0, 0.9, ROWS)).tolist()
    (warning,) = table(folder, price=[classes[place] for place in price], odd=odd).warnings
    assert warning.startswith("odd: it tells the target nearly alone")


@pytest.mark.parametrize("kind", ["level", "number"])
def test_a_feature_that_says_much_about_the_class_is_not_a_leak(kind: str, folder: Path) -> None:
    random = np.random.RandomState(2)
    price = random.choice(2, ROWS)
    odd = [f"kind-{place ^ (row % 10 == 0)}" for row, place in enumerate(price)]
    numbers = (price + random.normal(0, 0.4, ROWS)).tolist()
    given = [["no", "yes"][place] for place in price]
    assert table(folder, price=given, odd=odd if kind == "level" else numbers).warnings == ()


def test_classes_have_neither_a_tail_nor_digits(folder: Path) -> None:
    rows = 600
    price = ["no"] * (rows - 60) + ["yes"] * 60
    assert table(folder, size=np.random.RandomState(1).normal(size=rows).tolist(), price=price).warnings == ()


def rendered(found: DataReport) -> list[str]:
    """Return the lines of a report."""
    console = Console(width=100, file=io.StringIO())
    console.print(found.render())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_rows_of_each_part_are_the_first_line_and_are_counted_in_words(folder: Path) -> None:
    found = table(folder)
    assert rendered(found)[0].strip() == "100 rows: 60 train, 20 validation, 20 test."
    whole = DatasetConfig("file", str(folder / "table.csv"), "price", split=SplitConfig(validation=0.0, test=0.0))
    assert report(load(whole, LocalModeConfig()), REGISTRY).described_rows == "100 rows: 100 train"
