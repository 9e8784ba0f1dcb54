"""How much of their cores workers get."""

from __future__ import annotations

import pytest

from experiments.backends.pace import MOST_SLOWNESS, Pace

# What is counted for worker 7 before and after: it ran and waited; and the seconds that this process ran meanwhile.
CASES = {
    "an idle machine": ((10.0, 0.0), 0.0, 1.0),
    "another program takes half of the core": ((10.0, 10.0), 0.0, 2.0),
    "it waited for this process": ((10.0, 4.0), 4.0, 1.0),
    "it waited for both": ((10.0, 14.0), 4.0, 2.0),
    "it waited for many others": ((10.0, 90.0), 0.0, MOST_SLOWNESS),
    "it did not run for long": ((0.5, 5.0), 0.0, 1.5),
}


@pytest.mark.parametrize("case", CASES)
def test_the_slowness_is_that_of_waiting_for_other_programs(case: str) -> None:
    (ran, waited), own, expected = CASES[case]
    counted, spent = {7: (3.0, 2.0)}, 1.0
    pace = Pace(lambda: counted, 1.5, lambda: spent)
    counted, spent = {7: (3.0 + ran, 2.0 + waited), 8: (0.0, 0.0)}, 1.0 + own
    pace.measure()
    assert pace.slowness == pytest.approx(expected)


def test_it_is_that_of_late() -> None:
    counted = {7: (0.0, 0.0)}
    pace = Pace(lambda: counted, 1.0, lambda: 0.0)
    found = []
    for ran, waited in [(2.0, 2.0), (4.0, 2.0), (4.5, 9.0), (6.0, 10.0)]:
        counted = {7: (ran, waited)}
        pace.measure()
        found.append(pace.slowness)
    assert found == [2.0, 1.0, 1.0, 4.0]


def test_where_the_system_does_not_count_it_stays_as_it_was() -> None:
    pace = Pace(slowness=1.25)
    pace.measure()
    assert pace.slowness == 1.25
