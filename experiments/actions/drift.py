"""``action=drift``: check whether the rows of a file are like those that a model learnt from."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ensemble.bundle_files import read_manifest_file
from ensemble.sketch import SKETCH, read_sketch
from ensemble.table import Column
from experiments.actions.batch import in_whole_file, row_file
from experiments.actions.model_process import Report, Step, load_predictor, run_with_model
from experiments.config.compose import Composed
from experiments.config.paths import root_folder
from experiments.config.schema import DriftConfig
from experiments.errors import ConfigError, storage_errors
from experiments.reporting.console import print_plain
from experiments.reporting.drift import drift_csv, drift_figure, show_drift
from experiments.serving.models import Model, place_model
from experiments.serving.row_files import open_rows
from experiments.study.drift import Counts, drift_of
from experiments.system.files import replacing
from experiments.system.output_file import check_not_input, output_file
from experiments.system.signals import check_interrupted

FIGURE = "drift.png"


def drift(composed: Composed, console: Console) -> int:
    """Compare the rows of ``input`` with those that the model learnt from; return 1 if they have drifted.

    Raises:
        InputError: There is no such file or model, the model has no sketch, or the rows do not fit it.
        StorageError: The figure or table cannot be written.
    """
    config = composed.config
    _check(config.drift)
    rows = row_file(config)
    check_not_input(config.input, config.output)
    figure = output_file(config.output or str(root_folder(config) / FIGURE), FIGURE)
    if figure.suffix.lower() not in (".png", ".csv"):
        raise ConfigError(f"output={config.output}: a file name ends with .png, or .csv for the table.")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = place_model(composed, place)
        columns = [Column.from_dict(column) for column in model.manifest["columns"]]
        if SKETCH not in model.manifest["files"]:
            raise ConfigError(
                f"model={config.model or model.origin}: an earlier version of byoe has saved it, without what the rows "
                "were like that it learnt from. Train it again, in another study."
            )
        sketch = read_sketch(model.folder / SKETCH, columns)
        arguments = {"model": str(model.folder), "rows": str(rows), "header": config.header}
        counts = run_with_model(model, place, "experiments.actions.drift:count_rows", arguments, console)
    found = drift_of(sketch, counts, config.drift.threshold, config.drift.disagreement)
    if found.rows < found.fewest:
        number = f"{found.rows} row{'s' if found.rows > 1 else ''}"
        raise ConfigError(
            f"{rows} has {number}, in which chance explains any difference of a column. Give at least {found.fewest}."
        )
    found = replace(found, warnings=tuple(counts["warnings"]))
    show_drift(found, _what(model, rows), console)
    is_table = figure.suffix.lower() == ".csv"
    with storage_errors(figure), replacing(figure) as partial:
        if is_table:
            partial.write_text(drift_csv(found), encoding="utf-8")
        else:
            drift_figure(found, config.drift.threshold).savefig(partial, format="png")
    print_plain(console, f"{'table' if is_table else 'figure'}: {config.output or figure}")
    return 1 if found.drifted or found.disagree else 0


def count_rows(model: str, rows: str, *, header: str | None, report: Report) -> dict[str, Any]:
    """Return the counts of a file's rows in the parts of a model's sketch, as ``Counts.as_dict``, with ``warnings``.

    Args:
        model: The model's folder.
        rows: The file of rows.
        header: As in ``open_rows``.
        report: Called before each file of the model is read, and after each part of the rows.

    Raises:
        InputError: The model cannot be used, or the rows do not fit it.
    """
    from ensemble.serving.errors import RequestError
    from ensemble.serving.unseen import Unseen
    from ensemble.threads import one_blas_thread

    folder, path = Path(model), Path(rows)
    predictor = load_predictor(folder, read_manifest_file(folder), report)
    source = open_rows(path, header)
    sketch, apart = predictor.bundle.sketch, predictor.disagreement
    if sketch is None:
        raise ConfigError(f"{folder} has no {SKETCH}.")
    counts, unseen = Counts(sketch), Unseen()
    with one_blas_thread():
        report(Step(None, 0, source.total))
        try:
            for chunk in source.chunks(predictor.columns, ()):
                unseen.offset = counts.rows
                features = predictor.features(chunk.rows, unseen)
                members = None if apart is None else predictor.bundle.ensemble.predict_members(features)
                counts.add(features, None if apart is None or members is None else apart.of_rows(members))
                report(Step(None, chunk.done, source.total, counts.rows))
                check_interrupted()
        except RequestError as error:
            raise ConfigError(f"{path}: {in_whole_file(error, counts.rows)}") from None
    if counts.rows == 0:
        raise ConfigError(f"{path} has no rows.")
    return {**counts.as_dict(unseen.counts()), "warnings": unseen.sentences(counts.rows)}


def _check(config: DriftConfig) -> None:
    for name, least in (("threshold", 0.0), ("disagreement", 1.0)):
        value = getattr(config, name)
        if not (math.isfinite(value) and value > least):
            raise ConfigError(f"drift.{name}={value:g}: it must be a number above {least:g}, such as drift.{name}=2.")


def _what(model: Model, rows: Path) -> str:
    return f"{rows.name} against the rows of {model.origin}"
