"""The contract between the harness and the places where studies run."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult, TrialSpec


class Backend(abc.ABC):
    """A place where a whole study runs.

    The study is what crosses, not the trial, because a cloud tuner takes the whole study and picks its points itself.
    ``tests/experiments/backends/contract.py`` is this contract as a suite, which every backend passes.

    - A backend never touches MLflow and prints nothing: it yields results, and the harness records and shows them.
    - A backend keeps what it needs to resume in the study's folder, and writes nowhere else.
    - One process runs a study at a time: the one that holds its ledger open.
    - The same study gives the same numbers, whatever finishes first and however often it was interrupted.

    Attributes:
        can_extend: Whether a finished search can be given more trials.
        replay_mode: The mode in which its best trials are worth replaying, if any.
        after_interrupt: What the user has to know after an interruption, if anything.
    """

    can_extend: ClassVar[bool] = True
    replay_mode: ClassVar[str | None] = None
    after_interrupt: ClassVar[str | None] = None

    @classmethod
    def serving_arguments(cls, arguments: Sequence[str]) -> list[str]:
        """Return the arguments that say where a study's winner is served.

        Args:
            arguments: Those of the command that ran the study.
        """
        return ["mode=sagemaker", *(text for text in arguments if text.startswith("paths."))]

    @abc.abstractmethod
    def preflight(self, study: StudySpec) -> None:
        """Check that the study can run here. Starts nothing and writes nothing.

        Raises:
            BackendUnavailable: Something that the backend needs is missing; the message has the command that mends it.
        """

    @abc.abstractmethod
    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Start the study, or resume it: a second call runs what is missing and nothing twice.

        Args:
            study: What to run.
            ledger: Its open ledger, which the caller closes after the handle.
        """


class StudyHandle(abc.ABC):
    """A running study. Owned by the thread that called ``submit``; closes with ``cancel`` or as a context manager."""

    @abc.abstractmethod
    def results(self) -> Iterator[TrialResult]:
        """Yield each finished trial once, failures included, those of earlier runs first.

        A result is on disk before it is yielded. Ends when every trial index is finished, or when the study's
        ``timeout`` leaves just enough for ``run_final`` and for recording; what still runs then is killed, and left to
        the next run. With no score yet, it goes on until there is one.

        Raises:
            StudyFailed: More trials failed than the study allows.
            StorageError: A result could not be recorded.
        """

    @abc.abstractmethod
    def run_final(self, index: int) -> TrialResult:
        """Train the point of finished trial ``index`` once more, keep its bundle, and return its result."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Stop; leaves no trial running on this machine. Idempotent, and callable after ``results`` has raised.

        What runs elsewhere goes on by itself: it is paid for, and the next ``submit`` goes on from what it came to.
        """

    def note(self) -> str:
        """Return what there is to say beside the results, such as jobs by state; callable from any thread."""
        return ""

    def __enter__(self) -> StudyHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class TrialRunner(Protocol):
    """Runs single trials under the Optuna loop; called from several threads at once."""

    def run(self, trial: TrialSpec) -> TrialResult:
        """Run one trial to its end. A trial that fails is returned, not raised.

        Raises:
            StorageError: The disk is full, so that the trial's outcome says nothing; it is not to be recorded.
            RunnerClosed: ``close`` or ``interrupt`` was called; the trial did not finish and is not to be recorded.
        """

    def interrupt(self) -> None:
        """Kill what runs now; what is run later is not touched. Callable from any thread."""

    def close(self) -> None:
        """Kill what runs. Idempotent; callable from any thread."""
