"""On-demand prices of instances, for the upper bound of a study and for what its jobs have cost.

The table is small and dated, and each row has its source; AWS's own page, https://aws.amazon.com/sagemaker/pricing, is
authoritative. A price that the table lacks is unknown until the user sets ``mode.price_usd_per_hour``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

READ = "2026-11-25"
_REGION = "us-east-1"
_TEAM = "github.com/JHUAPL-DTC-TA2/wiki, docs/sagemaker_instances.md"

# USD an hour in us-east-1 by instance type, with the page that copied it from AWS's.
_TABLE: Mapping[str, tuple[float, str]] = {
    "ml.m5.large": (0.115, _TEAM),
    "ml.m5.2xlarge": (0.461, _TEAM),
    "ml.c5.xlarge": (0.204, _TEAM),
    "ml.c5.2xlarge": (0.408, _TEAM),
    "ml.c5.9xlarge": (1.836, _TEAM),
    "ml.r5.8xlarge": (2.419, _TEAM),
    "ml.r5.16xlarge": (4.838, _TEAM),
}

# USD for each GB of memory and second of a prediction on a serverless endpoint in us-east-1: $0.00006 for 3 GB in AWS's
# Price List (USE1-ServerlessInf:Mem-3GB).
SERVERLESS_USD_GB_SECOND = 0.00002
SERVERLESS_SOURCE = f"us-east-1, read {READ}"


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


def find_price(instance_type: str, region: str, given: float | None) -> Price | None:
    """Return an instance's price, or None if it is unknown.

    Args:
        instance_type: Such as ``ml.m5.large``.
        region: The region; the table has the prices of one.
        given: ``mode.price_usd_per_hour``, which overrides the table.
    """
    if given is not None:
        return Price(given, "mode.price_usd_per_hour")
    if region != _REGION or instance_type not in _TABLE:
        return None
    usd, source = _TABLE[instance_type]
    return Price(usd, f"{source}, read {READ}")
