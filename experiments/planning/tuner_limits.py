"""Whether SageMaker's tuner could express a search: asked in every mode, so that a study that runs at home can move.

The limits are AWS's, of ``CreateHyperParameterTuningJob``. A whole request is checked against the service model before
a mode sends or executes it; these are the limits that a user's own search can break.
"""

from __future__ import annotations

from experiments.errors import ConfigError
from experiments.study.search_space import Choices, Dimension
from experiments.study.spec import StudySpec

MOST_RANGES = 30
MOST_VALUES = 30
MOST_HYPERPARAMETERS = 100
LONGEST_VALUE = 2500
# What script mode adds, sagemaker_program and sagemaker_submit_directory, and what the tuner adds for the objective.
ADDED_HYPERPARAMETERS = 3


def check_portable(study: StudySpec) -> None:
    """Raise ConfigError, with everything that SageMaker's tuner cannot express of this study."""
    grid = study.search.sampler == "grid"
    problems = []
    for name, dimension in study.space.dimensions.items():
        values = _values(dimension, grid=grid)
        if values > MOST_VALUES:
            problems.append(f"{name} has {values} values, where at most {MOST_VALUES} can be listed")
    if len(study.space.dimensions) > MOST_RANGES:
        problems.append(f"{len(study.space.dimensions)} ranges, where there can be {MOST_RANGES}")
    total = len(study.static) + len(study.space.dimensions) + ADDED_HYPERPARAMETERS
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


def _values(dimension: Dimension, *, grid: bool) -> int:
    """Return how many values of a dimension the tuner is given one by one."""
    if isinstance(dimension, Choices):
        return len(dimension.values)
    return int(dimension.high - dimension.low) + 1 if grid and dimension.whole else 0
