"""What more trials may bring, against what all orders of the trials give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from experiments.study.more_trials import HIGH, LOW, outlook
from experiments.study.spec import TrialResult


def trials(values: list[float], objective: str = "cv_rmse_blended") -> list[TrialResult]:
    return [
        TrialResult(index, "complete", {}, 10.0 * index, 10.0 * index + 6, {objective: value})
        for index, value in enumerate(values)
    ]


VALUES = [5.0, 3.0, 8.0, 4.0, 9.0, 7.0, 6.0, 3.5]


def test_the_gain_is_that_of_the_last_trials_in_every_order() -> None:
    found = outlook(trials(VALUES), "cv_rmse_blended", more=8)
    assert found is not None
    gains = [min(rest) - min(VALUES) for rest in itertools.combinations(VALUES, 4)]
    assert found.gain == pytest.approx(np.mean(gains))
    assert found.chance == pytest.approx(np.mean(np.array(gains) > 0)) == 0.5
    assert found.low == np.quantile(gains, LOW, method="inverted_cdf")
    assert found.high == np.quantile(gains, HIGH, method="inverted_cdf")
    assert (found.best, found.seconds, found.usd, found.trials) == (3.0, 6.0, None, 8)


def test_it_does_not_depend_on_the_order_and_follows_the_objective() -> None:
    found = outlook(trials(VALUES), "cv_rmse_blended")
    assert found == outlook(trials(sorted(VALUES)), "cv_rmse_blended")
    assert found is not None
    upside_down = outlook(trials([-value for value in VALUES], "cv_r2_blended"), "cv_r2_blended")
    assert upside_down is not None
    assert (upside_down.gain, upside_down.best) == (found.gain, -3.0)


def test_few_trials_say_nothing_and_failed_ones_do_not_count() -> None:
    failed = TrialResult(9, "failed", {}, 0.0, 1.0, failure="no luck")
    assert outlook([*trials(VALUES[:7]), failed], "cv_rmse_blended") is None
    assert outlook([*trials(VALUES), failed], "cv_rmse_blended") == outlook(trials(VALUES), "cv_rmse_blended")


def test_pruned_trials_are_as_the_worst_of_the_others() -> None:
    pruned = [TrialResult(8 + n, "pruned", {}, 0.0, 6.0, info={"pruned": {"folds": 2}}) for n in range(60)]
    found = outlook([*trials(VALUES), *pruned], "cv_rmse_blended")
    assert found == outlook(trials([*VALUES, *[9.0] * 60]), "cv_rmse_blended")


def test_equal_trials_promise_nothing() -> None:
    found = outlook(trials([2.0] * 20), "cv_rmse_blended")
    assert found is not None
    assert (found.gain, found.high, found.is_worth) == (0.0, 0.0, False)


def test_what_jobs_cost_is_counted() -> None:
    paid = [
        TrialResult(n, "complete", {}, 0.0, 60.0, {"cv_rmse_blended": value}, {"cloud": {"job": "j", "cost_usd": 0.1}})
        for n, value in enumerate(VALUES)
    ]
    found = outlook(paid, "cv_rmse_blended")
    assert found is not None
    assert found.usd == pytest.approx(0.1)


@pytest.mark.parametrize("scores", ["gamma", "normal"])
def test_random_search_gains_what_is_foretold_on_average_and_stays_in_the_interval(scores: str) -> None:
    random = np.random.RandomState(0)
    foretold, gained, inside = [], [], []
    for _ in range(300):
        values = random.gamma(2.0, size=40) if scores == "gamma" else random.normal(size=40)
        found = outlook(trials(values[:20].tolist()), "cv_rmse_blended")
        assert found is not None
        foretold.append(found.gain)
        gained.append(max(0.0, values[:20].min() - values.min()))
        inside.append(found.low <= gained[-1] <= found.high)
    assert 0.9 * np.mean(gained) < np.mean(foretold) < 2.5 * np.mean(gained)
    assert np.mean(inside) > 0.9
