"""The ensemble with each library's own calls and numpy, as a user's inference script would predict with it.

``BUNDLE`` is the folder of the saved ensemble.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from catboost import CatBoostClassifier, CatBoostRegressor

BUNDLE = Path(os.environ["BUNDLE"])
MANIFEST = json.loads((BUNDLE / "manifest.json").read_text())
WEIGHTS = MANIFEST["blend"]["weights"]
CLASSES = MANIFEST.get("classes", [])


def load(name: str) -> list[Callable[[Any], Any]]:
    """Return a member's fold models, with one thread each; with more, requests slow each other down."""
    models: list[Callable[[Any], Any]] = []
    for path in sorted((BUNDLE / "members" / name).glob("*")):
        if path.suffix == ".ubj":
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(path)
            models.append(partial(probabilities, booster) if len(CLASSES) == 2 else booster.inplace_predict)
        else:
            model = CatBoostClassifier() if CLASSES else CatBoostRegressor()
            model.load_model(str(path))
            models.append(partial(model.predict_proba if CLASSES else model.predict, thread_count=1))
    return models


def probabilities(booster: Any, rows: Any) -> Any:
    """Return the probabilities of both classes; XGBoost's are those of the second one."""
    second = booster.inplace_predict(rows)
    return np.column_stack([1 - second, second])


MEMBERS = [load(member["name"]) for member in MANIFEST["members"]]


def predict(rows: Any) -> Any:
    """Return the blend for rows of shape (rows, columns): numbers, or probabilities of shape (rows, classes)."""
    return sum(
        weight * np.mean([model(rows) for model in models], axis=0)
        for weight, models in zip(WEIGHTS, MEMBERS, strict=True)
    )
