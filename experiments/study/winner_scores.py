"""The winner's scores on rows that it was not fitted on, computed in a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.bundle import load_bundle
from ensemble.channel import read_channel
from ensemble.errors import InputError
from ensemble.evaluation import finite
from ensemble.table import Table, weighted_by_class
from ensemble.threads import one_blas_thread
from ensemble.training import score_members
from experiments.study.coverage import measured_coverage
from experiments.study.explained_rows import SECONDS as EXPLAINING
from experiments.study.explained_rows import explain_rows
from experiments.study.folder import EXPLAINED_ROWS
from experiments.study.importance import MOST_ROWS, features_measured, permutation_importance, rows_in_time
from experiments.study.predictions import Predictions


def score_winner(
    bundle: str,
    channels: Mapping[str, str],
    hashes: Mapping[str, str],
    threads: int,
    predictions: str,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Return the scores on the test channel, and the first part of the feature importance; write explained rows.

    Args:
        bundle: Folder of the saved ensemble.
        channels: Folders of the validation and the test channel, by name, of those that there are; at least one.
        hashes: By channel, the hash of its content; a channel without one is not checked.
        threads: Threads that a member may use.
        predictions: File for the predictions on the test channel; explained rows of the first channel are beside it.
        seconds: The time that finding the importance may take, in all parts; None for no limit.

    Returns:
        ``metrics``: every finite score of every member and the blend, named ``test_*``, if there is a test channel;
        ``coverage``: the attributes of ``Coverage`` on these rows, None without them or without intervals;
        ``importance``, by feature, on the first channel; and ``features``: the number of features whose importance is
        found, 0 if there are too many for the time; on at most ``rows`` rows.

    Raises:
        InputError: A channel is damaged, or has changed since the study began.
    """
    model = load_bundle(Path(bundle), threads)
    ensemble = model.ensemble
    tables = {name: _read(Path(text), hashes.get(name)) for name, text in channels.items()}
    held_out = next(iter(tables.values()))
    metrics: dict[str, float] = {}
    coverage = None
    with one_blas_thread():
        if (table := tables.get("test")) is not None:
            members = ensemble.predict_members(table.features)
            blended = ensemble.blend.predict(members, table.features)
            labels = None if ensemble.decision is None else ensemble.decision.labels(blended)
            weights = weighted_by_class(table, ensemble.class_weights).weights
            found = Predictions(np.array(table.target), members, blended, weights, tuple(ensemble.models), labels)
            found.write(Path(predictions))
            metrics = finite(score_members("test", ensemble, members, table))
            coverage = measured_coverage(ensemble, table, blended, labels)
        features = features_measured(held_out.rows, len(held_out.columns))
        rows = MOST_ROWS if seconds is None or not features else rows_in_time(ensemble, held_out, seconds)
        features = features if rows else 0
        importance = permutation_importance(ensemble, held_out, most_rows=rows) if features else {}
        if rows:
            found_rows = explain_rows(model, held_out, EXPLAINING if seconds is None else min(seconds, EXPLAINING))
            if found_rows is not None:
                found_rows.write(Path(predictions).with_name(EXPLAINED_ROWS))
        return {
            "metrics": metrics,
            "coverage": None if coverage is None else asdict(coverage),
            "features": features,
            "rows": rows,
            "importance": importance,
        }


def _read(folder: Path, known: str | None) -> Table:
    table = read_channel(folder)
    if known is not None and table.content_hash() != known:
        raise InputError(
            f"the rows in {folder} are not those with which the study began. Run the same command again, which writes "
            "them again."
        )
    return table
