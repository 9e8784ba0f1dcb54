"""How many trials may fail before a study stops."""

from __future__ import annotations

from experiments.study.folder import trial_folder
from experiments.study.spec import StudySpec, TrialResult

# With fewer finished trials a failure rate means nothing.
FEWEST_TRIALS_TO_JUDGE = 4


class FailureLimit:
    """Counts a study's finished trials, and tells when more of them failed than ``search.max_failure_rate`` allows."""

    def __init__(self, study: StudySpec) -> None:
        """Begin with no finished trial."""
        self._study = study
        self._done = 0
        self._failed = 0
        self._last: TrialResult | None = None

    def count(self, result: TrialResult) -> None:
        """Count a finished trial."""
        self._done += 1
        if result.state != "failed":
            return
        self._failed += 1
        if self._last is None or result.index > self._last.index:
            self._last = result

    def exceeded(self, consequence: str = "") -> str | None:
        """Return why the study has to stop, or None if it may continue.

        Args:
            consequence: What was done about it, added to the first sentence.
        """
        last = self._last
        if self._done < min(FEWEST_TRIALS_TO_JUDGE, self._study.n_trials):
            return None
        if last is None or self._failed <= self._study.max_failure_rate * self._done:
            return None
        return (
            f"{self._failed} of {self._done} trials failed, more than search.max_failure_rate="
            f"{self._study.max_failure_rate:g} allows{consequence}. The last reason: trial {last.index}: {last.reason} "
            f"({trial_folder(self._study.folder, last.index)})"
        )
