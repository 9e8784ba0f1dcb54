"""Which members a training with a time limit fits, by what they take on its first fold."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

# The share of a fold's time that other members may take before boosters grow, and by how much a fold may exceed its
# time before its slowest member is left out. With half, a Gaussian process was left out that took 14% off the log loss
# of 1,500 rows.
GROWING_SHARE, TOLERATED = 2 / 3, 1.2
# What a fit takes that has nothing to do, and by how much at most a machine is slower or quicker than expected.
LEAST_SECONDS, MOST_SLOWER = 0.02, 5.0
# The share of its usual time that a booster needs, and the fewest rounds of one that its time has ended: one that grows
# only a few rounds is worth less than fewer boosters, or quick members.
USUAL_SHARE, FEWEST_ROUNDS = 0.25, 10


@dataclass
class FoldBudget:
    """The time of one fold, and what its members take of it.

    Attributes:
        seconds: The time that the fold may take.
        expected: The seconds that a fit of each member takes, as estimated.
        growing: The boosters whose number of rounds is to be found; they can use any time that is left.
        needed: The member that must stay, because the objective is its score.
        may_leave: Whether members may be left out at all.
        taken: The seconds that a fit took, by member.
        left_out: Why a member was left out, by its name.
    """

    seconds: float
    expected: Mapping[str, float]
    growing: Collection[str]
    needed: str
    may_leave: bool
    taken: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)

    def fixed(self) -> list[str]:
        """Return the other members, quick ones first."""
        return sorted((name for name in self.expected if name not in self.growing), key=self.expected.__getitem__)

    def has_time_for(self, name: str, used: float) -> bool:
        """Return whether a member that does not grow is fitted; if not, it is left out.

        Args:
            name: The member.
            used: The seconds that were used so far.
        """
        takes = self.expected[name] * self._slower()
        may_go = self.may_leave and bool(self.taken or self._quickest_growth() < takes) and name != self.needed
        # A member that took longer than this one will take is left out instead, by ``leave_slow``.
        if may_go and used + takes > self._for_fixed and takes > max(self.taken.values(), default=0.0):
            self._leave(name, takes)
            return False
        return True

    def to_grow(self, used: float) -> list[str]:
        """Return the boosters that share the time that is left, quick ones first; the slowest are left out.

        Args:
            used: The seconds that were used so far.
        """
        left, slower = max(self.seconds - used, 0.0), self._slower()
        names = sorted(self.growing, key=self.expected.__getitem__)
        while (
            self.may_leave
            and set(names) - {self.needed}
            and len(names) + len(self.taken) > 1
            and sum(self.expected[name] for name in names) * slower * USUAL_SHARE > left
        ):
            slowest = next(name for name in reversed(names) if name != self.needed)
            names.remove(slowest)
            self._leave(slowest, self.expected[slowest] * slower)
        return names

    def grows_enough(self, name: str, rounds: int) -> bool:
        """Return whether a booster has as many rounds in the folds as it needs; if not, it is left out.

        Args:
            name: The booster.
            rounds: The rounds for which there is time, if that is what has ended its growth.
        """
        if rounds >= FEWEST_ROUNDS or not self.may_leave or name == self.needed or len(self.taken) == 1:
            return True
        took = self.taken.pop(name)
        many = f"{rounds} rounds" if rounds > 1 else "one round"
        self.left_out[name] = f"it grew {many} in {took:.2g} s, and all members together have {self.seconds:.2g} s"
        return False

    def second_chance(self, used: float) -> list[str]:
        """Return members that do not grow and were left out, quick ones first, if the boosters left their time.

        They are not left out any more.

        Args:
            used: The seconds that were used so far.
        """
        found: list[str] = []
        for name in self.fixed() if self.taken else ():
            takes = self.expected[name] * self._slower()
            if name in self.left_out and name not in self._tried and used + takes <= self.seconds:
                used += takes
                found.append(name)
                del self.left_out[name]
        return found

    def leave_slow(self) -> None:
        """Leave out the slowest members that do not grow, until the others take about as long as they may."""
        while self.may_leave and len(self.taken) > 1 and sum(self._steady().values()) > TOLERATED * self._for_fixed:
            steady = self._steady()
            slowest = max(steady, key=lambda name: (name != self.needed, steady[name]))
            if slowest == self.needed:
                return
            self._tried.add(slowest)
            self._leave(slowest, self.taken.pop(slowest))

    def room(self) -> float:
        """Return the time that boosters have in another fold, divided by what they took in this one."""
        steady = sum(self._steady().values())
        grew = sum(self.taken.values()) - steady
        return max(TOLERATED * self.seconds - steady, 0.0) / max(grew, 1e-9)

    @property
    def _for_fixed(self) -> float:
        """The time of the members that do not grow: all of it if no booster could use a part of it."""
        return self.seconds * (GROWING_SHARE if self._quickest_growth() <= self.seconds else 1.0)

    def _quickest_growth(self) -> float:
        """Return the shortest time in which a booster is worth it; infinite if none grows."""
        slower = self._slower()
        return min((self.expected[name] * slower * USUAL_SHARE for name in self.growing), default=math.inf)

    def _steady(self) -> dict[str, float]:
        return {name: spent for name, spent in self.taken.items() if name not in self.growing}

    def _slower(self) -> float:
        """Return how many times slower than expected this machine is; short fits and poor estimates tell little."""
        steady = self._steady()
        if not steady:
            return 1.0
        whole = sum(self.expected[name] + LEAST_SECONDS for name in steady)
        return float(np.clip(sum(steady.values()) / whole, 1 / MOST_SLOWER, MOST_SLOWER))

    def _leave(self, name: str, takes: float) -> None:
        self.left_out[name] = f"a fit takes about {takes:.2g} s, and all members together have {self.seconds:.2g} s"
