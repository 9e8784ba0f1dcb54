"""Targets: what is a quantity and what is classes, the labels, and mistakes that are named with the fix."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble.classes import sorted_labels
from ensemble.errors import InputError
from ensemble.reading import Roles, read_file, read_folder
from ensemble.table import Table
from ensemble.targets import named_labels
from tests.entry.tables import write


def table_of(folder: Path, targets: list[Any], *, quote: bool = False, **roles: Any) -> Table:
    """Return the table of a CSV file with these texts as targets, the other cells of which are bare."""
    text = io.StringIO()
    writer = csv.writer(text)
    text.write("a,y\n")
    for number, target in enumerate(targets):
        text.write(f'{number},"{target}"\n') if quote else writer.writerow([number, target])
    return read_file(write(folder, text.getvalue(), "table.csv"), Roles("y", **roles))


def parquet(folder: Path, targets: Any, **roles: Any) -> Table:
    """Return the table of a Parquet file with these targets."""
    pd.DataFrame({"a": np.arange(len(targets)), "y": targets}).to_parquet(folder / "table.parquet")
    return read_file(folder / "table.parquet", Roles("y", **roles))


def labels_of(table: Table) -> list[str]:
    """Return the label of each row."""
    return [table.classes[int(place)] for place in table.target]


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (["yes", "no", "yes"], ("no", "yes")),
        (["b", "c", "a", "b"], ("a", "b", "c")),
        (["true", "false", "true"], ("false", "true")),
        (["TRUE", "FALSE", "FALSE"], ("FALSE", "TRUE")),
        (["True", "false", "true", "False"], ("False", "True")),
        (["0", "1", "1"], ("0", "1")),
        (["0.0", "1.0", "1.0"], ("0", "1")),
        (["01", "02", "10", "02"], ("01", "02", "10")),
        (["<=50K", ">50K", ">50K"], ("<=50K", ">50K")),
        (["18-25", "26-35", "26-35"], ("18-25", "26-35")),
        (["A1", "B2", "3"], ("3", "A1", "B2")),
        (["+", "-", "+"], ("+", "-")),
        (["größer", "日本", "日本"], ("größer", "日本")),
    ],
)
def test_text_booleans_and_zero_with_one_are_classes(
    targets: list[str], classes: tuple[str, ...], tmp_path: Path
) -> None:
    table = table_of(tmp_path, targets)
    assert table.classes == classes
    assert table.positive == (classes[1] if len(classes) == 2 else None)
    assert table.target.dtype == np.float64


@pytest.mark.parametrize(
    "targets",
    [["1", "2", "2"], ["0", "1", "2"], ["-1", "1", "1"], ["0.5", "1", "0"], ["1.5", "2.5", "1e3"], ["10", "20", "30"]],
)
def test_numbers_are_a_quantity(targets: list[str], tmp_path: Path) -> None:
    table = table_of(tmp_path, targets)
    assert (table.classes, table.positive, table.task) == ((), None, "regression")
    assert table.target.tolist() == [float(target) for target in targets]


@pytest.mark.parametrize("targets", [["1.5", "2.5", "-3"], ["-1", "2", "3"], ["1e3", "2", "3"]])
def test_text_in_the_file_that_is_measured_is_a_quantity(targets: list[str], tmp_path: Path) -> None:
    assert table_of(tmp_path, targets, quote=True).target.tolist() == [float(target) for target in targets]
    assert parquet(tmp_path, targets).classes == ()


def test_digits_that_the_file_declares_as_text_are_classes(tmp_path: Path) -> None:
    assert table_of(tmp_path, ["3", "10", "3"], quote=True).classes == ("3", "10")
    assert parquet(tmp_path, ["3", "10", "3"]).classes == ("3", "10")


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (pd.Series(["x", "y", "x"], dtype="category"), ("x", "y")),
        ([True, False, True], ("False", "True")),
        (np.array([0, 1, 1], dtype=np.uint8), ("0", "1")),
        (np.array([0.0, 1.0, 1.0], dtype=np.float32), ("0", "1")),
        ([decimal.Decimal("0.00"), decimal.Decimal("1.00")], ("0", "1")),
        ([" b", "a", " b"], (" b", "a")),
    ],
)
def test_parquet_says_itself_what_is_a_class(targets: Any, classes: tuple[str, ...], tmp_path: Path) -> None:
    assert parquet(tmp_path, targets).classes == classes


def test_categories_that_no_row_has_are_no_classes(tmp_path: Path) -> None:
    assert parquet(tmp_path, pd.Categorical(["a", "c", "a"], ["a", "b", "c"])).classes == ("a", "c")


@pytest.mark.parametrize(
    ("task", "targets", "classes"),
    [
        ("multiclass", ["10", "9", "8"], ("8", "9", "10")),
        ("multiclass", ["0.5", "1", "2.0"], ("0.5", "1", "2")),
        ("multiclass", ["$1", "$2", "3 %"], ("$1", "$2", "3 %")),
        ("multiclass", ["1", "2", "x"], ("1", "2", "x")),
        ("multiclass", ["2024-01-01", "2024-01-02", "2024-01-01"], ("2024-01-01", "2024-01-02")),
        ("binary", ["1", "2", "1"], ("1", "2")),
        ("binary", ["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        ("regression", ["0", "1", "0"], ()),
        ("regression", ["true", "false", "true"], ()),
    ],
)
def test_the_task_decides(task: Any, targets: list[str], classes: tuple[str, ...], tmp_path: Path) -> None:
    table = table_of(tmp_path, targets, task=task)
    assert table.classes == classes
    if classes:
        assert labels_of(table) == [target.removesuffix(".0") for target in targets]


def test_true_and_false_as_a_quantity_are_one_and_zero(tmp_path: Path) -> None:
    assert table_of(tmp_path, ["true", "false", "TRUE"], task="regression").target.tolist() == [1, 0, 1]


@pytest.mark.parametrize(("declared", "classes"), [("category", ("1", "2.0")), ("number", ()), ("boolean", ("0", "1"))])
def test_a_declared_target_is_what_it_is_declared_as(declared: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    assert (
        table_of(
            tmp_path, ["1", "0", "1"] if declared == "boolean" else ["1", "2.0", "1"], types=(("y", declared),)
        ).classes
        == classes
    )


BAD: dict[str, tuple[list[Any], dict[str, Any], list[str]]] = {
    "one class": (["yes", "yes"], {}, ["target 'y' is yes in every row", "nothing to learn"]),
    "one class of numbers": (["1", "1"], {"task": "binary"}, ["target 'y' is 1 in every row"]),
    "only zeros": (["0", "0"], {}, ["target 'y' is 0 in every row"]),
    "three labels": (["c", "a", "b"], {"task": "binary"}, ["dataset.task=binary", "3 labels, a, b, c", "multiclass"]),
    "text as a quantity": (
        ["no", "yes", "no"],
        {"task": "regression"},
        ["data row 1: 'no'", "numbers are expected", "dataset.task=binary"],
    ),
    "missing label": (
        ["yes", "", "no", ""],
        {},
        ["target 'y' is missing in 2 of 4 rows", "data row 2: remove these rows."],
    ),
    "label that means missing": (
        ["a", "None", "b"],
        {},
        ["missing in 1 of 3 rows", "data row 2", "'None' is read as missing", "dataset.missing=[]"],
    ),
    "declared as missing": (["a", "?", "b"], {"missing": ("?",)}, ["missing in 1 of 3 rows", "data row 2"]),
    "missing number": (["0", "1", ""], {"task": "binary"}, ["missing in 1 of 3 rows", "data row 3"]),
    "marker for a missing number": (
        ["1", "-9", "2"],
        {"task": "binary", "missing": ("-9",)},
        ["missing in 1 of 3 rows", "data row 2"],
    ),
    "infinite": (["1", "inf", "2"], {"task": "multiclass"}, ["target 'y' is infinite in 1 of 3 rows", "data row 2"]),
    "positive that does not exist": (
        ["no", "yes"],
        {"positive": "Yes"},
        ["no class 'Yes'", "Did you mean 'yes'?", "dataset.positive=no or dataset.positive=yes"],
    ),
    "positive of three": (
        ["a", "b", "c"],
        {"positive": "b"},
        ["has 3 classes", "dataset.positive=b is for two", "out"],
    ),
    "positive of a quantity": (["1", "2"], {"positive": "2"}, ["is a quantity", "dataset.positive=2", "leave it out"]),
    "spaces": (
        ["yes", "no", "yes "],
        {},
        ["the labels 'yes' and 'yes '", "first in data rows 1 and 3", "write them alike"],
    ),
    "composed letters": (["caf\u00e9", "no", "cafe\u0301"], {}, ["first in data rows 1 and 3", "encoded"]),
    "names": (
        [f"name {number}" for number in range(101)],
        {},
        ["text with 101 different values, name 0, name 1,", "dataset.task=multiclass."],
    ),
    "codes of many values": (
        [f"{number:04}" for number in range(101)],
        {},
        ["text with 101 different values, 0000, 0001,", "multiclass. If it is a quantity: dataset.task=regression."],
    ),
    "numbers and a word": (
        ["1.5", "2.5", "cheap"],
        {},
        ["data row 3: 'cheap'", "numbers are expected", "dataset.task=multiclass"],
    ),
    "another notation": (["$1,250", "$3,000"], {}, ["'$1,250'", "dataset.columns.y=number", "dataset.task=binary"]),
    "dates": (["2024-01-01", "2024-01-02", "2024-01-03"], {}, ["'2024-01-01'", "numbers are expected"]),
}


@pytest.mark.parametrize(("targets", "roles", "words"), BAD.values(), ids=BAD)
def test_a_target_that_cannot_be_used_is_named(
    targets: list[Any], roles: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as raised:
        table_of(tmp_path, targets, **roles)
    message = str(raised.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("label", [None, "", " "])
def test_an_empty_label_in_parquet_is_missing(label: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"target 'y' is missing in 1 of 3 rows, first in data row 2"):
        parquet(tmp_path, ["a", label, "b"])


def test_dates_in_parquet_are_neither_a_quantity_nor_classes_until_the_user_says_so(tmp_path: Path) -> None:
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    with pytest.raises(InputError, match="column 'y'"):
        parquet(tmp_path, days)
    assert parquet(tmp_path, days, task="binary").classes == ("2024-01-01", "2024-01-02")


def test_a_label_that_the_training_rows_lack_is_named_with_its_row(tmp_path: Path) -> None:
    for name, targets in (("train", ["good", "bad", "good"]), ("test", ["bad", "god"])):
        (tmp_path / name).mkdir()
        table_of(tmp_path / name, targets)
    train = read_folder(tmp_path / "train", Roles("y"))
    with pytest.raises(InputError, match=r"'god' in data row 2.*Did you mean 'good'\? The classes are: bad, good"):
        read_folder(tmp_path / "test", Roles("y"), train)


@pytest.mark.parametrize(
    ("first", "second", "places"),
    [
        (["b", "a", "c"], ["c", "c"], [2, 2]),
        (["true", "false"], ["TRUE", "False"], [1, 0]),
        (["0", "1"], ["1", "1"], [1, 1]),
        (["0", "1"], ["1.0", "0.0"], [1, 0]),
        (["3", "5+", "4"], ["3", "4"], [0, 1]),
        (["01", "02"], ["02"], [1]),
    ],
)
def test_other_rows_take_over_the_classes(
    first: list[str], second: list[str], places: list[int], tmp_path: Path
) -> None:
    task: Any = "multiclass" if "5+" in first else "auto"
    for name, targets in (("train", first), ("test", second)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "a,y\n" + "".join(f"{number},{target}\n" for number, target in enumerate(targets)))
    train = read_folder(tmp_path / "train", Roles("y", task=task))
    test = read_folder(tmp_path / "test", Roles("y", task=task), train)
    assert (test.classes, test.positive) == (train.classes, train.positive)
    assert test.target.tolist() == places


def test_a_positive_class_is_taken_over_and_spelled_as_the_file_does(tmp_path: Path) -> None:
    assert table_of(tmp_path, ["no", "yes"], positive="no").positive == "no"
    assert table_of(tmp_path, ["True", "False"], positive="false").positive == "False"


def test_labels_that_may_be_mistakes_are_noted(tmp_path: Path) -> None:
    notes = " ".join(table_of(tmp_path, ["Yes", "yes", "?", "no", "?"]).notes)
    assert "'Yes' and 'yes' are different classes" in notes
    assert "'?', in 2 rows, is a class" in notes


def test_long_labels_and_line_breaks_do_not_break_a_message(tmp_path: Path) -> None:
    labels = ["x" * 5000, "a\nb", "c"]
    with pytest.raises(InputError) as raised:
        parquet(tmp_path, labels, task="binary")
    message = str(raised.value)
    assert len(message) < 500
    assert "'a\\nb', c, xxx" in message
    with pytest.raises(InputError) as raised:
        parquet(tmp_path, ["x" * 5000] * 2)
    assert len(str(raised.value)) < 300
    assert labels_of(parquet(tmp_path, labels)) == labels


@pytest.mark.parametrize("task", ["auto", "multiclass"])
@pytest.mark.parametrize("cell", [[1], {"a": 1}, b"x", dt.time(1)])
def test_cells_that_are_no_labels_are_named(cell: object, task: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column 'y' holds a \w+ in data row 1"):
        parquet(tmp_path, [cell, cell], task=task)


def test_true_and_false_with_gaps_are_named_as_missing(tmp_path: Path) -> None:
    for table in (lambda: parquet(tmp_path, [True, None, False]), lambda: table_of(tmp_path, ["true", "", "false"])):
        with pytest.raises(InputError, match="target 'y' is missing in 1 of 3 rows, first in data row 2"):
            table()


def test_a_word_for_missing_values_is_a_class_if_the_user_says_so(tmp_path: Path) -> None:
    assert table_of(tmp_path, ["None", "NA", "x"], missing=()).classes == ("NA", "None", "x")


def test_many_labels_are_read_quickly(tmp_path: Path) -> None:
    labels = [f"label {number}" for number in range(20_000)]
    assert labels_of(table_of(tmp_path, labels, task="multiclass")) == labels


# What pandas takes for a missing value or a number has tests of its own.
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(
    lambda text: f"x{text}".strip()
) | st.sampled_from(["yes", "no ", "true", "false", "05", "a,b", 'say "no"', "ü"])


@pytest.mark.parametrize(
    ("label", "shown"),
    [("no", "no"), ("no, never", "'no, never'"), ("no ", "'no '"), ("a\tb", r"'a\tb'"), ("日本", "日本")],
)
def test_a_label_whose_ends_would_not_be_seen_in_a_list_is_in_quotes(label: str, shown: str) -> None:
    assert named_labels([label, "yes"]) == f"{shown}, yes"


@given(labels=st.lists(WORDS, min_size=2, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_of_text_come_back_as_they_are_typed(labels: list[str], tmp_path: Path) -> None:
    try:
        table = table_of(tmp_path, labels, task="multiclass")
    except InputError as error:
        assert "write them alike" in str(error) or "in every row" in str(error)  # noqa: PT017
        return
    assert labels_of(table) == labels
    assert table.classes == sorted_labels(labels)
    assert parquet(tmp_path, labels, task="multiclass").content_hash() == table.content_hash()


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), min_size=2, max_size=12, unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_numbers_as_labels_keep_every_digit(numbers: list[int], tmp_path: Path) -> None:
    labels = [str(number) for number in numbers]
    for table in (table_of(tmp_path, labels, task="multiclass"), parquet(tmp_path, numbers, task="multiclass")):
        assert labels_of(table) == labels
        assert [int(label) for label in table.classes] == sorted(numbers)


@given(texts=st.lists(st.sampled_from(["true", "True", "TRUE", "false", "False", "FALSE"]), min_size=2, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_true_and_false_are_two_classes_however_they_are_spelled(texts: list[str], tmp_path: Path) -> None:
    truth = [text.lower() == "true" for text in texts]
    if len(set(truth)) == 1:
        with pytest.raises(InputError, match="in every row"):
            table_of(tmp_path, texts)
        return
    table = table_of(tmp_path, texts)
    assert table.target.tolist() == truth
    assert table.task == "binary"
    if len(set(texts)) == 2:
        assert labels_of(table) == texts
