"""The bar of a call from Python: one line on standard error, without widgets."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from experiments.reporting.console import PlainConsole
from experiments.reporting.progress import StudyProgress
from experiments.study.spec import StudySpec, TrialResult
from experiments.system.terminal import visible

_WIDTH = 10


class LineBar(StudyProgress):
    """Show a study's progress in one line, rewritten after each trial.

    A stream that is neither a terminal nor a notebook's gets the last state only.
    """

    def __init__(
        self, study: StudySpec, members: Sequence[str], console: Console, resumed: int, note: Callable[[], str] = str
    ) -> None:
        """Start with the progress at zero; ``console`` gets nothing, and the rest is as in ``StudyProgress``."""
        super().__init__(study, members, PlainConsole(file=io.StringIO()), resumed, note)
        self._stream = sys.stderr
        self._in_notebook = type(self._stream).__module__.startswith("ipykernel")
        self._rewritten = self._in_notebook or self._stream.isatty()
        self._length = 0

    def __enter__(self) -> LineBar:
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        self._rewritten = True
        self._write()
        self._stream.write("\n")
        self._stream.flush()

    def _draw(self, result: TrialResult) -> None:
        self._write()

    def _write(self) -> None:
        if not self._rewritten:
            return
        whole = self._study.n_trials
        filled = round(_WIDTH * self._done / whole) if whole else _WIDTH
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"
        parts = [f"{self._study.name} {bar} {self._done}/{whole}", self._scores(), self._note()]
        line = visible("  ".join(filter(None, parts)))
        if not self._in_notebook and self._stream.isatty():
            line = line[: shutil.get_terminal_size().columns - 1]
        self._stream.write(f"\r{line.ljust(self._length)}" if self._length else line)
        self._stream.flush()
        self._length = len(line)
