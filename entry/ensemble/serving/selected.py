"""``SAGEMAKER_INFERENCE_OUTPUT``: what an answer holds, by the names that AWS's containers use.

AWS's XGBoost container (``serve_utils.py`` of ``sagemaker-xgboost-container``) and Autopilot's ("Configure inference
output in generated containers" in the developer guide) read the variable alike. For two classes ``probability`` is that
of the positive class, as in the XGBoost container; for more it is that of the predicted class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ensemble.errors import InputError, did_you_mean, listed
from ensemble.intervals import check_level
from ensemble.serving.prediction import Prediction

OUTPUT = "SAGEMAKER_INFERENCE_OUTPUT"
# The level of the interval that answers hold.
INTERVAL = "BYOE_INTERVAL"


def selected_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names that the variable selects, in order; none if it is not set."""
    text = environ.get(OUTPUT, "").replace(" ", "").lower()
    return tuple(text.split(",")) if text else ()


def interval_level(environ: Mapping[str, str]) -> float | None:
    """Return the level of the interval that answers hold; None if they hold none.

    Raises:
        LevelError: The variable is not a level.
    """
    text = environ.get(INTERVAL)
    if not text:
        return None
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    check_level(level, INTERVAL)
    return level


def check_selected(keys: Sequence[str], classes: bool, place: str) -> None:
    """Raise InputError for a name that the answers of a model cannot have.

    Args:
        keys: The names.
        classes: Whether the model predicts classes.
        place: Where the names were given, for the message.
    """
    allowed = CLASS_KEYS if classes else NUMBER_KEYS
    for key in keys:
        if key not in allowed:
            what = "classes" if classes else "a number"
            raise InputError(
                f"{place}={','.join(keys)}: the model predicts {what}, and its answers have no {key!r}."
                f"{did_you_mean(key, allowed)} They may have: {listed(allowed)}."
            )


def selected_rows(prediction: Prediction, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each row what ``keys`` select, by name, in their order."""
    columns = [_COLUMNS[key](prediction) for key in keys]
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


def _probability(prediction: Prediction) -> list[float]:
    if prediction.positive is not None:
        return list(prediction.blended[:, prediction.classes.index(prediction.positive)].tolist())
    return list(prediction.blended.max(axis=1).tolist())


def _probabilities(prediction: Prediction) -> list[list[float]]:
    return list(prediction.blended.tolist())


# The XGBoost container too gives the probabilities as the raw scores of objectives that have probabilities.
_CLASS_COLUMNS: dict[str, Callable[[Prediction], Sequence[Any]]] = {
    "predicted_label": Prediction.labels,
    "probability": _probability,
    "probabilities": _probabilities,
    "labels": lambda prediction: [list(prediction.classes)] * len(prediction.blended),
    "raw_score": _probability,
    "raw_scores": _probabilities,
}
_NUMBER_COLUMNS: dict[str, Callable[[Prediction], Sequence[Any]]] = {
    "predicted_score": lambda prediction: list(prediction.blended.tolist()),
}
_COLUMNS = _CLASS_COLUMNS | _NUMBER_COLUMNS
CLASS_KEYS, NUMBER_KEYS, KEYS = tuple(_CLASS_COLUMNS), tuple(_NUMBER_COLUMNS), tuple(_COLUMNS)
