"""Which point is next: a deterministic sequence of asks and tells, whatever trial finishes first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ensemble.evaluation import MetricName
from ensemble.wire import SEPARATOR
from experiments.study.search_space import SearchSpace
from experiments.study.spec import Point, StudySpec, TrialResult

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

FEWEST_TRIALS_FOR_IMPORTANCE = 5


class Proposer(Protocol):
    """Proposes points. ``ask`` and ``tell`` are each called once for every index, in order of index."""

    def ask(self, index: int, recorded: Point | None) -> Point:
        """Return the point of trial ``index``: the recorded one if an earlier run asked for it."""

    def tell(self, index: int, result: TrialResult) -> None:
        """Report the result of trial ``index``."""


def make_proposer(spec: StudySpec) -> Proposer:
    """Return the proposer of this study's sampler, or of its list of points."""
    if spec.points is not None:
        return ListedPoints(list(spec.points))
    if spec.search.sampler == "grid":
        return ListedPoints(list(itertools.islice(spec.space.grid(), spec.n_trials)))
    return OptunaProposer(spec) if spec.search.vary == "all" else OneMemberProposer(spec)


class ListedPoints:
    """A list of points that is known in advance."""

    def __init__(self, points: Sequence[Point]) -> None:
        """Keep the points, one for each trial."""
        self._points = points

    def ask(self, index: int, recorded: Point | None) -> Point:
        """Return the point."""
        return self._points[index]

    def tell(self, index: int, result: TrialResult) -> None:
        """Ignore the result."""


class OptunaProposer:
    """Optuna's TPE or random sampler over an in-memory study that is rebuilt from the ledger.

    Each ask creates a sampler seeded by (seed, index), so that a proposal depends on the seed and on earlier asks and
    tells, and not on how often the study was resumed. Trials that the study learned from others come before its own.
    """

    def __init__(self, spec: StudySpec) -> None:
        """Start with what the study learned from others."""
        self._spec = spec
        # Sorted by name: a sampler draws in this order, and the order in a tuning job's request differs.
        self._distributions = dict(sorted(spec.space.distributions().items()))
        self._study = _empty_study(maximise=spec.maximise)
        learned = [trial for source in spec.learned for trial in source.trials]
        self._learned = len(learned)
        for trial in learned:
            _add(self._study, trial.params, self._distributions, trial.value)

    @property
    def names(self) -> list[str]:
        """The searched parameters."""
        return list(self._spec.space.ranges)

    def ask(self, index: int, recorded: Point | None) -> Point:
        """Return the sampler's proposal, or the recorded one, and keep it as a running trial."""
        import optuna

        if recorded is not None:
            running = optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=dict(recorded),
                distributions=self._distributions,
            )
            self._study.add_trial(running)
            return dict(recorded)
        if first := self._spec.space.first(index):
            self._study.enqueue_trial(first)
        self._study.sampler = self._sampler(index)
        proposed = self._study.ask(self._distributions).params
        return {name: proposed[name] for name in self._spec.space.ranges}

    def tell(self, index: int, result: TrialResult) -> None:
        """Tell Optuna the objective."""
        self.tell_value(index, result.value(self._spec.objective))

    def tell_value(self, index: int, value: float | None) -> None:
        """Tell Optuna a value; a failed trial has none."""
        import optuna

        number = self._learned + index
        if value is None or not math.isfinite(value):
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def _sampler(self, index: int) -> optuna.samplers.BaseSampler:
        import optuna

        search = self._spec.search
        seed = int(np.random.SeedSequence([search.seed, index]).generate_state(1)[0])
        if search.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup_trials, constant_liar=True)


class OneMemberProposer:
    """Changes the parameters of one member at a time, so that the others need no new fit.

    The first trial has a first point for every member. Later trials change the members in turn. Each member has a
    sampler of its own, which is told the member's own score. The other members keep the parameters with which they did
    best.
    """

    def __init__(self, spec: StudySpec) -> None:
        """Start with an empty study for each member."""
        self._spec = spec
        names: dict[str, list[str]] = {}
        for name in spec.space.ranges:
            names.setdefault(name.partition(SEPARATOR)[0], []).append(name)
        self._members = list(names)
        # The startup trials are those of the whole search.
        startup = math.ceil(spec.search.startup_trials / len(names))
        self._proposers = {
            member: OptunaProposer(
                replace(
                    spec,
                    space=SearchSpace({name: spec.space.ranges[name] for name in own}),
                    search=replace(spec.search, startup_trials=startup),
                )
            )
            for member, own in names.items()
        }
        self._asked: dict[str, list[Point]] = {member: [] for member in names}
        self._best: dict[str, tuple[float, Point]] = {}

    def ask(self, index: int, recorded: Point | None) -> Point:
        """Return a point that differs in one member from the best of each."""
        changed = {member: self._ask(member, recorded) for member in self._changed(index)}
        known = {
            member: self._best[member][1] if member in self._best else asked[0] for member, asked in self._asked.items()
        }
        if recorded is not None:
            return dict(recorded)
        values = {name: value for point in {**known, **changed}.values() for name, value in point.items()}
        return {name: values[name] for name in self._spec.space.ranges}

    def tell(self, index: int, result: TrialResult) -> None:
        """Tell the samplers of the changed members their members' scores."""
        objective = MetricName.parse(self._spec.objective)
        for member in self._changed(index):
            value = result.metrics.get(objective.of(member))
            place = 0 if index == 0 else self._turn(index)
            self._proposers[member].tell_value(place, value)
            if value is None:
                continue
            cost = -value if objective.maximised else value
            if member not in self._best or cost < self._best[member][0]:
                self._best[member] = cost, self._asked[member][place]

    def _ask(self, member: str, recorded: Point | None) -> Point:
        proposer, asked = self._proposers[member], self._asked[member]
        own = None if recorded is None else {name: recorded[name] for name in proposer.names}
        asked.append(proposer.ask(len(asked), own))
        return asked[-1]

    def _changed(self, index: int) -> list[str]:
        """Return the members whose parameters are new in a trial."""
        return self._members if index == 0 else [self._members[(index - 1) % len(self._members)]]

    def _turn(self, index: int) -> int:
        """Return how often the member of this trial was changed before."""
        return 1 + (index - 1) // len(self._members)


def parameter_importance(space: SearchSpace, results: Sequence[TrialResult], objective: str) -> dict[str, float]:
    """Return the importance of each searched parameter, with sum one; empty if too few trials have a score.

    Source: S. Watanabe, A. Bansal, F. Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces", IJCAI 2023.
    """
    import optuna

    scored = [result for result in results if result.state == "complete"]
    if not space.ranges or len(scored) < FEWEST_TRIALS_FOR_IMPORTANCE:
        return {}
    distributions = space.distributions()
    study = _empty_study(maximise=MetricName.parse(objective).maximised)
    for result in scored:
        _add(study, result.params, distributions, result.metrics[objective])
    return optuna.importance.get_param_importances(study)


def _add(study: optuna.Study, params: Point, distributions: Mapping[str, BaseDistribution], value: float) -> None:
    """Add a finished trial, which has values of all the parameters or of some."""
    import optuna

    own = {name: distributions[name] for name in params}
    study.add_trial(optuna.trial.create_trial(params=dict(params), distributions=own, value=value))


def _empty_study(*, maximise: bool) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize" if maximise else "minimize")
