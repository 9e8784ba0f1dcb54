"""The check of the budget before a launch: the upper bound of a study, or of a day of an endpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.aws.pricing import Price
from experiments.errors import ConfigError

# How a price becomes known.
PRICE_HINT = (
    "byoe asks AWS's price list, for which the credentials need the IAM action pricing:GetProducts. Or look the price "
    "up at https://aws.amazon.com/sagemaker/pricing and add mode.price_usd_per_hour=<USD>"
)
_DAY = 86_400
_DIGITS = 6


@dataclass(frozen=True)
class Bound:
    """The upper bound of what a study's jobs are billed.

    Attributes:
        jobs: Number of training jobs.
        max_runtime_seconds: Maximum runtime of a job.
        instance_type: The instance type.
        price: The price of an instance, or None if it is unknown.
        keep_alive_seconds: How long the instance of a job is kept alive for another job, and billed.
    """

    jobs: int
    max_runtime_seconds: int
    instance_type: str
    price: Price | None
    keep_alive_seconds: int = 0

    @property
    def seconds_each(self) -> int:
        """The time that a job can be billed for."""
        return self.max_runtime_seconds + self.keep_alive_seconds

    @property
    def usd(self) -> float | None:
        """The bound in USD, or None if the price is unknown."""
        return None if self.price is None else self.price.cost(self.jobs * self.seconds_each)

    def describe(self) -> str:
        """Return a line with the bound and how it is computed."""
        hours = self.seconds_each / 3600
        what = f"{self.jobs} job{'s' if self.jobs != 1 else ''} of at most {hours:g} h on {self.instance_type}"
        if self.price is None or self.usd is None:
            return f"at most an unknown amount: {what}, whose price is unknown"
        return f"at most ${_rounded_up(self.usd)}: {what} at {_hourly(self.price)} ({self.price.source})"


def check_budget(bound: Bound, budget: float | None, command: str) -> None:
    """Raise ConfigError unless a new launch is within the budget.

    Args:
        bound: The upper bound of its cost.
        budget: ``mode.budget_usd``.
        command: The command as typed, for the one that starts it.
    """
    if bound.usd is None:
        raise ConfigError(f"this study costs {bound.describe()}. {PRICE_HINT} to the command. Nothing was started.")
    if budget is None:
        raise ConfigError(
            f"this study costs {bound.describe()}. To start it, set what it may cost: {command} "
            f"mode.budget_usd={_rounded_up(bound.usd)}; to lower the bound, lower mode.max_runtime_seconds or "
            "search.n_trials. Nothing was started."
        )
    if _is_above(bound.usd, budget):
        raise ConfigError(
            f"mode.budget_usd={_plain(budget)} is below what this study may cost, {bound.describe()}. Lower "
            "mode.max_runtime_seconds or search.n_trials, or raise the budget. Nothing was started."
        )


@dataclass(frozen=True)
class Rate:
    """What an endpoint on instances is billed until it is deleted.

    Attributes:
        instances: Number of instances.
        instance_type: The instance type.
        price: The price of an instance, or None if it is unknown.
    """

    instances: int
    instance_type: str
    price: Price | None

    @property
    def usd_per_day(self) -> float | None:
        """The rate in USD, or None if the price is unknown."""
        return None if self.price is None else self.price.cost(self.instances * _DAY)


def check_rate(rate: Rate, budget: float | None, command: str) -> None:
    """Raise ConfigError unless a day of an endpoint is within the budget.

    Args:
        rate: What the endpoint is billed.
        budget: ``mode.budget_usd``.
        command: The command as typed, for the one that starts it.
    """
    what = f"an endpoint on {rate.instances} x {rate.instance_type} is billed by the hour until it is deleted"
    if rate.price is None or rate.usd_per_day is None:
        raise ConfigError(
            f"{what}, and the price is unknown. {PRICE_HINT}; or use serving=serverless, which is billed by the "
            "request. Nothing was started."
        )
    what += f": ${_rounded_up(rate.usd_per_day)} a day at {_hourly(rate.price)} each ({rate.price.source})"
    if budget is None:
        raise ConfigError(
            f"{what}. To start it, set what a day may cost: {command} "
            f"mode.budget_usd={_rounded_up(rate.usd_per_day)}; serving=serverless is billed by the request. Nothing "
            "was started."
        )
    if _is_above(rate.usd_per_day, budget):
        raise ConfigError(f"{what}, more than mode.budget_usd={_plain(budget)}. Nothing was started.")


def _rounded_up(usd: float) -> str:
    """Round an amount up to the cent; the last digits of a float do not count as a cent."""
    return f"{math.ceil(round(usd * 100, _DIGITS)) / 100:.2f}"


def _is_above(usd: float, budget: float) -> bool:
    """Return whether an amount exceeds a budget by more than the last digits of a float."""
    return round(usd, _DIGITS) > budget


def _hourly(price: Price) -> str:
    return f"${_plain(price.usd_per_hour)} an hour"


def _plain(usd: float) -> str:
    """Format an amount without an exponent and trailing zeros."""
    return f"{usd:.{_DIGITS}f}".rstrip("0").rstrip(".")
