"""XGBoost and CatBoost predict what their own libraries predict with the same saved model, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest
import xgboost

from ensemble.arrays import Floats
from ensemble.members import boosting as boosting_module
from ensemble.members.boosting import CatBoost, XGBoost
from ensemble.parameters import ParamValue

CATEGORIES = {2: 5}
OBJECTIVES = XGBoost.by_task["objective"]["regression"]
LOSSES = ["RMSE", "Poisson", "Tweedie:variance_power=1.5", "MAE", "Quantile:alpha=0.7"]
sizes = pytest.mark.parametrize("rows", [1, 2, 100])


def rows_of(count: int, seed: int, *, mixed: bool = False) -> tuple[Floats, Floats]:
    """Return features with gaps, the third a category if ``mixed``, and a positive target."""
    random = np.random.RandomState(seed)
    features = random.normal(size=(count, 3)) * [1, 1e-3, 1e5]
    if mixed:
        features[:, 2] = random.randint(0, 5, count)
    target = np.exp(0.5 * features[:, 0]) * 3 + random.uniform(0.1, 1, count)
    features[random.uniform(size=features.shape) < 0.15] = np.nan
    return features, target


def train_booster(settings: Mapping[str, Any]) -> xgboost.Booster:
    """Return a model that the library trains itself, with a setting that the member does not have."""
    features, target = rows_of(150, 0)
    data = xgboost.DMatrix(features, target)
    return xgboost.train({"max_depth": 4, "nthread": 1, "verbosity": 1, **settings}, data, num_boost_round=12)


@sizes
@pytest.mark.parametrize("mixed", [True, False], ids=["categories", "numbers"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_xgboost_predicts_what_its_package_does(objective: str, mixed: bool, rows: int, tmp_path: Path) -> None:
    categories = CATEGORIES if mixed else None
    params: dict[str, ParamValue] = {"num_round": 12, "max_depth": 4, "objective": objective}
    params |= {"reg:tweedie": {"tweedie_variance_power": 1.3}, "reg:pseudohubererror": {"huber_slope": 5.0}}.get(
        objective, {}
    )
    member = XGBoost(params, seed=0, threads=1, categories=categories)
    member.fit(*rows_of(150, 0, mixed=mixed))
    path = tmp_path / "model.ubj"
    member.save(path)
    features, _ = rows_of(rows, 1, mixed=mixed)
    booster = xgboost.Booster({"nthread": 1}, model_file=path)
    kinds = ["q", "q", "c"] if mixed else None
    data = xgboost.DMatrix(features, feature_types=kinds, enable_categorical=mixed)
    expected = booster.predict(data)
    assert expected.dtype == np.float32
    assert len(np.unique(expected)) >= min(rows, 10)
    for found in (member, XGBoost.load(path, threads=1, categories=categories)):
        predicted = found.predict(features)
        assert predicted.dtype == np.float64
        assert predicted.tobytes() == expected.astype(np.float64).tobytes()
        if not mixed:
            assert predicted.tobytes() == booster.inplace_predict(features).astype(np.float64).tobytes()


@sizes
@pytest.mark.parametrize(
    ("objective", "base_score"),
    [("reg:squarederror", -7.25), ("reg:squarederror", 1e6), ("count:poisson", 2.5), ("reg:gamma", 0.1)],
)
def test_a_base_score_is_respected(objective: str, base_score: float, rows: int, tmp_path: Path) -> None:
    booster = train_booster({"objective": objective, "base_score": base_score})
    path = tmp_path / "model.ubj"
    booster.save_model(path)
    features, _ = rows_of(rows, 1)
    predicted = XGBoost.load(path, threads=1).predict(features)
    assert predicted.tobytes() == booster.inplace_predict(features).astype(np.float64).tobytes()
    assert (
        predicted.tobytes()
        != train_booster({"objective": objective}).inplace_predict(features).astype(np.float64).tobytes()
    )


def test_every_tree_of_several_a_round_is_used(tmp_path: Path) -> None:
    booster = train_booster({"num_parallel_tree": 3, "subsample": 0.7, "colsample_bynode": 0.6})
    path = tmp_path / "model.ubj"
    booster.save_model(path)
    features, _ = rows_of(50, 1)
    expected = booster.inplace_predict(features).astype(np.float64)
    assert XGBoost.load(path, threads=1).predict(features).tobytes() == expected.tobytes()


def test_rows_of_another_width_are_refused_and_not_read() -> None:
    member = XGBoost({"num_round": 2}, seed=0, threads=1)
    features, target = rows_of(50, 0)
    member.fit(features, target)
    for wrong in (features[:, :2], np.column_stack([features, features]), np.empty((3, 0))):
        with pytest.raises(ValueError, match=rf"{wrong.shape[1]} columns were given, but the model has 3"):
            member.predict(wrong)


def test_an_error_of_the_c_interface_is_raised_with_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    member = XGBoost({"num_round": 2}, seed=0, threads=1)
    features, target = rows_of(50, 0)
    member.fit(features, target)
    monkeypatch.setattr(boosting_module, "_PREDICTION", b'{"type": 0, "training": false')
    with pytest.raises(RuntimeError, match=r"(?i)json"):
        member.predict(features)


def test_threads_side_by_side_get_their_own_numbers() -> None:
    member = XGBoost({"num_round": 12}, seed=0, threads=1)
    member.fit(*rows_of(150, 0))
    tables = [rows_of(rows, seed)[0] for seed, rows in enumerate((1, 50, 3, 200) * 10)]
    expected = [member.predict(features).tobytes() for features in tables]
    with ThreadPoolExecutor(4) as threads:
        assert [found.tobytes() for found in threads.map(member.predict, tables)] == expected


@sizes
@pytest.mark.parametrize("loss", LOSSES)
def test_catboost_predicts_what_its_package_does(loss: str, rows: int, tmp_path: Path) -> None:
    member = CatBoost({"iterations": 12, "depth": 3, "loss_function": loss}, seed=0, threads=1)
    member.fit(*rows_of(150, 0))
    path = tmp_path / "model.cbm"
    member.save(path)
    features, _ = rows_of(rows, 1)
    expected = catboost.CatBoostRegressor().load_model(str(path)).predict(features)
    loaded = CatBoost.load(path, threads=1)
    assert member.predict(features).tobytes() == expected.tobytes()
    assert loaded.predict(features).tobytes() == expected.tobytes()
    (each,) = CatBoost.predict_each([loaded], features)
    assert each.tobytes() == expected.tobytes()


@pytest.mark.parametrize("loss", ["Poisson", "Tweedie:variance_power=1.5"])
def test_catboost_predicts_the_target_and_not_its_logarithm(loss: str) -> None:
    features, target = rows_of(300, 0)
    member = CatBoost({"iterations": 200, "depth": 3, "loss_function": loss}, seed=0, threads=1)
    member.fit(features, target)
    predicted = member.predict(features)
    assert predicted.min() > 0
    assert np.mean(predicted) == pytest.approx(np.mean(target), rel=0.05)


@pytest.mark.parametrize("loss", LOSSES)
def test_catboost_may_be_saved_again(loss: str, tmp_path: Path) -> None:
    member = CatBoost({"iterations": 5, "depth": 3, "loss_function": loss}, seed=0, threads=1)
    member.fit(*rows_of(150, 0))
    features, _ = rows_of(20, 1)
    member.save(tmp_path / "first.cbm")
    loaded = CatBoost.load(tmp_path / "first.cbm", threads=1)
    loaded.save(tmp_path / "second.cbm")
    again = CatBoost.load(tmp_path / "second.cbm", threads=1)
    expected = member.predict(features).tobytes()
    assert again.predict(features).tobytes() == expected
    assert loaded.predict(features).tobytes() == expected
