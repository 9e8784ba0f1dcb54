"""Small tables, quick members, and values drawn by declaration."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from threadpoolctl import threadpool_limits

from ensemble.parameters import LARGEST, NONE, NUMBER, SMALLEST, Parameter, ParamValue
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.table import Table, numbers
from ensemble.threads import one_blas_thread

QUICK: dict[str, dict[str, ParamValue]] = {
    "xgboost": {"num_round": 4, "max_depth": 3, "subsample": 0.8, "colsample_bytree": 0.7},
    "catboost": {"iterations": 4, "depth": 3},
    "lightgbm": {"num_iterations": 4, "num_leaves": 8, "bagging_fraction": 0.8, "feature_fraction": 0.7},
    "random_forest": {"n_estimators": 4, "max_features": 0.5},
    "ridge": {"alpha": 2.5},
    "extra_trees": {"n_estimators": 4, "max_features": 0.5},
    "hist_gradient_boosting": {"max_iter": 4, "min_samples_leaf": 5},
    "svr": {"C": 2.0},
    "mlp": {"width": 6, "layers": 2, "max_iter": 5},
    "nearest_neighbors": {"n_neighbors": 4},
    "gaussian_process": {"max_iter": 8},
    "additive": {"knots": 4},
    "network": {"width": 6, "layers": 2, "updates": 40},
    "linear": {"C": 0.5},
    "svc": {"C": 2.0},
}

OWN_MEMBER = """
import json
import numpy as np
from ensemble.members import Member
from ensemble.parameters import real

class Constant(Member):
    kind = "constant"
    suffix = ".json"
    libraries = ()
    parameters = {"shift": real(-10, 10)}
    defaults = {"shift": 0.0}

    def fit(self, features, target, weights=None):
        self.value = float(np.mean(target)) + self.params["shift"]

    def predict(self, features):
        return np.full(len(features), self.value)

    def save(self, path):
        path.write_text(json.dumps(self.value))

    @classmethod
    def load(cls, path, *, threads, categories=None):
        member = cls({}, seed=0, threads=threads, categories=categories)
        member.value = json.loads(path.read_text())
        return member
"""


@pytest.fixture(scope="module", autouse=True)
def linear_algebra_as_in_training() -> Iterator[None]:
    """Give BLAS one thread, as ``fit_ensemble`` does; two take ten times as long for small matrices on a busy machine."""
    with one_blas_thread():
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Give scikit-learn's boosting one thread: on a busy machine, threads that wait for each other take minutes."""
    with threadpool_limits(1, user_api="openmp"):
        yield


def make_table(rows: int = 60, columns: int = 3, seed: int = 0, missing: float = 0.0) -> Table:
    """Return a table with a linear and a bent effect, read-only."""
    random = np.random.RandomState(seed)
    features = random.normal(size=(rows, columns))
    target = 50 + 10 * features[:, 0] + 5 * features[:, 1] ** 2 + random.normal(size=rows)
    features[random.uniform(size=features.shape) < missing] = np.nan
    features.flags.writeable = False
    target.flags.writeable = False
    return Table(numbers(*(f"x{number}" for number in range(columns))), "y", features, target)


def make_class_table(rows: int = 90, classes: int = 3, seed: int = 0, missing: float = 0.0) -> Table:
    """Return a table of classes that depend on the features in part, read-only."""
    random = np.random.RandomState(seed)
    features = random.normal(size=(rows, 3))
    score = 2 * features[:, 0] + features[:, 1] ** 2 + random.normal(size=rows)
    target = np.searchsorted(np.quantile(score, np.arange(1, classes) / classes), score).astype(float)
    features[random.uniform(size=features.shape) < missing] = np.nan
    features.flags.writeable = False
    target.flags.writeable = False
    labels = tuple(f"class {number}" for number in range(classes))
    positive = labels[1] if classes == 2 else None
    return Table(numbers("x0", "x1", "x2"), "y", features, target, classes=labels, positive=positive)


def quick_recipe(*kinds: str, k: int = 3, **more: object) -> Recipe:
    """Return a recipe of quick members, each under its kind's name."""
    members = tuple(MemberSpec(kind, kind, QUICK[kind]) for kind in kinds)
    return Recipe(members, folds=FoldSpec(k=k), **more)  # type: ignore[arg-type]


def values(parameter: Parameter) -> SearchStrategy[ParamValue]:
    """Return every value in a parameter's domain, integers up to a million."""
    found: list[SearchStrategy[ParamValue]] = []
    low, high = parameter.low, parameter.high
    if "int" in parameter.types:
        found.append(
            st.integers(
                -(10**6) if math.isinf(low) else math.ceil(low),
                10**6 if math.isinf(high) else min(math.floor(high), 10**6),
            )
        )
    if "float" in parameter.types:
        numbers_ = st.floats(
            max(low, -LARGEST),
            min(high, LARGEST),
            exclude_min=parameter.low_open,
            exclude_max=parameter.high_open,
        )
        found.append(numbers_.filter(lambda value: value == 0 or abs(value) >= SMALLEST))
    if "bool" in parameter.types:
        found.append(st.booleans())
    if "str" in parameter.types:
        choices = [choice.replace(NUMBER, "-1.5e-3") for choice in parameter.choices]
        found.append(st.sampled_from(choices) if choices else st.text().filter(lambda t: t != NONE))
    if parameter.optional:
        found.append(st.none())
    return st.one_of(found)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write a module of the user's own, importable during the test; return its name."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(source: str) -> str:
        (folder / "own_member.py").write_text(source)
        importlib.invalidate_caches()
        return "own_member"

    yield write
    sys.modules.pop("own_member", None)
