"""``action=replay``: the best points of one study, run again in another mode."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ensemble.evaluation import MetricName
from experiments.config.arguments import key_of
from experiments.config.compose import Composed, compose_over
from experiments.config.groups import group_files
from experiments.config.paths import studies_folder
from experiments.config.schema import ReplayConfig
from experiments.config.secrets import masked_argument
from experiments.config.text import kept_keys, owner, split_argument
from experiments.errors import ConfigError
from experiments.study.identity import differences
from experiments.study.ledger import FILE, Peek, find_study, read
from experiments.study.spec import Point, StudySpec

# What decides what a trial trains. A replay takes nothing else from a study's record, which anybody may have changed:
# where it runs, what it may cost and whose code it imports must be typed.
KEY = "replay.study"
_TRAINED = ("dataset", "ensemble", "search")
_OWN_CODE = "entry.dependencies"
_NOT_TRAINED = (
    *("search.n_trials", "search.parallel", "search.timeout", "search.max_failure_rate", "search.learn_from"),
    "ensemble.final_rows",
)


def source(config: ReplayConfig, studies: Path, place: str = KEY) -> Peek:
    """Return what is recorded of the study to replay.

    Args:
        config: Which study and how many of its trials.
        studies: The folder of all studies.
        place: The key in which the user named the study.

    Raises:
        ConfigError: No study is named, or it does not exist.
    """
    if config.study is None:
        raise ConfigError("action=replay needs the name of a study: add replay.study=<its name>.")
    if config.top < 1:
        raise ConfigError(f"replay.top={config.top} is not at least 1.")
    return read(find_study(studies, config.study, place) / FILE)


def best_points(known: Peek, config: ReplayConfig, objective: str) -> tuple[Point, ...]:
    """Return the values that train the best trials again, the best first.

    Raises:
        ConfigError: No trial of the study has a score.
    """
    sign = -1.0 if MetricName.parse(objective).maximised else 1.0
    scored = [result for result in known.results if result.state == "complete"]
    if not scored:
        raise ConfigError(f"replay.study={config.study}: none of its trials has a score yet.")
    scored.sort(key=lambda result: (sign * result.metrics[objective], result.index))
    return tuple(result.repeatable for result in scored[: config.top])


def over_arguments_of_study(composed: Composed, place: str = KEY) -> Composed:
    """Return the configuration with the arguments of the study to replay, except those that are typed again.

    Args:
        composed: The configuration.
        place: The key in which the user named the study.

    Raises:
        ConfigError: No study is named, it does not exist, or its arguments are no longer valid or must be typed.
    """
    config = composed.config
    known = source(config.replay, studies_folder(config), place)
    typed = {key_of(argument) for argument in composed.arguments}
    recorded = [argument for argument in known.facts.get("words", ()) if key_of(argument) not in typed]
    for argument in recorded:
        problem = _problem(argument)
        if problem is not None:
            raise ConfigError(
                f"{place}={config.replay.study}: its record has the argument {masked_argument(argument)}, and "
                f"{problem} If you trust it, add {shlex.quote(masked_argument(argument))} to the command."
            )
    return compose_over(recorded, f"study {config.replay.study}", composed)


def _problem(argument: str) -> str | None:
    """Return why a recorded argument is not taken over, None if it is."""
    key, text = split_argument(argument)
    if key == _OWN_CODE:
        return "code is imported only from folders that are typed."
    if not _is_trained(key):
        return "a replay takes over only what decides what a trial trains: dataset, ensemble, search and experiment."
    chosen = group_files().get(key)
    if chosen is not None and text not in chosen and not argument.startswith("~"):
        return f"there is no such {key}."
    if owner(key, kept_keys()) is None and "${" in argument:
        return "it has a variable in it."
    return None


def _is_trained(key: str) -> bool:
    known = key == "experiment" or key.partition(".")[0] in _TRAINED
    return known and key not in _NOT_TRAINED


def recipe_arguments(arguments: Iterable[str]) -> tuple[str, ...]:
    """Return the arguments of a command that decide what a trial trains; none that has a password."""
    return tuple(
        argument
        for argument in arguments
        if (_is_trained(key_of(argument)) or key_of(argument) == _OWN_CODE) and masked_argument(argument) == argument
    )


def check_same_recipe(known: Peek, study: StudySpec, name: str) -> None:
    """Raise ConfigError unless the configuration is that of the study, apart from the mode and the search."""
    lines = differences(_comparable(known.facts["identity"]), _comparable(study.identity()))
    if lines:
        raise ConfigError(
            f"replay.study={name} has another configuration, so its trials are not comparable:\n"
            + "\n".join(lines)
            + "\n"
            "Leave out what differs: a replay takes dataset, ensemble, folds, seed and objective from the study. Data, "
            "code and configuration files must be unchanged."
        )


def _comparable(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in identity.items()
        if key in ("data", "objective") or key.startswith(("fixed.", "code."))
    }
