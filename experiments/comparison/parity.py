"""Whether the same trials gave the same numbers: the verdict over all pairs, and what it is due to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from experiments.comparison.causes import Check, checks, first_cause, over_all
from experiments.comparison.pairing import Pair, Side, Unpaired, pair_trials, trial_keys
from experiments.comparison.recorded_study import Evidence

Verdict = Literal["PASS", "FAIL", "NOT COMPARABLE"]
EXIT_CODES: dict[Verdict, int] = {"PASS": 0, "FAIL": 1, "NOT COMPARABLE": 3}
_MOST_SHOWN = 5


@dataclass(frozen=True)
class Parity:
    """What a comparison of trials came to.

    Attributes:
        pairs: The trials that ran in two studies.
        unpaired: The trials that did not.
        alone: Studies of which no trial has a partner.
        strange: Those of them that cannot have one, or were to have one: what they ran is something else than what the
            others ran, or they were given points that no other study ran. The rest searched points of their own.
        tolerance: The largest relative difference of numbers that are taken for equal.
        checks: Every possible cause in the order of looking: of the first trial that differs; where none does, of the
            first study that is strange; else over all pairs.
    """

    pairs: tuple[Pair, ...]
    unpaired: tuple[Unpaired, ...]
    alone: tuple[Evidence, ...]
    strange: tuple[Evidence, ...]
    tolerance: float
    checks: tuple[Check, ...]

    @property
    def equal(self) -> int:
        """How many pairs are equal."""
        return sum(pair.equal for pair in self.pairs)

    @property
    def exact(self) -> int:
        """How many pairs are equal to the bit."""
        return sum(pair.exact for pair in self.pairs)

    @property
    def largest(self) -> float:
        """The largest relative difference of a number."""
        both = (pair for pair in self.pairs if pair.failed is None)
        return max((moved.relative for pair in both for moved in pair.moved), default=0.0)

    @property
    def unequal(self) -> tuple[Pair, ...]:
        """The pairs that are not equal."""
        return tuple(pair for pair in self.pairs if not pair.equal)

    @property
    def verdict(self) -> Verdict:
        """FAIL where a trial differs; else NOT COMPARABLE where there is no pair or a study is strange; else PASS."""
        if self.unequal:
            return "FAIL"
        return "NOT COMPARABLE" if self.strange or not self.pairs else "PASS"

    @property
    def exit_code(self) -> int:
        """What a command that ends with this verdict returns."""
        return EXIT_CODES[self.verdict]

    @property
    def line(self) -> str:
        """The verdict in one line."""
        counted = f"{self.equal} of {len(self.pairs)} trials equal"
        if self.verdict == "PASS":
            return f"parity: PASS ({counted})"
        cause = first_cause(self.checks)
        if self.verdict == "FAIL":
            # Trials without a score say themselves why; what is else different is in the report.
            said = self.unequal[0].describe() if all(pair.failed for pair in self.unequal) else cause
            return f"parity: FAIL ({counted}; {said})"
        known = f"{counted}; {cause}" if self.pairs else cause
        return f"parity: NOT COMPARABLE ({known})"

    @property
    def exactness(self) -> str:
        """How many trials are equal to the bit, and how far apart the others are."""
        parts = [f"equal to the bit: {self.exact} of {len(self.pairs)}"]
        failed = sum(pair.failed is not None for pair in self.pairs)
        if failed:
            parts.append(f"{failed} failed in one study only")
        if self.largest:
            parts.append(f"the largest relative difference is {self.largest:.1e}")
        return "; ".join(parts)

    def details(self) -> list[str]:
        """Return what differs and what was left out, a line each."""
        apart = [pair.describe() for pair in self.unequal]
        lines = apart[:_MOST_SHOWN]
        if len(apart) > _MOST_SHOWN:
            lines.append(f"and {len(apart) - _MOST_SHOWN} more")
        if self.pairs:
            lines += [f"{study.name} has no trial that another study ran too" for study in self.alone]
        elif self.alone[0].differs_in_points_only(self.alone[-1]):
            command = f"python run.py mode={self.alone[-1].mode} action=replay replay.study={self.alone[0].name}"
            lines.append(f"{command} runs the best trials of {self.alone[0].name} there")
        return lines


def compare_trials(studies: Sequence[Evidence], tolerance: float) -> Parity:
    """Pair the trials of several studies and compare each pair.

    Args:
        studies: At least two.
        tolerance: The largest relative difference of numbers that are taken for equal.
    """
    pairs, unpaired = pair_trials(studies, tolerance)
    paired = {side.study.name for pair in pairs for side in (pair.one, pair.other)}
    alone = tuple(study for study in studies if study.name not in paired)
    strange = tuple(study for study in alone if not (study.searched and _has_kin(study, studies)))
    # One that failed has numbers on one side alone, and says nothing of why others differ.
    unequal = min((pair for pair in pairs if not pair.equal), key=lambda pair: pair.failed is not None, default=None)
    puzzling = strange or (() if pairs else alone)
    if unequal is not None:
        checked = checks(unequal.one, unequal.other)
    elif puzzling:
        other = next(study for study in studies if study.name != puzzling[0].name)
        one, two = (study for study in studies if study.name in (puzzling[0].name, other.name))
        checked = checks(Side.of(one), Side.of(two), paired=False)
    else:
        checked = over_all([checks(pair.one, pair.other) for pair in pairs])
    return Parity(tuple(pairs), tuple(unpaired), alone, strange, tolerance, checked)


def compare_replay(original: Evidence, replay: Evidence, tolerance: float) -> Parity:
    """Compare a replay with the study whose trials it ran again; what was not run again is left out."""
    keys = trial_keys([original, replay])
    ran = {keys[replay.name, result.index] for result in replay.results}
    again = tuple(result for result in original.results if keys[original.name, result.index] in ran)
    return compare_trials([replace(original, results=again or original.results), replay], tolerance)


def _has_kin(study: Evidence, studies: Sequence[Evidence]) -> bool:
    return any(other.name != study.name and study.differs_in_points_only(other) for other in studies)
