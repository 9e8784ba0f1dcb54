"""``action=replay``: the best points of one study, run again in another mode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble.evaluation import MetricName
from experiments.errors import ConfigError
from experiments.ledger import FILE, Peek, find_study, read
from experiments.schema import ReplayConfig
from experiments.study import Params, StudySpec


def source(config: ReplayConfig, studies: Path) -> Peek:
    """Return what is recorded of the study that is to be replayed.

    Raises:
        ConfigError: No study is named, or there is none of that name.
    """
    if config.study is None:
        raise ConfigError("action=replay wants the study to run again: add replay.study=<its name>.")
    if config.top < 1:
        raise ConfigError(f"replay.top={config.top} is not at least 1.")
    return read(find_study(studies, config.study, "replay.study") / FILE)


def best_points(known: Peek, config: ReplayConfig, objective: str) -> tuple[Params, ...]:
    """Return the searched values of the best trials, the best first.

    Raises:
        ConfigError: No trial of the study has a score.
    """
    sign = -1.0 if MetricName.parse(objective).maximised else 1.0
    scored = [result for result in known.results if result.state == "complete"]
    if not scored:
        raise ConfigError(f"replay.study={config.study}: none of its trials has a score yet.")
    scored.sort(key=lambda result: (sign * result.metrics[objective], result.index))
    return tuple(dict(result.params) for result in scored[: config.top])


def check_same_recipe(known: Peek, study: StudySpec, name: str) -> None:
    """Raise ConfigError unless the configuration is that of the study, apart from the mode and the search."""
    there, here = _comparable(known.facts["identity"]), _comparable(study.identity())
    if there != here:
        keys = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
        lines = "\n".join(
            f"  {key}: {there.get(key, 'nothing')} there, {here.get(key, 'nothing')} here" for key in keys
        )
        raise ConfigError(
            f"replay.study={name} has another configuration, so its trials mean something else here:\n{lines}\n"
            "Type the words of that study (its dataset, ensemble and folds) with mode=<mode> action=replay."
        )


def _comparable(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in identity.items()
        if key in ("data", "objective") or key.startswith(("fixed.", "code."))
    }
