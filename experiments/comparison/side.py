"""A trial of a study, as one side of a pair."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.comparison.recorded_study import Evidence
from experiments.study.spec import TrialResult

# AWS keeps an objective in single precision.
_SINGLE = 1e-6


@dataclass(frozen=True)
class Side:
    """A trial of a study.

    Attributes:
        study: The study.
        result: The trial.
    """

    study: Evidence
    result: TrialResult

    @classmethod
    def of(cls, study: Evidence) -> Side:
        """Return a trial that speaks for the whole study: a complete one where there is one."""
        return cls(study, next((r for r in study.results if r.state == "complete"), study.results[0]))

    @property
    def trial(self) -> str:
        """Its name in messages."""
        return f"trial {self.result.index} of {self.study.name}"

    @property
    def info(self) -> Mapping[str, Any]:
        """What its ``metrics.json`` says besides the metrics."""
        return self.result.info

    @functools.cached_property
    def log_agrees(self) -> bool | None:
        """Whether the objective that a tuner reads in the log is the one in ``metrics.json``; None without a log."""
        written = self.result.metrics.get(self.study.objective)
        read = self.study.objective_in_log(self.result)
        if written is None or read is None:
            return None
        return math.isclose(read, written, rel_tol=_SINGLE if "cloud" in self.info else 0.0)
