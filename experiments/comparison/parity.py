"""Whether the same trials gave the same numbers: the verdict over all pairs, and its cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from experiments.comparison.causes import Check, checks, combine, first_cause
from experiments.comparison.pairing import Pair, Unpaired, pair_trials, trial_keys
from experiments.comparison.recorded_study import RecordedStudy, RecordedTrial

Verdict = Literal["PASS", "FAIL", "NOT COMPARABLE", "NOT CHECKED"]
EXIT_CODES: dict[Verdict, int] = {"PASS": 0, "FAIL": 1, "NOT COMPARABLE": 3, "NOT CHECKED": 0}
# What compare.parity can be: with the first, it is required of a replay.
RequiredParity = Literal["auto", "required"]
_MOST_SHOWN = 5


@dataclass(frozen=True)
class Parity:
    """The result of comparing the trials of several studies.

    Attributes:
        pairs: The trials that ran in two studies.
        unpaired: The trials that ran in one study.
        without_pair: Studies without a paired trial.
        incomparable: Those of them that must have pairs, and whose lack of one is a mistake: they ran on other data,
            folds, seed or fixed parameters than the others, or were given points that no other study ran. The rest
            searched points that differ.
        tolerance: The largest relative difference of numbers that count as equal.
        checks: Every possible cause, in the order checked: of the first pair that differs; without one, of the first
            incomparable study; else combined over all pairs.
        required: Whether the trials are expected to have pairs; without, studies are compared for their scores only.
    """

    pairs: tuple[Pair, ...]
    unpaired: tuple[Unpaired, ...]
    without_pair: tuple[RecordedStudy, ...]
    incomparable: tuple[RecordedStudy, ...]
    tolerance: float
    checks: tuple[Check, ...]
    required: bool = True

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
        return max((found.relative for pair in both for found in pair.differences), default=0.0)

    @property
    def unequal(self) -> tuple[Pair, ...]:
        """The pairs that are not equal."""
        return tuple(pair for pair in self.pairs if not pair.equal)

    @property
    def verdict(self) -> Verdict:
        """FAIL if a pair differs, PASS if all are equal and no study lacks one that it should have.

        Otherwise it is NOT COMPARABLE if pairs are required, or else NOT CHECKED.
        """
        if self.unequal:
            return "FAIL"
        if not self.incomparable and self.pairs:
            return "PASS"
        return "NOT COMPARABLE" if self.required else "NOT CHECKED"

    @property
    def exit_code(self) -> int:
        """The exit code of a command with this verdict."""
        return EXIT_CODES[self.verdict]

    @property
    def line(self) -> str:
        """The verdict in one line."""
        counted = f"{self.equal} of {len(self.pairs)} trials equal"
        if self.verdict == "PASS":
            return f"parity: PASS ({counted})"
        cause = first_cause(self.checks)
        if self.verdict == "FAIL":
            # A failed trial states its own reason; other differences are in the report.
            reason = self.unequal[0].describe() if all(pair.failed for pair in self.unequal) else cause
            return f"parity: FAIL ({counted}; {reason})"
        known = f"{counted}; {cause}" if self.pairs else cause
        return f"parity: NOT COMPARABLE ({known})" if self.required else f"parity: NOT CHECKED ({known})"

    @property
    def exactness(self) -> str:
        """How many pairs are equal to the bit, and the largest difference of the others."""
        parts = [f"equal to the bit: {self.exact} of {len(self.pairs)}"]
        failed = sum(pair.failed is not None for pair in self.pairs)
        if failed:
            parts.append(f"{failed} failed in one study only")
        if self.largest:
            parts.append(f"the largest relative difference is {self.largest:.1e}")
        return "; ".join(parts)

    def details(self) -> list[str]:
        """Return the differences and what was left out, a line each."""
        apart = [pair.describe() for pair in self.unequal]
        lines = apart[:_MOST_SHOWN]
        if len(apart) > _MOST_SHOWN:
            lines.append(f"and {len(apart) - _MOST_SHOWN} more")
        if self.pairs:
            lines += [f"no trial of {study.name} ran in another study" for study in self.without_pair]
        elif self.without_pair[0].differs_in_points_only(self.without_pair[-1]):
            first, last = self.without_pair[0], self.without_pair[-1]
            lines.append(f"{first.replay_command(last.mode)} runs the best trials of {first.name} there")
        return lines


def compare_trials(studies: Sequence[RecordedStudy], tolerance: float, parity: RequiredParity = "required") -> Parity:
    """Pair the trials of several studies and compare each pair.

    Args:
        studies: At least two.
        tolerance: The largest relative difference of numbers that count as equal.
        parity: Whether the trials must have pairs; with ``auto`` those of a replay and of the study that it replays.
    """
    pairs, unpaired = pair_trials(studies, tolerance)
    paired = {side.study.name for pair in pairs for side in (pair.one, pair.other)}
    without_pair = tuple(study for study in studies if study.name not in paired)
    asked = _asked(studies, parity)
    mistaken = (study for study in without_pair if not (study.searched and _has_comparable(study, studies)))
    incomparable = tuple(study for study in mistaken if study.name in asked)
    # A pair with a failed trial has numbers in one study only, so it cannot explain why other pairs differ.
    unequal = min((pair for pair in pairs if not pair.equal), key=lambda pair: pair.failed is not None, default=None)
    unexplained = incomparable or (() if pairs else without_pair)
    if unequal is not None:
        checked = checks(unequal.one, unequal.other)
    elif unexplained:
        other = next(study for study in studies if study.name != unexplained[0].name)
        one, two = (study for study in studies if study.name in (unexplained[0].name, other.name))
        checked = checks(RecordedTrial.representing(one), RecordedTrial.representing(two), paired=False)
    else:
        checked = combine([checks(pair.one, pair.other) for pair in pairs])
    return Parity(tuple(pairs), tuple(unpaired), without_pair, incomparable, tolerance, checked, bool(asked))


def _asked(studies: Sequence[RecordedStudy], parity: RequiredParity) -> set[str]:
    """Return the studies whose trials must have pairs."""
    if parity == "required":
        return {study.name for study in studies}
    replays = [study for study in studies if study.replay_of is not None]
    return {study.name for study in replays} | {str(study.replay_of) for study in replays}


def compare_replay(original: RecordedStudy, replay: RecordedStudy, tolerance: float) -> Parity:
    """Compare a replay with its original study, leaving out the trials that were not replayed."""
    keys = trial_keys([original, replay])
    ran = {keys[replay.name, result.index] for result in replay.results}
    again = tuple(result for result in original.results if keys[original.name, result.index] in ran)
    return compare_trials([replace(original, results=again or original.results), replay], tolerance)


def _has_comparable(study: RecordedStudy, studies: Sequence[RecordedStudy]) -> bool:
    return any(other.name != study.name and study.differs_in_points_only(other) for other in studies)
