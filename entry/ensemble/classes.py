"""Tasks: what is predicted, a quantity or one of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

Task = Literal["regression", "binary", "multiclass"]
TASKS: tuple[Task, ...] = get_args(Task)


def task_of(classes: Sequence[str]) -> Task:
    """Return the task of a target with these labels: a target without labels is a quantity."""
    if not classes:
        return "regression"
    return "binary" if len(classes) == 2 else "multiclass"
