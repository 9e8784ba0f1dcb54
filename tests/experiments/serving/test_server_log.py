"""Checks which lines of a server's log are shown."""

from __future__ import annotations

from experiments.serving.server_log import relevant_lines


def test_reason_is_shown_without_the_lines_after_it() -> None:
    before = [f"line {number}" for number in range(50)]
    reason = "error: the model cannot be served: BundleError: its example is missing"
    after = ["gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>"] * 100
    shown = relevant_lines([*before, reason, *after]).splitlines()
    assert shown == [f"  {line}" for line in [*before[-29:], reason]]


def test_log_without_a_reason_is_shown_from_its_end() -> None:
    assert relevant_lines(f"line {number}" for number in range(31)).splitlines() == [
        f"  line {n}" for n in range(1, 31)
    ]


def test_empty_log_is_empty() -> None:
    assert relevant_lines([]) == ""
