"""Members that a finished training has fitted, read from its folder, so that they need not be fitted again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ensemble.documents import read_json
from ensemble.errors import InputError
from ensemble.known_fits import KnownFit

METRICS_FILE = "metrics.json"
OUT_OF_FOLD_FILE = "out_of_fold.npz"


def read_fits(fitted: Mapping[str, tuple[Path, str]], threads: int) -> dict[str, KnownFit]:
    """Return fitted members with their models, by name.

    Args:
        fitted: By name, the folder of a finished training that kept its bundle, laid out as ``/opt/ml``, and the name
            of the member there. The training had the same rows, folds and seed.
        threads: Threads that a member may use.

    Raises:
        InputError: A training does not have the member.
        BundleError: A bundle is damaged.
    """
    from ensemble.bundle import load_bundle

    found: dict[str, KnownFit] = {}
    for folder in {folder: None for folder, _ in fitted.values()}:
        wanted = [member for where, member in fitted.values() if where == folder]
        bundle = load_bundle(folder / "model", threads, members=wanted)
        files = {member["name"]: member["files"] for member in bundle.manifest["members"]}
        output = folder / "output" / "data"
        document = read_json(output / METRICS_FILE)
        with np.load(output / OUT_OF_FOLD_FILE, allow_pickle=False) as arrays:
            names = arrays["names"].tolist()
            predictions = arrays["by_repeat"] if "by_repeat" in arrays else arrays["members"][None]
        for name, (where, member) in fitted.items():
            if where != folder:
                continue
            if member not in names or member not in files:
                raise InputError(f"hyperparameter 'fitted_members': the training in {folder} has no {member!r}.")
            found[name] = KnownFit(
                predictions[:, :, names.index(member)],
                None,
                document["rounds"].get(member),
                tuple(bundle.ensemble.models[member]),
                tuple(folder / "model" / file for file in files[member]),
                document["fit_seconds"][member],
                document.get("saving_seconds", 0.0) / len(names),
            )
    return found
