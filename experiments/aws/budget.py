"""The gates before a launch: what a study costs at most, or a day of an endpoint, against the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.aws.pricing import Price
from experiments.errors import ConfigError

_DAY = 86_400
_DIGITS = 6


@dataclass(frozen=True)
class Bound:
    """The most that a study's jobs can be billed for.

    Attributes:
        jobs: Number of training jobs.
        seconds_each: Longest run of one, with the wait of its instance for a next job.
        instance_type: Kind of machine.
        price: Its price, or None where that is not known.
    """

    jobs: int
    seconds_each: int
    instance_type: str
    price: Price | None

    @property
    def usd(self) -> float | None:
        """The bound in USD, or None where the price is not known."""
        return None if self.price is None else self.price.of(self.jobs * self.seconds_each)

    def describe(self) -> str:
        """Say the bound and what it comes from, in one line."""
        hours = self.seconds_each / 3600
        what = f"{self.jobs} job{'s' if self.jobs != 1 else ''} of at most {hours:g} h on {self.instance_type}"
        if self.price is None or self.usd is None:
            return f"at most an unknown amount: {what}, whose price is not known here"
        return f"at most ${_rounded_up(self.usd)}: {what} at {_hourly(self.price)} ({self.price.source})"


def check_budget(bound: Bound, budget: float | None, command: str) -> None:
    """Raise ConfigError unless a new launch is within the budget.

    Args:
        bound: What it costs at most.
        budget: ``mode.budget_usd``.
        command: The arguments that were typed, for the command that goes on.
    """
    if bound.usd is None:
        raise ConfigError(
            f"this study costs {bound.describe()}. Look it up at https://aws.amazon.com/sagemaker/pricing and add "
            "mode.price_usd_per_hour=<USD> to the command; nothing was started."
        )
    if budget is None:
        raise ConfigError(
            f"this study costs {bound.describe()}. To start it, say what it may cost: {command} "
            f"mode.budget_usd={_rounded_up(bound.usd)}; to lower the bound, lower mode.max_runtime_seconds or "
            "search.n_trials. Nothing was started."
        )
    if _is_above(bound.usd, budget):
        raise ConfigError(
            f"mode.budget_usd={_plain(budget)} is below what this study may cost, {bound.describe()}. Lower "
            "mode.max_runtime_seconds or search.n_trials, or raise the budget; nothing was started."
        )


@dataclass(frozen=True)
class Rate:
    """What an endpoint on instances is billed until it is deleted.

    Attributes:
        instances: How many.
        instance_type: Kind of machine.
        price: Of one, or None where that is not known.
    """

    instances: int
    instance_type: str
    price: Price | None

    @property
    def usd_per_day(self) -> float | None:
        """The rate in USD, or None where the price is not known."""
        return None if self.price is None else self.price.of(self.instances * _DAY)


def check_rate(rate: Rate, budget: float | None, command: str) -> None:
    """Raise ConfigError unless a day of an endpoint is within the budget.

    Args:
        rate: What it is billed.
        budget: ``mode.budget_usd``.
        command: The arguments that were typed, for the command that goes on.
    """
    what = f"an endpoint on {rate.instances} x {rate.instance_type} is billed by the hour until it is deleted"
    if rate.price is None or rate.usd_per_day is None:
        raise ConfigError(
            f"{what}, and the price is not known here. Look it up at https://aws.amazon.com/sagemaker/pricing and add "
            "mode.price_usd_per_hour=<USD>, or serving=serverless, which is billed by the request; nothing was started."
        )
    what += f": ${_rounded_up(rate.usd_per_day)} a day at {_hourly(rate.price)} each ({rate.price.source})"
    if budget is None:
        raise ConfigError(
            f"{what}. To start it, say what a day of it may cost: {command} "
            f"mode.budget_usd={_rounded_up(rate.usd_per_day)}; serving=serverless is billed by the request. Nothing "
            "was started."
        )
    if _is_above(rate.usd_per_day, budget):
        raise ConfigError(f"{what}, more than mode.budget_usd={_plain(budget)}; nothing was started.")


def _rounded_up(usd: float) -> str:
    """Return the amount in whole cents that is not below it; what a float adds in its last digits is no cent."""
    return f"{math.ceil(round(usd * 100, _DIGITS)) / 100:.2f}"


def _is_above(usd: float, budget: float) -> bool:
    """Return whether an amount is above a budget by more than a float's last digits."""
    return round(usd, _DIGITS) > budget


def _hourly(price: Price) -> str:
    return f"${_plain(price.usd_per_hour)} an hour"


def _plain(usd: float) -> str:
    """Return an amount as a person writes it, without an exponent."""
    return f"{usd:.{_DIGITS}f}".rstrip("0").rstrip(".")
