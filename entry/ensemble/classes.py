"""What a target is: a quantity, one of two classes, or one of several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sized
from decimal import Decimal
from typing import Literal, get_args

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
    """Return the different labels, by size if all of them are plain numbers, and otherwise as text."""
    different = set(labels)
    if all(map(_PLAIN_NUMBER.fullmatch, different)):
        return tuple(sorted(different, key=lambda label: (Decimal(label), label)))
    return tuple(sorted(different))
