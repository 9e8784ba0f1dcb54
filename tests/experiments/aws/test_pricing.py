"""Prices of instances: the table is of one region, and the user's own price overrides it."""

from __future__ import annotations

from experiments.aws.pricing import READ, find_price


def test_a_price_of_the_table_has_its_source_and_date() -> None:
    price = find_price("ml.m5.large", "us-east-1", None)
    assert price is not None
    assert price.usd_per_hour == 0.115
    assert price.source.endswith(f"read {READ}")
    assert price.cost(7200) == 0.23


def test_the_users_own_price_overrides_the_table() -> None:
    price = find_price("ml.m5.large", "us-east-1", 0.5)
    assert price is not None
    assert (price.usd_per_hour, price.source) == (0.5, "mode.price_usd_per_hour")
    assert find_price("ml.other", "eu-west-1", 0.5) == price


def test_a_price_that_the_table_lacks_is_unknown() -> None:
    assert find_price("ml.m5.large", "eu-west-1", None) is None
    assert find_price("ml.other", "us-east-1", None) is None
