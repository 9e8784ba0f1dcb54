"""How long trials of the same recipe took on this machine, to choose the time limit of SageMaker's jobs."""

from __future__ import annotations

import math

from experiments.errors import InputError
from experiments.study.ledger import FILE, read, recorded_studies
from experiments.study.spec import StudySpec, TrialResult

# Another machine and other points may take this many times as long.
_MARGIN = 10
# A job's container starts and may install packages first.
_START_SECONDS = 300
_MINUTE = 60


def runtime_note(study: StudySpec, max_runtime_seconds: int) -> str:
    """Return in a sentence which ``mode.max_runtime_seconds`` the trials of another study suggest.

    Args:
        study: The study to launch.
        max_runtime_seconds: The limit of its jobs.
    """
    found = _slowest(study)
    if found is None:
        return (
            "no study here has run this recipe on this data, so mode.max_runtime_seconds cannot be suggested: run a "
            "few trials with mode=local search.n_trials=3 first."
        )
    name, seconds = found
    enough = math.ceil((_MARGIN * seconds + _START_SECONDS) / _MINUTE) * _MINUTE
    measured = f"the slowest trial of study {name} took {seconds:.3g} s on this machine"
    allowance = f"{_MARGIN} times that and {_START_SECONDS // _MINUTE} minutes for a job's start"
    if enough > max_runtime_seconds:
        return (
            f"{measured}, and mode.max_runtime_seconds={max_runtime_seconds} may be too short: {enough} is {allowance}."
        )
    return f"{measured}, so mode.max_runtime_seconds={enough} is enough: {allowance}."


def _slowest(study: StudySpec) -> tuple[str, float] | None:
    """Return the name of the newest study of the same recipe and data, and the seconds of its slowest trial."""
    newest: tuple[float, str, float] | None = None
    for folder in recorded_studies(study.folder.parent):
        try:
            known = read(folder / FILE)
        except InputError:
            continue
        took = [
            _seconds(result) for result in known.results if result.state == "complete" and "cloud" not in result.info
        ]
        if took and _is_same_recipe(known.facts.get("identity", {}), study):
            newest = max(newest or (0.0, "", 0.0), (float(known.facts["created"]), folder.name, max(took)))
    return None if newest is None else newest[1:]


def _seconds(result: TrialResult) -> float:
    return result.finished - result.started


def _is_same_recipe(identity: dict[str, object], study: StudySpec) -> bool:
    """Whether a study trained the same members on the same folds of the same rows."""
    own = study.identity()
    keys = {key for key in (*identity, *own) if key.startswith("fixed.") and key not in ("fixed.objective",)}
    return identity.get("data") == own["data"] and all(identity.get(key) == own.get(key) for key in keys)
