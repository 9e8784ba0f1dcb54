"""Whether SageMaker's tuner could express a search. Checked in every mode, so that a study on this machine can move.

A whole request is checked before a mode sends or executes it; this module checks what a user's own search can break.
"""

from __future__ import annotations

from experiments.errors import ConfigError
from experiments.sagemaker_requests.limits import (
    ADDED_BY_SCRIPT_MODE,
    ADDED_BY_TUNER,
    LONGEST_VALUE,
    MOST_HYPERPARAMETERS,
    MOST_RANGES,
    MOST_VALUES,
)
from experiments.study.search_space import Choices, Range
from experiments.study.spec import StudySpec


def check_portable(study: StudySpec) -> None:
    """Raise ConfigError that lists everything in this study that SageMaker's tuner cannot express."""
    grid = study.search.sampler == "grid"
    problems = []
    for name, range_ in study.space.ranges.items():
        values = _values(range_, grid=grid)
        if values > MOST_VALUES:
            problems.append(f"{name} has {values} values, where at most {MOST_VALUES} can be listed")
    if len(study.space.ranges) > MOST_RANGES:
        problems.append(f"{len(study.space.ranges)} ranges, where there can be {MOST_RANGES}")
    total = len(study.static) + len(study.space.ranges) + ADDED_BY_SCRIPT_MODE + ADDED_BY_TUNER
    if total > MOST_HYPERPARAMETERS:
        problems.append(f"{total} hyperparameters, fixed and tuned, where there can be {MOST_HYPERPARAMETERS}")
    problems += [
        f"{name} takes {len(text)} characters, where there can be {LONGEST_VALUE}"
        for name, text in study.static.items()
        if len(text) > LONGEST_VALUE
    ]
    if problems:
        raise ConfigError(
            f"SageMaker's tuner cannot express this study: {'; '.join(problems)}. Make it smaller, or add "
            "search.portable=false if it will never leave mode=local."
        )


def _values(range_: Range, *, grid: bool) -> int:
    """Return how many values of a range the tuner is given one by one."""
    if isinstance(range_, Choices):
        return len(range_.values)
    return int(range_.high - range_.low) + 1 if grid and range_.whole else 0
