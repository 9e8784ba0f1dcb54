"""Whether the same trials gave the same numbers elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.study import TrialResult

# Members that go through linear algebra differ in last bits between builds of BLAS; trees do not differ at all.
RELATIVE_TOLERANCE = 1e-9
_COMPARED = ("cv_", "validation_")
_MOST_SHOWN = 5


@dataclass(frozen=True)
class Parity:
    """The outcome of a comparison, trial by trial.

    Attributes:
        equal: Trials whose every number is equal, to the bit or within the tolerance.
        exact: Trials whose every number is equal to the bit.
        pairs: Trials that were compared.
        differences: A line for each number that differs, the first few.
        causes: What else differs between the two sides, such as a library's version.
    """

    equal: int
    exact: int
    pairs: int
    differences: tuple[str, ...]
    causes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there were trials to compare, and all of them are equal."""
        return 0 < self.pairs == self.equal

    def describe(self) -> str:
        """Return the verdict, with what differs and why."""
        if self.passed:
            exact = "to the bit" if self.exact == self.pairs else f"{self.exact} of them to the bit"
            return f"parity: PASS ({self.equal} of {self.pairs} trials equal, {exact})"
        if not self.pairs:
            return "parity: NOT COMPARABLE (no trial ran on both sides)"
        lines = [f"parity: FAIL ({self.equal} of {self.pairs} trials equal)", *self.differences, *self.causes]
        return "\n  ".join(lines)


def compare_trials(there: Sequence[TrialResult], here: Sequence[TrialResult]) -> Parity:
    """Compare the trials of two studies that have the same searched parameters.

    Args:
        there: The trials to agree with.
        here: The trials of the other side.
    """
    known = {_key(result): result for result in there if result.state == "complete"}
    pairs = [(known[_key(result)], result) for result in here if _key(result) in known]
    equal = exact = 0
    differences: list[str] = []
    for one, other in pairs:
        moved = list(_moved(one, other))
        equal += not any(line for line, _ in moved)
        exact += not moved
        differences += [line for line, _ in moved if line]
    causes = {cause for one, other in pairs for cause in _causes(one, other)}
    return Parity(equal, exact, len(pairs), tuple(differences[:_MOST_SHOWN]), tuple(sorted(causes)))


def _key(result: TrialResult) -> str:
    return json.dumps(dict(result.params), sort_keys=True)


def _moved(one: TrialResult, other: TrialResult) -> list[tuple[str, str]]:
    """Return a pair for each number that is not the same to the bit: a line, empty within the tolerance; its name."""
    if other.state != "complete":
        return [(f"trial {other.index} {other.state} here: {other.reason}", "")]
    names = sorted(name for name in {*one.metrics, *other.metrics} if name.startswith(_COMPARED))
    moved = []
    for name in names:
        a, b = one.metrics.get(name, math.nan), other.metrics.get(name, math.nan)
        if a == b:
            continue
        near = math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE)
        moved.append(("" if near else f"trial {one.index}: {name} is {a!r} there and {b!r} here", name))
    return moved


def _causes(one: TrialResult, other: TrialResult) -> list[str]:
    versions: tuple[Mapping[str, str], Mapping[str, str]] = (
        one.info.get("versions", {}),
        other.info.get("versions", {}),
    )
    found = [
        f"{name} is {versions[0].get(name)} there and {versions[1].get(name)} here"
        for name in sorted({*versions[0], *versions[1]})
        if versions[0].get(name) != versions[1].get(name)
    ]
    if one.info.get("threads") != other.info.get("threads"):
        found.append(f"threads: {one.info.get('threads')} there and {other.info.get('threads')} here")
    return found
