"""What a target is: a quantity, one of two classes, or one of several."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence, Sized
from decimal import Decimal
from typing import Literal, get_args

from ensemble.arguments import as_argument
from ensemble.errors import InputError, did_you_mean

Task = Literal["regression", "binary", "multiclass"]
TASKS: tuple[Task, ...] = get_args(Task)
ALL_TASKS: frozenset[Task] = frozenset(TASKS)
CLASS_TASKS: frozenset[Task] = ALL_TASKS - {"regression"}
# What ``dataset.task`` can be; ``auto`` finds out from the values.
DeclaredTask = Literal["auto", "regression", "binary", "multiclass"]
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)


def task_of(classes: Sized) -> Task:
    """Return what is predicted: none of the labels is a quantity, two are binary, and more are multiclass."""
    return "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"


def sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the different labels: plain numbers by size, false before true in any spelling, and all others as text."""
    different = set(labels)
    if different and all_booleans(different):
        return tuple(sorted(different, key=lambda label: (label.lower(), label)))
    if all_numbers(different):
        return tuple(sorted(different, key=lambda label: (Decimal(label), label)))
    return tuple(sorted(different))


def all_numbers(labels: Iterable[str]) -> bool:
    """Return whether all labels are plain numbers."""
    return all(map(_PLAIN_NUMBER.fullmatch, labels))


def all_booleans(labels: Iterable[str]) -> bool:
    """Return whether all labels are true or false, in any spelling; there must be a label."""
    lower = {label.lower() for label in labels}
    return bool(lower) and lower <= {"true", "false"}


def place_of(label: str, classes: Sequence[str]) -> int | None:
    """Return the position of a label, where true and false may be spelled otherwise; None if it is not a class."""
    if label in classes:
        return classes.index(label)
    spelled = [known.lower() for known in classes]
    return spelled.index(label.lower()) if all_booleans(classes) and label.lower() in spelled else None


def uniform_labels(labels: Sequence[str]) -> list[str]:
    """Return the labels as they are, but those of true and false in one spelling if there is more than one."""
    if all_booleans(labels) and len(labels) > len({label.lower() for label in labels}):
        return [label.capitalize() for label in labels]
    return list(labels)


def look_alike(labels: Iterable[str]) -> tuple[str, str] | None:
    """Return two labels that differ only in spaces or in how their letters are encoded; None if there are none."""
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(unicodedata.normalize("NFC", " ".join(label.split())), label)
        if other != label:
            return other, label
    return None


def positive_of(classes: Sequence[str], declared: str | None, place: str) -> str | None:
    """Return the positive class: the declared one, or the second of two.

    Args:
        classes: The classes in order; empty if the target is a quantity.
        declared: What the user says that the positive class is.
        place: The target, for the beginning of a message.

    Raises:
        InputError: ``declared`` is not one of two classes.
    """
    if declared is None:
        return classes[1] if len(classes) == 2 else None
    key = as_argument("dataset.positive", declared)
    if len(classes) != 2:
        found = f"has {len(classes)} classes" if classes else "is a quantity"
        other = "" if classes else ", or add dataset.task=binary"
        raise InputError(f"{place} {found}, and {key} is for two classes: leave it out{other}.")
    found_at = place_of(declared, classes)
    if found_at is None:
        raise InputError(
            f"{place} has no class {declared!r}.{did_you_mean(declared, classes)} Use "
            f"{' or '.join(as_argument('dataset.positive', label) for label in classes)}."
        )
    return classes[found_at]
