"""Names of training jobs; ``tests/experiments/actions/test_remote.py`` creates, lists and stops jobs."""

from __future__ import annotations

import pytest

from experiments.aws.jobs import trial_index


def test_the_index_of_a_trial_is_in_the_name_of_its_job() -> None:
    assert trial_index("mine", "mine-001-0123abcd") == 0
    assert trial_index("mine-2", "mine-2-1000-0123abcd") == 999


@pytest.mark.parametrize("name", ["other-001-0123abcd", "mine-001", "mine-x-0123abcd"])
def test_a_job_of_another_tuning_job_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a training job of mine"):
        trial_index("mine", name)
