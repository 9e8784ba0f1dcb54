"""Fit one contender of ``benchmarks/accuracy.py`` and predict, in the contender's own environment.

``python peers.py CONTENDER TRAIN TEST TARGET SECONDS SEED LABELS`` reads two CSV files and prints one line of JSON: the
predictions for the rows of ``TEST``, and the versions of the libraries. ``LABELS`` is a JSON list of the classes, in
the order of their probabilities, or empty for a quantity.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Frame = pd.DataFrame
LEAST_PROBABILITY = 1e-6
BINARY = 2


def catboost(train: Frame, test: Frame, target: str, seconds: float, seed: int, labels: list[str]) -> Any:
    """CatBoost with its own defaults on all rows."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    features, categories = train.drop(columns=target), _categories(train.drop(columns=target))
    library = CatBoostClassifier if labels else CatBoostRegressor
    model = library(random_seed=seed, verbose=0, allow_writing_files=False, cat_features=categories)
    model.fit(_text(features, categories), train[target])
    return _predicted(model, _text(test, categories), labels)


def blend_of_six(train: Frame, test: Frame, target: str, seconds: float, seed: int, labels: list[str]) -> Any:
    """Six unlike models with their own defaults, five folds, and the weights on the simplex with the least error.

    Each model is fitted once more on all rows.
    """
    return (_six_classifiers if labels else _six_regressors)(train, test, target, seed, labels)


def _six_classifiers(train: Frame, test: Frame, target: str, seed: int, labels: list[str]) -> Any:
    from catboost import CatBoostClassifier
    from scipy.optimize import minimize
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    features, goal = train.drop(columns=target), train[target].astype(str).map(labels.index).to_numpy()
    categories = _categories(features)
    numbers = [name for name in features if name not in categories]

    def prepared(model: Any, *, scaled: bool) -> Any:
        filled = make_pipeline(SimpleImputer(), *([StandardScaler()] if scaled else []))
        encoded = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        return make_pipeline(make_column_transformer((filled, numbers), (encoded, categories)), model)

    models = [
        prepared(XGBClassifier(random_state=seed), scaled=False),
        prepared(CatBoostClassifier(random_seed=seed, verbose=0, allow_writing_files=False), scaled=False),
        prepared(ExtraTreesClassifier(random_state=seed), scaled=False),
        prepared(SVC(probability=True, random_state=seed), scaled=True),
        prepared(MLPClassifier(random_state=seed, max_iter=500), scaled=True),
        prepared(LogisticRegression(max_iter=1000), scaled=True),
    ]
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    text = _text(features, categories)
    found = [cross_val_predict(model, text, goal, cv=folds, method="predict_proba") for model in models]
    of_class = np.column_stack([one[np.arange(len(goal)), goal] for one in found])

    def loss(weights: Any) -> float:
        return float(-np.mean(np.log(np.maximum(of_class @ weights, LEAST_PROBABILITY))))

    best = minimize(
        loss,
        np.full(len(models), 1 / len(models)),
        method="SLSQP",
        bounds=[(0, 1)] * len(models),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )
    weights = np.maximum(best.x, 0)
    predicted = [model.fit(text, goal).predict_proba(_text(test, categories)) for model in models]
    return np.tensordot(weights / weights.sum(), np.stack(predicted), 1)


