"""On-demand prices of instances from AWS's own price list, for the upper bound of a study and for what jobs have cost.

A price that the list does not answer is unknown until the user sets ``mode.price_usd_per_hour``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from experiments.aws.account import Account
from experiments.errors import BackendUnavailable, ConfigError

# What an instance is for, as the price list calls it.
Use = Literal["Training", "Hosting"]
SOURCE = "AWS's price list"
# The price list of all regions is served from this one.
_API_REGION = "us-east-1"
_SERVICE = "AmazonSageMaker"
_UNIT = "Hrs"

# USD for each GB of memory and second of a prediction on a serverless endpoint in us-east-1: $0.00006 for 3 GB in AWS's
# Price List (USE1-ServerlessInf:Mem-3GB).
SERVERLESS_USD_GB_SECOND = 0.00002
SERVERLESS_SOURCE = "us-east-1, read 2026-11-25"


def serverless_usd(milliseconds: float, memory_mb: int, requests: int = 1_000_000) -> float:
    """Return what requests to a serverless endpoint cost in USD, without the transferred data.

    Args:
        milliseconds: How long each one takes.
        memory_mb: The endpoint's memory.
        requests: Their number.
    """
    return SERVERLESS_USD_GB_SECOND * memory_mb / 1024 * milliseconds / 1000 * requests


@dataclass(frozen=True)
class Price:
    """The price of an instance.

    Attributes:
        usd_per_hour: The price on demand.
        source: Where the price is from.
    """

    usd_per_hour: float
    source: str

    def cost(self, seconds: float) -> float:
        """Return the cost of that many billed seconds, in USD."""
        return self.usd_per_hour * seconds / 3600


def find_price(instance_type: str, account: Account, given: float | None, use: Use = "Training") -> Price | None:
    """Return an instance's price, or None if it is unknown.

    Args:
        instance_type: Such as ``ml.m5.large``.
        account: Whose credentials read the price list, and whose region counts.
        given: ``mode.price_usd_per_hour``, which overrides the list.
        use: What the instance is for.
    """
    if given is not None:
        return Price(given, "mode.price_usd_per_hour")
    usd = _listed(instance_type, account.region, account.profile, use)
    return None if usd is None else Price(usd, SOURCE)


@functools.lru_cache(maxsize=64)
def _listed(instance_type: str, region: str, profile: str | None, use: Use) -> float | None:
    """Return the price in the price list; None if it cannot be read, or has no price or several."""
    from botocore.exceptions import BotoCoreError, ClientError

    wanted = {"instanceName": instance_type, "regionCode": region, "component": use}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    try:
        answer = Account(_API_REGION, profile).client("pricing").get_products(ServiceCode=_SERVICE, Filters=filters)
    except (BotoCoreError, ClientError, BackendUnavailable, ConfigError, ValueError):
        return None
    prices = set(_hourly(answer["PriceList"]))
    return prices.pop() if len(prices) == 1 else None


def _hourly(products: Iterable[str]) -> Iterator[float]:
    """Yield the prices of an hour on demand of products, which are JSON."""
    for product in products:
        terms: dict[str, Any] = json.loads(product).get("terms", {}).get("OnDemand", {})
        for term in terms.values():
            for dimension in term.get("priceDimensions", {}).values():
                usd = float(dimension.get("pricePerUnit", {}).get("USD", 0))
                if dimension.get("unit") == _UNIT and usd > 0:
                    yield usd
