"""Scores as people call them."""

from __future__ import annotations

_SHOWN = {
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "logloss": "log loss",
    "auc": "AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "brier": "Brier score",
}


def shown(score: str) -> str:
    """Return a score's name in sentences, such as ``log loss``."""
    return _SHOWN[score]
