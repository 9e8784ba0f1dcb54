"""A recorded study as Optuna would have it: trials with their distributions, states, times and attributes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ensemble.evaluation import MetricName
from ensemble.parameters import ParamValue
from experiments.study.ledger import FILE, Peek, read
from experiments.study.search_space import SearchSpace
from experiments.study.spec import PLACE, TrialResult

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

# Where Optuna keeps the names of a study's objectives.
METRIC_NAMES = "study:metric_names"
_FOLD = re.compile(r"_fold_\d+$")


class StudyAttribute:
    """Names of the attributes of an exported study."""

    STUDY = "byoe.study"
    IDENTITY = "byoe.identity"
    OBJECTIVE = "byoe.objective"
    TARGET = "byoe.target"
    DATASET = "byoe.dataset"
    DATA = "byoe.data"


@dataclass(frozen=True)
class StudyView:
    """A study as Optuna would have it.

    Attributes:
        name: The study's name.
        objective: The metric that decides.
        attributes: What else is known of it, JSON-ready.
    """

    name: str
    objective: str
    attributes: Mapping[str, Any]
    _known: Peek

    @classmethod
    def of(cls, folder: Path) -> StudyView:
        """Read the study in a folder, without locking or changing it.

        Raises:
            InputError: It cannot be read.
        """
        known = read(folder / FILE)
        identity = known.identity
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        attributes = {
            StudyAttribute.STUDY: folder.name,
            StudyAttribute.IDENTITY: digest,
            StudyAttribute.OBJECTIVE: identity["objective"],
            StudyAttribute.TARGET: known.facts.get("target"),
            StudyAttribute.DATASET: known.facts.get("dataset"),
            StudyAttribute.DATA: identity["data"],
        }
        return cls(folder.name, identity["objective"], attributes, known)

    @property
    def direction(self) -> optuna.study.StudyDirection:
        """Whether the objective is maximised or minimised."""
        import optuna

        directions = optuna.study.StudyDirection
        return directions.MAXIMIZE if MetricName.parse(self.objective).maximised else directions.MINIMIZE

    @property
    def created(self) -> float:
        """When it was created, in seconds since the epoch."""
        return float(self._known.facts.get("created", 0.0))

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Return every finished trial, in order of index."""
        distributions = self._distributions()
        return [self._frozen(result, distributions) for result in self._known.results]

    def all(self, *, running: bool) -> list[optuna.trial.FrozenTrial]:
        """Return a trial for each index up to the last that was asked; its number is the index.

        Args:
            running: Whether trials without a result run; otherwise they wait.
        """
        import optuna

        distributions = self._distributions()
        finished = {result.index: result for result in self._known.results}
        states = optuna.trial.TrialState
        found = []
        for index in range(max([*finished, *self._known.asked], default=-1) + 1):
            if index in finished:
                trial = self._frozen(finished[index], distributions)
            elif running and index in self._known.asked:
                asked = self._known.asked[index]
                trial = _trial(states.RUNNING, asked.params, distributions, (asked.seconds, None))
            else:
                trial = _trial(states.WAITING, {}, distributions)
            trial.number = index
            found.append(trial)
        return found

    def _frozen(self, result: TrialResult, distributions: Mapping[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
        import optuna

        states = optuna.trial.TrialState
        state = {"complete": states.COMPLETE, "failed": states.FAIL, "pruned": states.PRUNED}[result.state]
        value = result.value(self.objective)
        if result.state == "complete" and value is None:  # somebody has changed the record
            state = states.FAIL
        attributes: dict[str, Any] = {
            "trial": result.index,
            "place": result.info.get(PLACE, self._known.identity.get("mode")),
            "seconds": result.finished - result.started,
            **{name: value for name, value in result.metrics.items() if not _FOLD.search(name)},
        }
        if "weights" in result.info:
            attributes["weights"] = dict(result.info["weights"])
        if result.state != "complete":
            attributes["reason"] = result.reason
        return _trial(
            state,
            result.params,
            distributions,
            (result.started, result.finished),
            value,
            attributes,
        )

    def _distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distributions; a parameter of given points is a choice of their values."""
        from optuna.distributions import CategoricalDistribution

        points: list[Mapping[str, ParamValue]] = [result.params for result in self._known.results]
        points += [asked.params for asked in self._known.asked.values()]
        given: dict[str, dict[ParamValue, None]] = {}
        for point in points:
            for name, value in point.items():
                given.setdefault(name, {})[value] = None
        space = SearchSpace.from_dict(self._known.facts.get("space", {})).distributions()
        return {**{name: CategoricalDistribution(list(values)) for name, values in given.items()}, **space}


def _trial(
    state: optuna.trial.TrialState,
    params: Mapping[str, ParamValue],
    distributions: Mapping[str, BaseDistribution],
    times: tuple[float | None, float | None] = (None, None),
    value: float | None = None,
    attributes: Mapping[str, Any] = MappingProxyType({}),
) -> optuna.trial.FrozenTrial:
    """Return a trial of Optuna; ``times`` are when it started and finished, in seconds since the epoch."""
    import optuna

    began, ended = (None if seconds is None else datetime.fromtimestamp(seconds) for seconds in times)

    return optuna.trial.FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=value,
        datetime_start=began,
        datetime_complete=ended,
        params=dict(params),
        distributions={name: distributions[name] for name in params},
        user_attrs=dict(attributes),
        system_attrs={},
        intermediate_values={},
    )
