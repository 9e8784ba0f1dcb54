"""A study that continues in another place: when it may, and the trial that is trained again there before it does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from experiments.errors import InputError, StudyTaken
from experiments.study.folder import spot_check_folder
from experiments.study.spec import StudySpec, TrialResult, TrialSpec, best_of

# The ledger's fact of the trials that were trained again: by place, the result there.
SPOT_CHECKS = "spot_checks"
# The ledger's fact of trials that were started as jobs that outlive the command: their ``mode``, and their ``trials``.
JOBS = "jobs"
_MOST_SHOWN = 3


class CannotContinue(InputError):
    """A study has other numbers in the place where it was to continue, or other library versions."""


def check_not_elsewhere(study: StudySpec, results: Iterable[TrialResult], facts: Mapping[str, Any]) -> None:
    """Raise StudyTaken if trials of this study may be running in another place.

    Args:
        study: The study that is to continue here.
        results: Its finished trials.
        facts: The facts that its ledger has.
    """
    jobs = facts.get(JOBS)
    if jobs is None or jobs["mode"] == study.place()["mode"]:
        return
    done = {result.index for result in results}
    running = [str(index) for index in jobs["trials"] if index not in done]
    if running:
        trials = f"trial{'s' if len(running) > 1 else ''} {', '.join(running)}"
        raise StudyTaken(
            f"study {study.name!r} runs in mode={jobs['mode']}: {trials} began there as jobs that have no result yet. "
            f"Run its command with mode={jobs['mode']} again, which follows them; mode={jobs['mode']} action=clean "
            "stops them first."
        )


def due_spot_check(study: StudySpec, results: Collection[TrialResult], facts: Mapping[str, Any]) -> TrialResult | None:
    """Return the best trial, to train again before a study continues here; None if it has run here or has no trial.

    Args:
        study: The study.
        results: Its finished trials.
        facts: The facts that its ledger has.
    """
    here = study.place()["mode"]
    complete = [result for result in results if result.state == "complete"]
    known = {study.place_of(result) for result in complete} | set(facts.get(SPOT_CHECKS) or {})
    if not study.can_continue or not complete or here in known:
        return None
    return best_of(complete, study.objective)


def spot_check_trial(study: StudySpec, original: TrialResult) -> TrialSpec:
    """Return the training of a trial once more, in this place."""
    folder = spot_check_folder(study.folder, study.place()["mode"])
    hyperparameters = study.hyperparameters(original.repeatable)
    return TrialSpec(original.index, original.params, hyperparameters, folder, threads=study.threads)


def check_same_numbers(study: StudySpec, original: TrialResult, again: TrialResult) -> None:
    """Raise CannotContinue unless a trial that was trained again has the same numbers to the bit, and versions.

    Args:
        study: The study.
        original: The trial.
        again: Its training in this place.
    """
    here, there = f"mode={study.place()['mode']}", f"mode={study.place_of(original)}"
    what = f"study {study.name!r} cannot continue in {here}: trial {original.index}, trained again there,"
    if again.state != "complete":
        raise CannotContinue(f"{what} failed: {again.reason} Nothing was recorded.")
    other = [
        f"{name} is {original.metrics.get(name)!r} in {there} and {again.metrics.get(name)!r} in {here}"
        for name in sorted({*original.metrics, *again.metrics})
        if original.metrics.get(name) != again.metrics.get(name)
    ]
    versions = _other_versions(original, again)
    found = [f"{name} is {before} in {there} and {now} in {here}" for name, (before, now) in versions.items()]
    if not other and not found:
        return
    differs = "has other numbers" if other else "has the same numbers, but used other versions of libraries"
    more = f"; and {len(other) - _MOST_SHOWN} more" if len(other) > _MOST_SHOWN else ""
    raise CannotContinue(
        f"{what} {differs}: {'; '.join([*found, *other[:_MOST_SHOWN]])}{more}. Nothing was recorded. Install the same "
        f"versions in both places, or begin another study: study=<name>."
    )


def check_same_versions(study: StudySpec, results: Iterable[TrialResult], new: TrialResult) -> None:
    """Raise CannotContinue if a new trial used other versions of the libraries than the study's earlier trials.

    Args:
        study: The study.
        results: Its finished trials.
        new: A trial that has finished since.
    """
    earlier = next((result for result in results if result.info.get("versions")), None)
    found = {} if earlier is None or not study.can_continue else _other_versions(earlier, new)
    if found:
        shown = [f"{name} was {before} and is {now}" for name, (before, now) in found.items()]
        raise CannotContinue(
            f"study {study.name!r} cannot continue with other versions of libraries: {'; '.join(shown)}. Nothing was "
            f"recorded. Install the versions of its trials, or begin another study: study=<name>."
        )


def _other_versions(one: TrialResult, other: TrialResult) -> dict[str, tuple[str, str]]:
    """Return by library the two versions that trials used, where they differ; Python's own changes no number."""
    before, now = (result.info.get("versions", {}) for result in (one, other))
    return {
        name: (before[name], now[name])
        for name in before
        if name != "python" and name in now and before[name] != now[name]
    }
