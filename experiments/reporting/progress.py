"""Progress of a running study: a live bar on a terminal, otherwise one line per trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from ensemble.evaluation import SCORES, MetricName
from ensemble.recipe import BLENDED
from experiments.reporting.console import print_plain
from experiments.study.folder import log_path, trial_folder
from experiments.study.spec import StudySpec, TrialResult

# Lines from the end of a failed trial's output.
LINES_SHOWN = 30


class _NoteColumn(ProgressColumn):
    """A backend's note, requested each time the bar is drawn."""

    def __init__(self, note: Callable[[], str]) -> None:
        super().__init__()
        self._note = note

    def render(self, task: Task) -> Text:
        return Text(self._note())


class _TimeLeftColumn(ProgressColumn):
    """The time that remains, by the speed so far, and never beyond the time limit."""

    def __init__(self, ends: float | None) -> None:
        super().__init__()
        self._ends = ends

    def render(self, task: Task) -> Text:
        left = seconds_left(task.time_remaining, self._ends)
        if left is None:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        return Text(f"{minutes}:{seconds:02d} left", style="progress.remaining")


def seconds_left(estimated: float | None, ends: float | None) -> float | None:
    """Return the estimated seconds that remain, and no more than the time limit leaves.

    Args:
        estimated: By the speed so far; None if it is not known.
        ends: When the time limit ends the command, by ``time.monotonic``; None for no limit.
    """
    known = [] if estimated is None else [estimated]
    known += [] if ends is None else [ends - time.monotonic()]
    return max(min(known), 0.0) if known else None


class StudyProgress:
    """Show finished and failed trials, the best blend, the best single member and the remaining time.

    Use as a context manager.
    """

    def __init__(
        self, study: StudySpec, members: Sequence[str], console: Console, resumed: int, note: Callable[[], str] = str
    ) -> None:
        """Start with the progress at zero.

        Args:
            study: The study.
            members: Names of the members.
            console: Where progress is shown.
            resumed: Number of trials that an earlier run finished; they are counted and not shown again.
            note: Returns the backend's note.
        """
        self._study = study
        self._members = members
        self._console = console
        self._done = 0
        self._failed = 0
        self._reasons: set[str] = set()
        self._pruned = 0
        self._best_blend: float | None = None
        self._best_member: tuple[float, str] | None = None
        self._resumed = resumed
        self._note = note
        self._live = console.is_terminal
        self._started = time.monotonic()
        self._ends = None if study.timeout is None else self._started - study.spent + study.timeout
        self._bar = Progress(
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[scores]}", markup=False),
            _NoteColumn(note),
            _TimeLeftColumn(self._ends),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("trials", total=study.n_trials, scores="starting")

    def __enter__(self) -> StudyProgress:
        study = self._study
        if self._resumed:
            self._line(f"study {study.name}: {self._resumed} of {study.n_trials} trials are done; continuing.")
        else:
            trials = "one trial" if study.n_trials == 1 else f"{study.n_trials} trials, {study.parallel} at a time"
            self._line(f"study {study.name}: {trials}.")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, result: TrialResult) -> None:
        """Count a finished trial."""
        self._done += 1
        self._failed += result.state == "failed"
        self._pruned += result.state == "pruned"
        self._keep_best(result)
        self._draw(result)

    def _draw(self, result: TrialResult) -> None:
        """Draw the state after a trial."""
        self._bar.update(self._task, completed=self._done, scores=self._scores())
        if self._done <= self._resumed:
            return
        if result.state == "failed":
            self._show_failure(result)
        elif not self._live:
            new = self._done - self._resumed
            estimated = (time.monotonic() - self._started) / new * (self._study.n_trials - self._done)
            left = seconds_left(estimated, self._ends)
            remaining = "" if left is None else f"{left:.0f} s left"
            progress = ", ".join(filter(None, [self._scores(), self._note(), remaining]))
            self._line(
                f"trial {result.index}: {self._outcome(result)}  ({self._done}/{self._study.n_trials}, {progress})"
            )

    def _show_failure(self, result: TrialResult) -> None:
        log = log_path(trial_folder(self._study.folder, result.index))
        self._line(f"trial {result.index} failed: {result.reason}", "red")
        if not log.exists():
            return
        lines = log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
        if result.reason in self._reasons:  # the same failure was shown before
            lines = []
        self._reasons.add(result.reason)
        self._line(f"  its output: {log}" + ("; its last lines:" if lines else ""))
        for line in lines:
            self._line(f"    {line}", "dim")

    def _outcome(self, result: TrialResult) -> str:
        if result.state == "pruned":
            pruned = result.info["pruned"]
            if "folds" not in pruned:
                return f"pruned: {result.reason}"
            return f"pruned after {pruned['folds']} folds, expected {pruned['expected']:.6g}"
        return f"{self._study.objective}={result.metrics[self._study.objective]:.6g}"

    def _line(self, text: str, style: str | None = None) -> None:
        print_plain(self._console, text, style)

    def _keep_best(self, result: TrialResult) -> None:
        if result.state != "complete":
            return
        score = MetricName.parse(self._study.objective).score
        sign = -1.0 if SCORES[score].maximised else 1.0
        blend = result.metrics.get(f"cv_{score}_{BLENDED}")
        if blend is not None and (self._best_blend is None or sign * blend < sign * self._best_blend):
            self._best_blend = blend
        for name in self._members:
            value = result.metrics.get(f"cv_{score}_{name}")
            best = self._best_member
            if value is not None and (best is None or (sign * value, name) < (sign * best[0], best[1])):
                self._best_member = (value, name)

    def _scores(self) -> str:
        counts = {"failed": self._failed, "pruned": self._pruned}
        parts = [f"{count} {state}" for state, count in counts.items() if count]
        if self._best_blend is not None and self._best_member is not None:
            alone = len(self._members) == 1
            parts.append(f"best{'' if alone else ' blend'} {self._best_blend:.5g}")
            parts += [] if alone else [f"best member {self._best_member[0]:.5g} {self._best_member[1]}"]
        return ", ".join(parts) or "starting"
