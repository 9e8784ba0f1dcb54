"""The data of a study as a dataset of MLflow, which fills its Dataset column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from experiments.study.spec import Channels

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# MLflow's digests have at most 36 characters. As many of byoe's hash name the folder of the study's channels.
DIGEST_LENGTH = 16


def digest_of(data_hash: str) -> str:
    """Return a dataset's digest: the first characters of byoe's hash of the data."""
    return data_hash[:DIGEST_LENGTH]


def dataset_input(name: str, channels: Channels) -> DatasetInput:
    """Return the data of a study as the input of its runs.

    Args:
        name: The data's display name.
        channels: Where it is.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind, place = "local", str(channels.train.parent)
    if channels.in_place is not None:
        kind, place = "s3", channels.in_place.location
    dataset = Dataset(name or "data", digest_of(channels.data_hash), kind, json.dumps({"uri": place}))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