def _six_regressors(train: Frame, test: Frame, target: str, seed: int, labels: list[str]) -> Any:
    from catboost import CatBoostRegressor
    from scipy.optimize import nnls
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVR
    from xgboost import XGBRegressor

    features, goal = train.drop(columns=target), train[target].to_numpy(dtype=float)
    categories = _categories(features)
    numbers = [name for name in features if name not in categories]

    def prepared(model: Any, *, scaled: bool) -> Any:
        filled = make_pipeline(SimpleImputer(), *([StandardScaler()] if scaled else []))
        encoded = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        parts = make_column_transformer((filled, numbers), (encoded, categories))
        wrapped = TransformedTargetRegressor(model, transformer=StandardScaler()) if scaled else model
        return make_pipeline(parts, wrapped)

    models = [
        prepared(XGBRegressor(random_state=seed), scaled=False),
        prepared(CatBoostRegressor(random_seed=seed, verbose=0, allow_writing_files=False), scaled=False),
        prepared(ExtraTreesRegressor(random_state=seed), scaled=False),
        prepared(SVR(), scaled=True),
        prepared(MLPRegressor(random_state=seed, max_iter=500), scaled=True),
        prepared(RidgeCV(), scaled=True),
    ]
    folds = KFold(5, shuffle=True, random_state=seed)
    text = _text(features, categories)
    errors = np.column_stack([cross_val_predict(model, text, goal, cv=folds) - goal for model in models])
    # The point of the simplex that is nearest to no error (C. Lawson and R. Hanson, 1974, chapter 23).
    scale = np.sqrt(np.mean(errors**2))
    system = np.vstack([np.linalg.qr(errors / (scale * np.sqrt(len(errors))), mode="r"), np.ones(len(models))])
    weights, _ = nnls(system, np.array([0.0] * len(models) + [1.0]))
    predicted = [model.fit(text, goal).predict(_text(test, categories)) for model in models]
    return np.column_stack(predicted) @ (weights / weights.sum())


def flaml(train: Frame, test: Frame, target: str, seconds: float, seed: int, labels: list[str]) -> Any:
    """FLAML for the given time."""
    from flaml import AutoML  # type: ignore[import-not-found]  # it is in an environment of its own

    model = AutoML()
    features = train.drop(columns=target)
    task, metric = ("classification", "log_loss") if labels else ("regression", "rmse")
    model.fit(features, train[target], task=task, metric=metric, time_budget=seconds, seed=seed, verbose=0, n_jobs=1)
    return _predicted(model, test, labels)


def autogluon(train: Frame, test: Frame, target: str, seconds: float, seed: int, labels: list[str]) -> Any:
    """AutoGluon's best quality for the given time."""
    from autogluon.tabular import TabularPredictor  # type: ignore[import-not-found]  # as flaml

    with tempfile.TemporaryDirectory() as folder:
        task = "regression" if not labels else "binary" if len(labels) == BINARY else "multiclass"
        metric = "log_loss" if labels else "rmse"
        model = TabularPredictor(target, problem_type=task, eval_metric=metric, path=folder, verbosity=0)
        model.fit(train, presets="best_quality", time_limit=seconds, num_cpus=1)
        if not labels:
            return model.predict(test)
        found = model.predict_proba(test)
        return found.rename(columns=str)[labels].to_numpy()


def _predicted(model: Any, rows: Frame, labels: list[str]) -> Any:
    """Return a model's predictions, or the probabilities of the classes in the order of their labels."""
    if not labels:
        return model.predict(rows)
    return model.predict_proba(rows)[:, [list(map(str, model.classes_)).index(label) for label in labels]]


def _categories(features: Frame) -> list[str]:
    return [str(name) for name in features.select_dtypes(exclude="number")]


def _text(features: Frame, categories: list[str]) -> Frame:
    return features.assign(**{name: features[name].astype(str) for name in categories})


CONTENDERS: dict[str, Callable[..., Any]] = {
    "catboost": catboost,
    "blend_of_six": blend_of_six,
    "flaml": flaml,
    "autogluon": autogluon,
}
LIBRARIES = ("catboost", "xgboost", "scikit-learn", "lightgbm", "flaml", "autogluon.tabular")


def main() -> None:
    """Run one contender."""
    contender, train, test, target, seconds, seed, labels = sys.argv[1:]
    tables = pd.read_csv(train), pd.read_csv(test)
    predicted = CONTENDERS[contender](*tables, target, float(seconds), int(seed), json.loads(labels))
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    print(json.dumps({"predictions": np.asarray(predicted, dtype=float).tolist(), "versions": versions}))


if __name__ == "__main__":
    main()
