"""Whether rows are like those that a model learnt from (``study.drift``)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from ensemble.sketch import Sketch, sketch
from ensemble.table import Column, Table
from experiments.study.drift import Counts, Drift, drift_of

COLUMNS = (Column("size"), Column("count"), Column("town", "category", ("a", "b", "c")), Column("same"))
UNSEEN = "town"


def draw(rows: int, seed: int) -> np.ndarray:
    random = np.random.RandomState(seed)
    town = random.choice(3, rows, p=[0.6, 0.3, 0.1])
    found = np.column_stack([random.normal(size=rows), random.poisson(1, rows), town, np.full(rows, 4.0)])
    found[random.rand(rows) < 0.1, 0] = np.nan
    return found


def sketched(rows: int = 1000) -> Sketch:
    table = Table(COLUMNS, "y", draw(rows, 0), np.zeros(rows))
    return sketch(table, np.random.RandomState(1).normal(size=(rows, 2)), [0.5, 0.5])


def drift(features: np.ndarray, unseen: int = 0, apart: float = 1.0, threshold: float = 0.2) -> Drift:
    found = sketched()
    counts = Counts(found)
    for part in np.array_split(features, 3):
        counts.add(part, np.full(len(part), apart * found.mean))
    return drift_of(found, counts.as_dict({UNSEEN: unseen}), threshold, 1.5)


@pytest.mark.parametrize("rows", [3, 30, 300, 3000])
def test_rows_like_those_learnt_from_have_not_drifted(rows: int) -> None:
    for seed in range(20):
        found = drift(draw(rows, seed + 1), threshold=1e-9)  # so that chance alone decides
        assert not found.drifted
        assert not found.disagree


@pytest.mark.parametrize(("column", "value"), [(0, np.nan), (0, 2.5), (1, 7.0), (2, 2.0), (3, 3.9), (3, 4.1)])
def test_a_column_that_moved_has_drifted_and_no_other(column: int, value: float) -> None:
    features = draw(200, 5)
    features[:120, column] = value
    found = drift(features)
    assert [one.name for one in found.drifted] == [COLUMNS[column].name]


def test_unknown_categories_are_apart_from_missing_values() -> None:
    features = draw(200, 5)
    features[:80, 2] = np.nan
    town = drift(features, unseen=60).columns[2]
    assert (town.unseen, town.missing, town.drifted, town.ks) == (0.3, (0.0, 0.1), True, None)


def test_the_largest_difference_of_shares_is_that_of_the_samples_at_the_quantiles() -> None:
    learnt, features = draw(1000, 0), draw(400, 3)
    features[:, 0] += 0.7
    found = drift(features).columns[0].ks
    exact = ks_2samp(learnt[~np.isnan(learnt[:, 0]), 0], features[~np.isnan(features[:, 0]), 0]).statistic
    assert found is not None
    assert exact - 0.05 <= found <= exact + 1e-4


@pytest.mark.parametrize(("apart", "expected"), [(0.2, False), (1.4, False), (1.6, True)])
def test_members_that_disagree_more_than_out_of_fold_are_a_drift(apart: float, expected: bool) -> None:
    found = drift(draw(300, 2), apart=apart)
    assert found.disagreement == pytest.approx(apart)
    assert found.disagree is expected
    assert not found.drifted


def test_a_column_without_a_drift_needs_rows_that_could_show_one() -> None:
    table = Table(COLUMNS[:1], "y", np.random.RandomState(0).normal(size=(1000, 1)), np.zeros(1000))
    found = sketch(table, np.full((1000, 1), np.nan), [1.0])

    def of(rows: int, value: float, threshold: float = 0.2) -> Drift:
        counts = Counts(found)
        counts.add(np.full((rows, 1), value), None)
        return drift_of(found, counts.as_dict({}), threshold, 1.5)

    fewest = of(1, 0.0).fewest
    assert 5 < fewest < 20
    assert not of(fewest - 1, 99.0).drifted
    assert of(fewest - 1, 99.0).fewest == fewest
    assert of(fewest, 99.0).drifted
    assert of(300, 99.0, threshold=99.0).fewest == 1
