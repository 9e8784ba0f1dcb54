"""The contract between the harness and the places where studies run."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

from experiments.study.ledger import Ledger
from experiments.study.spec import StudySpec, TrialResult, TrialSpec


class Backend(abc.ABC):
    """A place where a whole study runs.

    The study is what crosses, not the trial, because SageMaker's tuner gets the whole study and chooses its points
    itself. ``tests/experiments/backends/contract.py`` is this contract as a suite, which every backend passes.

    - A backend never touches MLflow and shows no trial: it yields results, and the harness records and shows them. A
      backend whose launch costs money prints what it costs and what it uploads.
    - A backend keeps what it needs to resume in the study's folder, and writes nowhere else on this machine. One whose
      jobs run elsewhere uploads what they read.
    - One process runs a study at a time: the one that holds its ledger open.
    - The same study gives the same numbers, whatever finishes first and however often it was interrupted.

    Attributes:
        replay_mode: The mode in which its best trials are worth replaying, if any.
        after_interrupt: What the user has to know after an interruption, if anything.
    """

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
            BackendUnavailable: Something that the backend needs is missing; the message has the command that fixes it.
        """

    @abc.abstractmethod
    def submit(self, study: StudySpec, ledger: Ledger) -> StudyHandle:
        """Start the study, or resume it: a second call runs what is missing and nothing twice.

        Args:
            study: What to run.
            ledger: Its open ledger, which the caller closes after the handle.
        """


class StudyHandle(abc.ABC):
    """A running study. Owned by the thread that called ``submit``; closes with ``cancel`` or as a context manager.

    Attributes:
        final_status: What ``run_final`` does, to show while it does it.
    """

    final_status: ClassVar[str] = "training the best trial once more"

    @abc.abstractmethod
    def results(self) -> Iterator[TrialResult]:
        """Yield each finished trial once, failures included, those of earlier runs first.

        A result is on disk before it is yielded. Ends when every trial index is finished, or when the rest of the
        study's ``timeout`` is needed for ``run_final`` and for recording; trials that still run then are killed, and
        the next run repeats them. While no trial has a score, the timeout is ignored.

        Raises:
            StudyFailed: More trials failed than the study allows.
            StorageError: A result could not be recorded.
        """

    def run_again(self, trial: TrialSpec) -> TrialResult:
        """Train a trial of another place once more, in this one. Needed only where ``StudySpec.can_continue``.

        Args:
            trial: The training, in a folder of its own.

        Returns:
            Its result, failed or not. Nothing is recorded.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def run_final(self, index: int, recipe: Mapping[str, str] | None = None) -> TrialResult:
        """Place the output and the bundle of finished trial ``index`` in the study's ``final`` folder.

        Where trials keep no bundle, this trains the point once more.

        Args:
            index: The trial.
            recipe: What to train instead of the trial's point, in the wire format; given only for a study whose
                ``blend_over`` is ``study``.

        Returns:
            The result of that training, or of the trial itself.
        """

    def run_beside(self, trial: TrialSpec, seconds: float | None = None) -> Callable[[], TrialResult | None] | None:
        """Start a training that is not one of the study's trials, behind those that are waiting to run.

        Args:
            trial: The training, of which ``hyperparameters``, ``folder`` and ``threads`` count.
            seconds: After this time it may be killed; None for no limit of its own.

        Returns:
            A function that waits for its result, to be called when ``results`` has ended. It returns None, and the
            training is killed, if the study's ``timeout`` leaves no time. None instead of a function if the training
            would cost money.
        """
        return None

    def seconds_left(self) -> float | None:
        """Return how much of the study's ``timeout`` is left; None without a limit, or where it limits trials only."""
        return None

    def slowness(self) -> float:
        """Return how many times as long as on an idle machine something takes now, on this one."""
        return 1.0

    @abc.abstractmethod
    def cancel(self) -> None:
        """Stop; leaves no trial running on this machine. Idempotent, and callable after ``results`` has raised.

        Jobs on SageMaker continue: they are paid for, and the next ``submit`` imports their results.
        """

    def note(self) -> str:
        """Return a text to show beside the results, such as jobs by state. Callable from any thread."""
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
            StorageError: The disk is full, so the trial's outcome means nothing and must not be recorded.
            InputError: Its metrics have another version, so its outcome cannot be read and must not be recorded.
            RunnerClosed: ``close`` or ``interrupt`` was called; the trial did not finish and must not be recorded.
        """

    def interrupt(self) -> None:
        """Kill the trials that run now, and none that start later. Callable from any thread."""

    def close(self) -> None:
        """Kill what runs. Idempotent; callable from any thread."""
