"""Limits on costs: an upper bound is rounded up, and the proposed budget suffices."""

from __future__ import annotations

import re

import pytest

from experiments.aws.budget import Bound, Rate, check_budget, check_rate
from experiments.aws.pricing import Price
from experiments.errors import ConfigError


@pytest.mark.parametrize(
    ("jobs", "price", "shown"),
    [
        (3, 0.115, "0.35"),
        (3, 0.4, "1.20"),
        (20, 617.281, "12345.62"),
        (1, 2_000_000, "2000000.00"),
        (1, 0.0001, "0.01"),
    ],
)
def test_the_bound_is_rounded_up_and_the_budget_that_is_proposed_suffices(jobs: int, price: float, shown: str) -> None:
    bound = Bound(jobs, 3600, "ml.m5.large", Price(price, "a test"))
    assert f"at most ${shown}: " in bound.describe()
    assert "e+" not in bound.describe()
    with pytest.raises(ConfigError) as refused:
        check_budget(bound, None, "python run.py")
    (proposed,) = re.findall(r"mode\.budget_usd=([\d.]+);", str(refused.value))
    assert proposed == shown
    check_budget(bound, float(proposed), "python run.py")


def test_a_bound_is_within_a_budget_that_it_equals() -> None:
    bound = Bound(3, 3600, "ml.m5.large", Price(0.4, "a test"))  # 1.2000000000000002 to a float
    check_budget(bound, 1.2, "")
    check_budget(Bound(3, 3600, "ml.m5.large", Price(0.115, "a test")), 0.345, "")
    with pytest.raises(ConfigError, match=r"mode\.budget_usd=1\.19 is below"):
        check_budget(bound, 1.19, "")


def test_a_day_of_an_endpoint_is_rounded_up_too() -> None:
    rate = Rate(1, "ml.m5.large", Price(0.1151, "a test"))  # 2.7624 a day
    with pytest.raises(ConfigError, match=r"\$2\.77 a day at \$0\.1151 an hour.* mode\.budget_usd=2\.77;"):
        check_rate(rate, None, "")
    check_rate(rate, 2.77, "")
