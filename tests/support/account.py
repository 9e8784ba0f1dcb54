"""The double of AWS as the account of commands that run in the test's process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.doubles.aws.double import Double


@contextmanager
def in_account(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """Run the double, with its credentials in place of those of the machine; what was made to fail works at the end."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        yield double
        double.heal()
