"""The winner on rows that it was not fitted on. Called in a worker process, which has the libraries imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ensemble.bundle import load_bundle
from ensemble.evaluation import rmse
from ensemble.table import read_channel
from ensemble.threads import one_blas_thread
from ensemble.training import score_members

MOST_ROWS = 1000


def score_test(bundle: str, channel: str, threads: int) -> dict[str, float]:
    """Return every score of every member and of the blend on a channel, named ``test_*``.

    Args:
        bundle: Folder of the saved ensemble.
        channel: Folder of the test channel.
        threads: Threads that a member may use.
    """
    loaded = load_bundle(Path(bundle), threads)
    table = read_channel(Path(channel))
    with one_blas_thread():
        return score_members("test", loaded.ensemble, loaded.ensemble.predict_members(table.features), table)


def permutation_importance(bundle: str, channel: str, threads: int) -> dict[str, float]:
    """Return by feature how much the blend's RMSE on a channel rises when the feature's values are shuffled.

    Source: L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001, section 10. One shuffle a feature, on at most
    ``MOST_ROWS`` rows.

    Args:
        bundle: Folder of the saved ensemble.
        channel: Folder of the channel.
        threads: Threads that a member may use.
    """
    loaded = load_bundle(Path(bundle), threads)
    table = read_channel(Path(channel))
    random = np.random.RandomState(0)
    table = table.take(np.sort(random.permutation(table.rows)[:MOST_ROWS]))
    importance = {}
    with one_blas_thread():
        before = rmse(table.target, loaded.ensemble.predict(table.features), table.weights)
        for place, column in enumerate(table.columns):
            shuffled = np.array(table.features)
            shuffled[:, place] = random.permutation(shuffled[:, place])
            importance[column.name] = rmse(table.target, loaded.ensemble.predict(shuffled), table.weights) - before
    return importance
