"""Whether SageMaker's tuner could express a search: asked in every mode, so that a study that runs at home can move.

The limits are AWS's, of ``CreateHyperParameterTuningJob``. A whole request is checked against the service model before
a mode sends or executes it; these are the limits that a user's own search can break.
"""

from __future__ import annotations

from experiments.errors import ConfigError
from experiments.search_space import Choices, Dimension
from experiments.study import StudySpec

MOST_RANGES_OF_A_KIND = 30
MOST_VALUES = 30
MOST_HYPERPARAMETERS = 100
LONGEST_VALUE = 2500
# What SageMaker's script mode adds: sagemaker_program and sagemaker_submit_directory.
ADDED_HYPERPARAMETERS = 2


def check_portable(study: StudySpec) -> None:
    """Raise ConfigError, with everything that SageMaker's tuner cannot express of this study."""
    grid = study.search.sampler == "grid"
    kinds: dict[str, list[str]] = {}
    problems = []
    for name, dimension in study.space.dimensions.items():
        kind, values = _kind_and_values(dimension, grid=grid)
        kinds.setdefault(kind, []).append(name)
        if values > MOST_VALUES:
            problems.append(f"{name} has {values} values, where at most {MOST_VALUES} can be listed")
    problems += [
        f"{len(names)} {kind} ranges, where there can be {MOST_RANGES_OF_A_KIND}"
        for kind, names in kinds.items()
        if len(names) > MOST_RANGES_OF_A_KIND
    ]
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


def _kind_and_values(dimension: Dimension, *, grid: bool) -> tuple[str, int]:
    if isinstance(dimension, Choices):
        return "categorical", len(dimension.values)
    if not dimension.whole:
        return "continuous", 0
    return ("categorical", int(dimension.high - dimension.low) + 1) if grid else ("integer", 0)
