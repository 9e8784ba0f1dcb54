"""A request matched to columns: its features, or the error that the client gets."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from ensemble.arrays import Floats
from ensemble.reading import LARGEST
from ensemble.serving.errors import RequestError
from ensemble.serving.formats import decode
from ensemble.table import Column

# The statuses for a bad body; 406 is for an answer that cannot be written.
STATUSES = {400, 413, 415}


def answer(body: bytes | bytearray | str, content_type: str, columns: Sequence[Column]) -> Floats | RequestError:
    """Return the features of a request or its error, after a check of either."""
    try:
        features = decode(body, content_type).features(columns)
    except RequestError as error:
        refusal = error
    else:
        check_features(features, columns)
        return features
    check_refusal(refusal)
    return refusal


def features_of(body: bytes | bytearray | str, content_type: str, columns: Sequence[Column]) -> Floats:
    """Return the features of a request that fits."""
    found = answer(body, content_type, columns)
    assert not isinstance(found, RequestError), str(found)
    return found


def refusal_of(body: bytes | bytearray | str, content_type: str, columns: Sequence[Column]) -> RequestError:
    """Return the error of a request that is refused."""
    found = answer(body, content_type, columns)
    assert isinstance(found, RequestError), found
    return found


def check_features(features: Floats, columns: Sequence[Column]) -> None:
    """Check that these are valid features for a model with these columns."""
    assert isinstance(features, np.ndarray)
    assert features.dtype == np.float64
    assert features.shape == (len(features), len(columns))
    assert len(features) > 0
    assert not (np.abs(features) > LARGEST).any()
    for values, column in zip(features.T, columns, strict=True):
        present = set(values[~np.isnan(values)])
        if column.type == "category":
            assert present <= set(range(len(column.levels)))
        if column.type == "boolean":
            assert present <= {0, 1}


def check_refusal(error: RequestError) -> None:
    """Check that an error is short JSON with a code for programs and a message for people."""
    assert error.status in STATUSES
    text = str(error)
    details = json.loads(text)
    assert isinstance(details["error"], str)
    assert isinstance(details["message"], str)
    assert details["error"]
    assert details["message"]
    assert "Traceback" not in text
    assert len(text) < 2_000
