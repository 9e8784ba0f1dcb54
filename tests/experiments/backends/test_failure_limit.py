"""A study stops when more trials failed than it allows, and not before enough of them have ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.backends.failure_limit import FEWEST_TRIALS_TO_JUDGE, FailureLimit
from experiments.study.search_space import SearchSpace
from experiments.study.spec import Channels, SearchSpec, StudySpec, TrialResult

NOWHERE = Path("nowhere")
STUDY = StudySpec(
    name="counted",
    mode="local",
    action="tune",
    folder=NOWHERE,
    channels=Channels(NOWHERE, NOWHERE, NOWHERE, "hash"),
    static={},
    space=SearchSpace({}),
    search=SearchSpec("random", 0, 10, 4, 10),
    objective="cv_rmse_blended",
    parallel=1,
    threads=1,
    max_failure_rate=0.5,
)


def count(limit: FailureLimit, *states: bool) -> str | None:
    for index, fine in enumerate(states):
        result = TrialResult(index, "complete", {}, 0.0, 1.0, {"cv_rmse_blended": 1.0})
        limit.count(result if fine else result.failing(f"reason {index}"))
    return limit.exceeded("; the rest was stopped")


def test_it_waits_for_enough_trials_and_then_gives_the_last_reason() -> None:
    assert count(FailureLimit(STUDY), *[False] * (FEWEST_TRIALS_TO_JUDGE - 1)) is None
    assert count(FailureLimit(STUDY), True, True, False, False) is None
    assert count(FailureLimit(STUDY), False, True, False, False) == (
        "3 of 4 trials failed, more than search.max_failure_rate=0.5 allows; the rest was stopped. "
        "The last reason: trial 3: reason 3 (nowhere/trials/0003)"
    )


def test_a_study_of_few_trials_is_judged_when_all_have_ended() -> None:
    single = dataclasses.replace(STUDY, points=({},))
    assert count(FailureLimit(single), False) is not None
