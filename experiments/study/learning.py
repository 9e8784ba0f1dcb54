"""What a search learns from other studies before its first proposal: their trials, as far as its own space has them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ensemble.parameters import ParamValue, encode
from ensemble.wire import SEPARATOR
from experiments.errors import ConfigError, listed
from experiments.study.search_space import Choices, Range, SearchSpace

# The configuration's key, and the ledger's fact of what a study learned when it began.
KEY = "search.learn_from"
LEARNED = "learned"


@dataclass(frozen=True)
class ScoredTrial:
    """A trial of another study.

    Attributes:
        params: The searched values, by their names in the wire format.
        value: The objective; for a pruned trial the expected one.
    """

    params: Mapping[str, ParamValue]
    value: float


@dataclass(frozen=True)
class Source:
    """Another study, as it is read from its ledger, from SageMaker or from Optuna's storage.

    Attributes:
        text: How the user named it, without a password.
        what: What it is, such as ``study laptop``.
        maximised: Whether a higher value is better.
        objective: The metric that its values are; None if that is not recorded.
        target: What it predicts, with the unit; None if that is not recorded.
        same_rows: Whether it is about the same rows; None if that is not known.
        trials: Those with a score, in their order.
        unscored: How many other trials it has.
    """

    text: str
    what: str
    maximised: bool
    objective: str | None
    target: str | None
    same_rows: bool | None
    trials: tuple[ScoredTrial, ...]
    unscored: int = 0


@dataclass(frozen=True)
class Learned:
    """What a study learned from one source when it began. It does not change when the source does.

    Attributes:
        source: How the user named the source, without a password.
        what: What the source is, such as ``study laptop``.
        trials: What the sampler is told, in this order: values of the study's own parameters only.
        used: The parameters that it has values of.
        left_out: Parameters of the source that the study does not search.
        missing: Parameters of the study that the source has no values of, with the reason.
        unscored: How many trials of the source have no score.
        outside: How many trials have a value that is not in its range here.
        repeated: How many trials an earlier source has too, with the same values and score.
        remarks: What is not known or differs, as sentences.
    """

    source: str
    what: str
    trials: tuple[ScoredTrial, ...]
    used: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    unscored: int = 0
    outside: int = 0
    repeated: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the trials."""
        return hashlib.sha256(json.dumps(_plain(self.trials), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, which ``from_dict`` reads back."""
        return {
            **vars(self),
            "missing": dict(self.missing),
            "trials": _plain(self.trials),
            "sha256": self.digest,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Learned:
        """Read what ``as_dict`` wrote.

        Raises:
            ValueError: It was changed since.
            TypeError, LookupError: It does not have its form.
        """
        data = dict(data)
        digest = data.pop("sha256")
        trials = tuple(ScoredTrial(dict(params), float(value)) for params, value in data.pop("trials"))
        lists: dict[str, Any] = {name: tuple(data.pop(name)) for name in ("used", "left_out", "remarks")}
        found = cls(trials=trials, **lists, **data)
        if found.digest != digest:
            raise ValueError("the trials that were learned have another hash")
        return found

    @property
    def told(self) -> str:
        """How many trials of which source the sampler was told, such as ``6 of 8 trials of study laptop``."""
        total = len(self.trials) + self.unscored + self.outside + self.repeated
        return f"{len(self.trials)} of {total} trials of {self.what}"

    def describe(self) -> str:
        """Return what was learned and what was not, as sentences for the user."""
        parts = [f"{KEY}={self.source}: the sampler learned {self.told}."]
        reasons = [
            f"{count} {reason}"
            for count, reason in (
                (self.unscored, "without a score"),
                (self.outside, "with a value that is not in its range here"),
                (self.repeated, "that an earlier source has too"),
            )
            if count
        ]
        if reasons:
            parts.append(f"It left out {listed(reasons)}.")
        if self.missing:
            parts.append(f"Parameters used: {listed(map(typed, self.used))}.")
        else:
            parts.append("It has values of every parameter.")
        if self.left_out:
            parts.append(f"Not searched here: {listed(map(typed, self.left_out))}.")
        if self.missing:
            parts.append(
                f"Without values: {'; '.join(f'{typed(name)} ({why})' for name, why in self.missing.items())}."
            )
        return " ".join([*parts, *self.remarks])


def source_name(text: str, studies: Path) -> str:
    """Return how a study's identity names a source: a study below ``studies`` by its name, all else as it was given."""
    if is_address(text) or os.sep not in text:
        return text
    path = Path(os.path.normpath(Path(text).expanduser().absolute()))
    return path.name if path.parent == Path(os.path.normpath(studies)) else text


def is_address(text: str) -> bool:
    """Whether a source is named by a URL or an ARN, and not by a name or folder."""
    return "://" in text or text.startswith("arn:")


def typed(name: str) -> str:
    """Return a parameter as it is typed: ``member.parameter``, or the name of a shared one."""
    return name.replace(SEPARATOR, ".", 1)


def check_quantity(source: Source, objective: str, target: str, *, maximise: bool) -> None:
    """Raise ConfigError unless the values of a source are the quantity that the search optimises.

    Args:
        source: The source.
        objective: The search's own metric.
        target: What the study predicts, with the unit.
        maximise: Whether a higher objective is better.
    """
    theirs = source.objective or ("a value that is maximised" if source.maximised else "a value that is minimised")
    other = source.objective not in (None, objective) or source.maximised != maximise
    if other:
        own = f"{objective}, which is {'maximised' if maximise else 'minimised'}" if not source.objective else objective
        raise refused(
            source.text,
            f"{source.what} is scored by {theirs}, and this search by {own}. These are different quantities.",
            "use the same search.objective",
        )
    if source.target is not None and not _same_target(source.target, target):
        raise refused(
            source.text,
            f"{source.what} predicts {source.target!r}, and this study {target!r}, so {objective} is another quantity.",
            "use the same dataset.target",
        )


def learn(sources: Iterable[Source], space: SearchSpace, objective: str) -> tuple[Learned, ...]:
    """Return what a search with this space learns from sources whose quantity was checked.

    A trial that two sources have, with the same values and score, is learned once. A trial that repeats within one
    source stays, since a search may run a point twice.

    Raises:
        ConfigError: A source has no trial that can be used.
    """
    found: list[Learned] = []
    known: set[str] = set()
    for source in sources:
        learned = _overlap(source, space, objective)
        keys = [json.dumps(entry, sort_keys=True) for entry in _plain(learned.trials)]
        new = tuple(trial for trial, key in zip(learned.trials, keys, strict=True) if key not in known)
        known.update(keys)
        found.append(replace(learned, trials=new, repeated=len(keys) - len(new)))
    return tuple(found)


def refused(text: str, reason: str, fix: str) -> ConfigError:
    """Return the error for a source that a search cannot learn from."""
    return ConfigError(f"{KEY}={text}: {reason} Nothing was started: {fix}, or leave {text} out.")


def _overlap(source: Source, space: SearchSpace, objective: str) -> Learned:
    """Return the trials of a source that are in the space, with the values of the parameters that both have."""
    if not source.trials:
        none = "it has no trials yet" if not source.unscored else "none of its trials has a score"
        raise refused(source.text, f"{source.what} has nothing to learn from: {none}.", "name another source")
    theirs = dict.fromkeys(name for trial in source.trials for name in trial.params)
    used, missing = [], {}
    for name, range_ in space.ranges.items():
        values = [trial.params[name] for trial in source.trials if name in trial.params]
        if not values:
            missing[name] = "not searched there"
        elif not any(_fits(range_, value) for value in values):
            shown = ", ".join(dict.fromkeys(map(encode, values[:3])))
            more = ", ..." if len(values) > 3 else ""
            missing[name] = f"{shown}{more} there, {replace(range_, first=()).describe()} here"
        else:
            used.append(name)
    if not used:
        raise refused(
            source.text,
            f"{source.what} and this search have no parameter in common. There: "
            f"{listed(map(typed, theirs)) or 'none'}. Here: {_reasons(space, missing)}.",
            "search the same parameters, in overlapping ranges",
        )
    trials, outside = [], 0
    for trial in source.trials:
        values_here = {name: trial.params[name] for name in used if name in trial.params}
        if not values_here or not all(_fits(space.ranges[name], value) for name, value in values_here.items()):
            outside += 1
            continue
        point = {name: _converted(space.ranges[name], value) for name, value in values_here.items()}
        trials.append(ScoredTrial(point, trial.value))
    if not trials:
        raise refused(
            source.text,
            f"each trial of {source.what} has a value that is not in its range here. Here: {_reasons(space, missing)}.",
            "search overlapping ranges",
        )
    remarks = []
    if source.objective is None:
        remarks.append(f"It does not record its metric: its values are taken as {objective}.")
    if source.same_rows is None:
        remarks.append("It does not record its rows: scores are compared as if they were the same.")
    elif not source.same_rows:
        remarks.append("It is about other rows: scores are compared as they are.")
    left_out = tuple(name for name in theirs if name not in space.ranges)
    return Learned(
        source.text,
        source.what,
        tuple(trials),
        tuple(used),
        left_out,
        missing,
        source.unscored,
        outside,
        remarks=tuple(remarks),
    )


def _reasons(space: SearchSpace, missing: Mapping[str, str]) -> str:
    return "; ".join(f"{typed(name)} ({missing[name]})" if name in missing else typed(name) for name in space.ranges)


def _fits(range_: Range, value: ParamValue) -> bool:
    if isinstance(range_, Choices):
        return any(type(value) is type(choice) and value == choice for choice in range_.values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return range_.low <= value <= range_.high and (not range_.whole or value == int(value))


def _converted(range_: Range, value: ParamValue) -> ParamValue:
    if isinstance(range_, Choices):
        return value
    return int(value) if range_.whole else float(value)  # type: ignore[arg-type]  # numbers, as was checked


def _same_target(one: str, other: str) -> bool:
    """Whether two targets are the same column, where one may lack its unit."""
    return one == other or one.startswith(f"{other} (") or other.startswith(f"{one} (")


def _plain(trials: Sequence[ScoredTrial]) -> list[list[Any]]:
    return [[dict(trial.params), trial.value] for trial in trials]
