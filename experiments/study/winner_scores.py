"""The winner's scores on rows that it was not fitted on, computed in a worker process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ensemble.bundle import load_bundle
from ensemble.channel import read_channel
from ensemble.evaluation import rmse
from ensemble.table import Table
from ensemble.threads import one_blas_thread
from ensemble.training import FittedEnsemble, score_members
from experiments.study.predictions import Predictions

MOST_ROWS = 1000


def score_winner(
    bundle: str, validation: str, test: str, threads: int, predictions: str
) -> dict[str, dict[str, float]]:
    """Return the scores on the test channel, and the feature importance on the validation channel.

    Args:
        bundle: Folder of the saved ensemble.
        validation: Folder of the validation channel.
        test: Folder of the test channel.
        threads: Threads that a member may use.
        predictions: File for the predictions on the test channel.

    Returns:
        ``metrics``: every score of every member and the blend, named ``test_*``; ``importance``, by feature.
    """
    ensemble = load_bundle(Path(bundle), threads).ensemble
    table = read_channel(Path(test))
    with one_blas_thread():
        members = ensemble.predict_members(table.features)
        blended = ensemble.blend.predict(members, table.features)
        found = Predictions(np.array(table.target), members, blended, table.weights, tuple(ensemble.models))
        found.write(Path(predictions))
        metrics = score_members("test", ensemble, members, table)
        return {"metrics": metrics, "importance": permutation_importance(ensemble, read_channel(Path(validation)))}


def permutation_importance(ensemble: FittedEnsemble, table: Table) -> dict[str, float]:
    """Return, by feature, the rise of the blend's RMSE on a table when the feature's values are shuffled.

    Source: L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001, section 10. One shuffle for each feature,
    on at most ``MOST_ROWS`` rows.
    """
    random = np.random.RandomState(0)
    table = table.take(np.sort(random.permutation(table.rows)[:MOST_ROWS]))
    importance = {}
    before = rmse(table.target, ensemble.predict(table.features), table.weights)
    for place, column in enumerate(table.columns):
        shuffled = np.array(table.features)
        shuffled[:, place] = random.permutation(shuffled[:, place])
        importance[column.name] = rmse(table.target, ensemble.predict(shuffled), table.weights) - before
    return importance
