"""The winner on the rows that no trial has seen. Called in a worker process, which has the libraries imported."""

from __future__ import annotations

from pathlib import Path

from ensemble.bundle import load_bundle
from ensemble.table import read_channel
from ensemble.threads import one_blas_thread
from ensemble.training import score_members


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
