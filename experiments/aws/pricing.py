"""What a study costs at most, and what its jobs have cost: on-demand prices of training instances.

The table is small, dated, and each row says where it is from; AWS's own page, https://aws.amazon.com/sagemaker/pricing,
decides. A price that is not in it is unknown, and is then given by ``mode.price_usd_per_hour``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

READ = "2026-11-25"
_REGION = "us-east-1"
_TEAM = "github.com/JHUAPL-DTC-TA2/wiki, docs/sagemaker_instances.md"

# USD an hour in us-east-1 by instance type, with who has copied it from AWS's page.
_TABLE: Mapping[str, tuple[float, str]] = {
    "ml.m5.large": (0.115, _TEAM),
    "ml.m5.2xlarge": (0.461, _TEAM),
    "ml.c5.xlarge": (0.204, _TEAM),
    "ml.c5.2xlarge": (0.408, _TEAM),
    "ml.c5.9xlarge": (1.836, _TEAM),
    "ml.r5.8xlarge": (2.419, _TEAM),
    "ml.r5.16xlarge": (4.838, _TEAM),
}


@dataclass(frozen=True)
class Price:
    """What an instance costs.

    Attributes:
        usd_per_hour: On demand.
        source: Who says so.
    """

    usd_per_hour: float
    source: str

    def of(self, seconds: float) -> float:
        """Return what so many billed seconds cost, in USD."""
        return self.usd_per_hour * seconds / 3600


def find_price(instance_type: str, region: str, given: float | None) -> Price | None:
    """Return an instance's price, or None where it is not known.

    Args:
        instance_type: Such as ``ml.m5.large``.
        region: The region; the table is of one.
        given: ``mode.price_usd_per_hour``, which decides.
    """
    if given is not None:
        return Price(given, "mode.price_usd_per_hour")
    if region != _REGION or instance_type not in _TABLE:
        return None
    usd, source = _TABLE[instance_type]
    return Price(usd, f"{source}, read {READ}")
