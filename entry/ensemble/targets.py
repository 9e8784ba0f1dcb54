"""Read targets: whether a column is a quantity or classes, and the class of each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ensemble.arrays import Floats
from ensemble.classes import (
    DeclaredTask,
    all_booleans,
    all_numbers,
    look_alike,
    place_of,
    positive_of,
    sorted_labels,
    uniform_labels,
)
from ensemble.column_encoding import numbers_of
from ensemble.column_types import (
    CODE,
    ISO_DATE,
    PLACEHOLDERS,
    are_codes,
    are_numbers,
    canonical_text,
    check_cells,
    of_dtype,
    share_of,
    texts_of,
)
from ensemble.errors import InputError, did_you_mean
from ensemble.files import TableFile
from ensemble.table import Column, Table, missing_texts
from ensemble.written_numbers import DECIMAL_MARKS, written_number

if TYPE_CHECKING:
    import pandas as pd

Index = npt.NDArray[np.intp]
# What to do if a target is not numbers.
QUANTITY_FIX = "give a numeric target, or predict classes with dataset.task=binary or dataset.task=multiclass"
# More labels are more often names, texts or quantities than classes.
MOST_GUESSED = 100
# Labels that a message names, and the characters of each.
MOST_NAMED, LONGEST_NAMED = 10, 60


@dataclass(frozen=True)
class Target:
    """The values of a target.

    Attributes:
        values: A quantity, or the position of each row's label in ``classes``; shape (rows,), float64.
        classes: The labels in order; empty for a quantity.
        positive: The positive one of two; None unless there are two.
        notes: Sentences about labels that may be mistakes.
    """

    values: Floats
    classes: tuple[str, ...] = ()
    positive: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetColumn:
    """The column of a table that is the target, and what the user says about it.

    Attributes:
        file: The table.
        where: Its name in messages.
        name: The column.
        declared: What the column holds (``column_types.DeclaredType``); None to recognise it.
        missing: The texts that mean a missing value besides the empty one; None for the usual ones.
        task: What the target is; ``auto`` to recognise it.
        positive: The positive class of two; None for the second in order.
    """

    file: TableFile
    where: Path
    name: str
    declared: str | None = None
    missing: tuple[str, ...] | None = None
    task: DeclaredTask = "auto"
    positive: str | None = None

    def has_classes(self) -> bool:
        """Return whether the target is classes.

        Without a task, text, booleans and categories are classes. Numbers are a quantity unless they are 0 and 1, and
        so is text of which at least half of the cells are numbers or dates, since the others may be mistakes; but
        digits that the file declares as text are classes.

        Raises:
            CellError: A cell cannot be read at all.
        """
        import pandas as pd

        if self.task != "auto":
            return self.task != "regression"
        values = self.file.column(self.name)
        if self.declared is not None or isinstance(values.dtype, pd.CategoricalDtype):
            return self.declared in (None, "category", "boolean")
        found = of_dtype(values, self.name)
        if found is None:
            return self._is_text_of_classes(values)
        return found.type == "boolean" or (found.type == "number" and set(np.unique(self._numbers(values))) == {0, 1})

    def is_boolean(self) -> bool:
        """Return whether every cell is true or false."""
        import pandas as pd

        values = self.file.column(self.name)
        if pd.api.types.is_bool_dtype(values.dtype):
            return True
        return all_booleans(map(str, values.dropna().unique()))

    def labels(self, like: Table | None) -> Target:
        """Read the target as classes.

        A label is the text that is typed in a CSV file, and for numbers their shortest form.

        Args:
            like: A table whose classes are taken over.

        Raises:
            InputError: A row has no label or one that ``like`` does not have, labels differ only in how they are typed,
                or the labels do not fit the task or the positive class.
        """
        label_of_row, labels = self._label_of_row()
        self._check_present(label_of_row, labels)
        if like is not None:
            return Target(self._known_places(labels, like.classes, label_of_row), like.classes, like.positive)
        self._check_alike(labels, label_of_row)
        spelled = uniform_labels(labels)
        classes = sorted_labels(spelled)
        self._check_number(classes)
        places = {label: float(place) for place, label in enumerate(classes)}
        target = np.array([places[label] for label in spelled])[label_of_row]
        positive = positive_of(classes, self.positive, self.title)
        return Target(target, classes, positive, _notes(self.name, classes, target))

    @property
    def title(self) -> str:
        """The target, for the beginning of a message."""
        return f"{self.where}: target {self.name!r}"

    def _numbers(self, values: pd.Series[Any]) -> Floats:
        return numbers_of(values, self.where, Column(self.name, missing=self.missing), "")

    def _is_text_of_classes(self, values: pd.Series[Any]) -> bool:
        present = values.dropna()
        check_cells(present, self.where, self.name)
        counts = {str(text): int(count) for text, count in texts_of(present, self.missing).value_counts().items()}
        if all_booleans(counts):
            return True
        if all(are_numbers(list(counts))):
            return all(map(CODE.fullmatch, counts)) and (self.name in self.file.text or are_codes(counts))
        quantity = {text: ISO_DATE.fullmatch(text) is not None or _is_number(text) for text in counts}
        return share_of(counts, quantity) < 0.5

    def _label_of_row(self) -> tuple[Index, list[str]]:
        """Return for each row the position of its label, -1 if it has none, and the labels."""
        import pandas as pd

        values = self.file.typed(self.name)
        found = of_dtype(values, self.name)
        if found is None and not isinstance(values.dtype, pd.CategoricalDtype):
            check_cells(values.dropna(), self.where, self.name)
        elif found is not None and found.type == "number" and values.dtype.kind == "O":
            values = pd.Series(self._numbers(values))  # decimals, whose text has their scale
        codes, uniques = pd.factorize(values)
        texts = [canonical_text(value) for value in uniques.tolist()]
        gone = frozenset() if self.missing is None else missing_texts(self.missing)
        labels = list(dict.fromkeys(text for text in texts if text.strip() and text not in gone))
        places = {label: place for place, label in enumerate(labels)}
        return np.array([*(places.get(text, -1) for text in texts), -1], dtype=np.intp)[codes], labels

    def _check_present(self, label_of_row: Index, labels: Sequence[str]) -> None:
        is_float = self.file.column(self.name).dtype.kind == "f"
        infinite = [place for place, label in enumerate(labels) if is_float and label in ("inf", "-inf")]
        words = ", ".join(map(repr, self.file.missing_words(self.name))) if (label_of_row < 0).any() else ""
        hint = f" {words} is read as missing; if it is a class: dataset.missing=[]." if words else ""
        check_usable(self.title, label_of_row < 0, np.isin(label_of_row, infinite), hint)

    def _known_places(self, labels: Sequence[str], classes: Sequence[str], label_of_row: Index) -> Floats:
        places = {label: place for place, label in enumerate(classes)}
        found = []
        for number, label in enumerate(labels):
            place = places[label] if label in places else place_of(label, classes)
            if place is None:
                row = int(np.argmax(label_of_row == number)) + 1
                raise InputError(
                    f"{self.title} is {cut(label)!r} in data row {row}, a class that no training row has."
                    f"{did_you_mean(label, classes)} The classes are: {named_labels(classes)}. Correct the label, or "
                    "give the training rows such rows."
                )
            found.append(float(place))
        return np.array(found)[label_of_row]

    def _check_alike(self, labels: Sequence[str], label_of_row: Index) -> None:
        alike = look_alike(labels)
        if alike is not None:
            rows = " and ".join(str(int(np.argmax(label_of_row == labels.index(label))) + 1) for label in alike)
            named = " and ".join(repr(cut(label)) for label in alike)
            raise InputError(
                f"{self.title} has the labels {named}, first in data rows {rows}, which differ only in spaces or in "
                "how a letter is encoded: write them alike."
            )

    def _check_number(self, classes: Sequence[str]) -> None:
        if len(classes) == 1:
            raise InputError(f"{self.title} is {named_label(classes[0])} in every row: there is nothing to learn.")
        if self.task == "auto" and len(classes) > MOST_GUESSED:
            quantity = " If it is a quantity: dataset.task=regression." if all_numbers(classes) else ""
            raise InputError(
                f"{self.title} is text with {len(classes)} different values, {named_labels(classes)}. To predict so "
                f"many classes: dataset.task=multiclass.{quantity}"
            )
        if self.task == "binary" and len(classes) != 2:
            raise InputError(
                f"dataset.task=binary: target {self.name!r} of {self.where} has {len(classes)} labels, "
                f"{named_labels(classes)}. Use dataset.task=multiclass, or combine them to two."
            )


def check_usable(title: str, missing: npt.NDArray[np.bool_], infinite: npt.NDArray[np.bool_], hint: str = "") -> None:
    """Raise InputError if the target is missing or infinite in a row.

    Args:
        title: The target, for the beginning of the message.
        missing: Whether it is missing, for each row.
        infinite: Whether it is infinite.
        hint: More for the end of the message.
    """
    for wrong, word in ((missing, "missing"), (infinite, "infinite")):
        if wrong.any():
            raise InputError(
                f"{title} is {word} in {int(wrong.sum())} of {len(wrong)} rows, first in data row "
                f"{int(np.argmax(wrong)) + 1}: remove these rows.{hint}"
            )


def cut(label: str) -> str:
    """Return a label, or the beginning of a long one."""
    return label if len(label) <= LONGEST_NAMED else f"{label[:LONGEST_NAMED]}..."


def named_label(label: str) -> str:
    """Return a label for a message: cut, and in quotes if its ends would not be seen in a list."""
    plain = label.isprintable() and label == label.strip() and "," not in label
    return cut(label) if plain else repr(cut(label))


def named_labels(labels: Collection[str]) -> str:
    """Return labels for a message, the first ones of many."""
    first = ", ".join(map(named_label, list(labels)[:MOST_NAMED]))
    return first if len(labels) <= MOST_NAMED else f"{first}, ... ({len(labels)} labels)"


def _is_number(text: str) -> bool:
    return any(written_number(text, mark) is not None for mark in DECIMAL_MARKS)


def _notes(name: str, classes: Sequence[str], target: Floats) -> tuple[str, ...]:
    """Return sentences about labels that differ only in capitals, or that may mean a missing value."""
    spellings: dict[str, list[str]] = {}
    for label in classes:
        spellings.setdefault(label.casefold(), []).append(label)
    notes = [
        f"the target {name}: {' and '.join(repr(cut(label)) for label in alike)} are different classes"
        for alike in spellings.values()
        if len(alike) > 1
    ]
    for place, label in enumerate(classes):
        if label in PLACEHOLDERS:
            rows = int((target == place).sum())
            notes.append(
                f"the target {name}: {cut(label)!r}, in {rows} row{'' if rows == 1 else 's'}, is a class. If it means "
                "a missing value: remove these rows"
            )
    return tuple(notes)
