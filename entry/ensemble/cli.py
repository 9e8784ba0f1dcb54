"""The command of the entry script: read hyperparameters and SageMaker's environment, train, write the results."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ensemble import __version__
from ensemble.channel import read_channel
from ensemble.documents import read_json
from ensemble.errors import EnsembleError, InputError
from ensemble.evaluation import default_objective, finite
from ensemble.finished_trainings import METRICS_FILE, OUT_OF_FOLD_FILE, read_fits
from ensemble.known_fits import NOTHING, Known, KnownFits
from ensemble.racing import RaceLost, Rival
from ensemble.reading import Roles
from ensemble.recipe import FinalRows, Recipe
from ensemble.table import Table, joined
from ensemble.targets import named_labels
from ensemble.wire import (
    DATA_PARAMETERS,
    decode_final_rows,
    decode_fitted,
    decode_recipe,
    decode_rival,
    decode_roles,
    decode_rounds,
    decode_seconds,
    metric_line,
)

if TYPE_CHECKING:
    from ensemble.training import FittedEnsemble, Training

# The bundle of the models that were scored, where that of the model folder is of models fitted on more rows.
SCORED_FOLDER = "scored"
# What ``metrics.json`` has of them.
SERVED_INFO = ("final_rows", "rows_served", "rounds_served", "served_from_folds")
METRICS_VERSION = 1
# Folders of the user's own packages that are not beside the entry script.
CODE_VARIABLE = "BYOE_CODE"
# Folder of the fits that earlier trainings of the study have made.
FITS_VARIABLE = "BYOE_FITS"


@dataclass(frozen=True)
class Places:
    """Where a training job reads and writes; SageMaker's ``SM_*`` variables by default.

    Attributes:
        train: Folder of the train channel.
        validation: Folder of the validation channel, if there is one.
        test: Folder of the test channel, if there is one; only the models of the bundle may be fitted on it.
        roles: The roles of the columns, for channels of CSV or Parquet files.
        model_dir: Folder of the bundle; None to write no bundle.
        output_data_dir: Folder of ``metrics.json`` and ``out_of_fold.npz``.
        threads: Number of threads that a member may use.
        code: Folders of packages that go into the bundle besides the entry script's own.
        fits: Folder of the fits that earlier trainings have made, if they are kept.
    """

    train: Path
    validation: Path | None
    test: Path | None
    roles: Roles | None
    model_dir: Path | None
    output_data_dir: Path
    threads: int
    code: tuple[Path, ...] = ()
    fits: Path | None = None


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Train once.

    Args:
        argv: Command-line arguments; None for those of this process.
        environ: Environment variables; None for those of this process.

    Returns:
        The exit code: 0 done, 1 failed, 2 a mistake in the input. The reason of a failure is printed to standard error
        and written to ``failure`` in ``SM_OUTPUT_DIR``, where SageMaker reads it.
    """
    environ = os.environ if environ is None else environ
    try:
        options, hyperparameters = _read_arguments(sys.argv[1:] if argv is None else argv, environ)
        data = {name: hyperparameters.pop(name) for name in DATA_PARAMETERS if name in hyperparameters}
        if options.target is not None:
            data.setdefault("target", options.target)
        roles = decode_roles({**hyperparameters, **data})
        rival = decode_rival(hyperparameters.pop("rival", None))
        final_rows = decode_final_rows(hyperparameters.pop("final_rows", None))
        growing = decode_seconds("growing_seconds", hyperparameters.pop("growing_seconds", None))
        known = Known(
            rounds=decode_rounds(hyperparameters.pop("found_rounds", None)),
            seconds=growing or decode_seconds("folds_seconds", hyperparameters.pop("folds_seconds", None)),
            may_leave=growing is None,
            final_seconds=decode_seconds("final_seconds", hyperparameters.pop("final_seconds", None)),
        )
        fitted = decode_fitted(hyperparameters.pop("fitted_members", None))
        recipe, places = decode_recipe(hyperparameters), _places(options, roles, environ)
        if "objective" not in hyperparameters:
            task = _cached_channel(places.train, places.roles, None)[0].task
            recipe = replace(recipe, objective=default_objective(task))
        if fitted:
            known = replace(known, fits=read_fits(fitted, places.threads))
        train(recipe, places, rival, final_rows, known)
    except EnsembleError as error:
        reason, code, cause = str(error), error.exit_code, error.__cause__
    except Exception as error:  # every failure of a training job must have a reason
        reason, code, cause = f"{type(error).__name__}: {error}", 1, error
    else:
        return 0
    with contextlib.suppress(OSError):  # for example a full disk, which may be the reason itself
        if cause is not None:
            traceback.print_exception(cause)
        print(f"error: {reason}", file=sys.stderr, flush=True)
    output = Path(environ.get("SM_OUTPUT_DIR") or os.devnull)
    if output.is_dir():
        with contextlib.suppress(OSError):  # as above
            (output / "failure").write_text(reason, encoding="utf-8", errors="replace")
    return code


def train(
    recipe: Recipe,
    places: Places,
    rival: Rival | None = None,
    final_rows: FinalRows = "train",
    known: Known = NOTHING,
) -> None:
    """Train ``recipe`` and write the bundle, ``out_of_fold.npz`` and ``metrics.json``, and print the metric lines.

    A training that lost the race against ``rival`` writes ``metrics.json`` only. If the models of the bundle are fitted
    on more rows than those for training, the bundle of the models that were scored is written too, to ``SCORED_FOLDER``
    in ``output_data_dir``.

    Args:
        recipe: What to train.
        places: Where to read and write.
        rival: The training to beat, if this one may be pruned.
        final_rows: The rows that the models of the bundle are fitted on.
        known: What is known already.

    Raises:
        EnsembleError: The input has a mistake, a member failed, or the objective is not a finite number.
    """
    from ensemble.bundle import save_bundle
    from ensemble.processor import this_processor
    from ensemble.training import fit_ensemble, with_intervals
    from ensemble.versions import runtime_versions

    began = time.perf_counter()
    table, data_hash = _cached_channel(places.train, places.roles, None)
    validation, validation_hash = _like_train(places, places.validation)
    further = _further(places, final_rows)
    _check_scored(recipe, validation)
    document: dict[str, Any] = {
        "version": METRICS_VERSION,
        "objective": recipe.objective,
        "recipe": recipe.as_dict(),
        "recipe_hash": recipe.fingerprint(),
        "train_hash": data_hash,
        "validation_hash": validation_hash,
        "rows": table.rows,
        "validation_rows": None if validation is None else validation.rows,
        "columns": table.column_types(),
        "dtypes": table.dtypes(),
        "threads": places.threads,
        "versions": runtime_versions(),
        "processor": this_processor(),
        **table.classes_as_dict(),
    }
    places.output_data_dir.mkdir(parents=True, exist_ok=True)
    fits = None
    if places.fits is not None:
        rest = {name: document[name] for name in ("train_hash", "validation_hash", "versions")}
        fits = KnownFits(places.fits, recipe, {**rest, "ensemble": __version__})
        # A bundle needs the models, and a race each fold's predictions.
        if places.model_dir is None and rival is None and not known.fits:
            unseen = None if validation is None else validation.rows
            known = replace(known, fits=fits.find(table.rows, unseen, len(table.classes)))
    try:
        training = fit_ensemble(recipe, table, validation, places.threads, rival, known)
    except RaceLost as lost:
        document |= {"metrics": lost.metrics, "pruned": {"folds": len(lost.folds), "expected": lost.expected}}
        (places.output_data_dir / METRICS_FILE).write_text(json.dumps(document))
        return
    if training.left_out:
        recipe = replace(recipe, members=tuple(one for one in recipe.members if one.name not in training.left_out))
        document |= {
            "recipe": recipe.as_dict(),
            "recipe_hash": recipe.fingerprint(),
            "left_out": training.left_out,
        }
    if fits is not None and known.seconds is None:  # with a limit, a fit depends on the clock
        fits.keep(training.fits)
    if not np.isfinite(training.metrics[recipe.objective]):
        raise EnsembleError(
            f"the objective {recipe.objective} is {training.metrics[recipe.objective]}: this trial has no score."
        )
    if places.model_dir is not None:
        training = with_intervals(training, table, recipe.seed)
        saving = time.perf_counter()  # a bundle of other models has the same intervals
        scored = places.output_data_dir / SCORED_FOLDER if further else places.model_dir
        save_bundle(scored, recipe, training, table, data_hash, places.code)
        # Files of members that were fitted before were copied.
        copied = sum(fit.saving for fit in known.fits.values())
        document["saving_seconds"] = time.perf_counter() - saving + copied
    _write_out_of_fold(places.output_data_dir / OUT_OF_FOLD_FILE, training, table)
    document |= _results(training) | ({} if known.seconds is None else {"timed": True})
    if places.model_dir is not None and further:
        # Complete as it is, should there be no time for other models.
        _write_metrics(places, document)
        left = known.final_seconds
        if left is not None:  # another bundle takes as long to save as this one
            left -= time.perf_counter() - began + document["saving_seconds"]
        document = _serve_further(recipe, places, training, left, {**document, "final_rows": final_rows})
    _write_metrics(places, document)
    _print_lines(training.notes, document["metrics"], recipe.objective)


def _print_lines(notes: Sequence[str], metrics: Mapping[str, float], objective: str) -> None:
    """Print notes and the lines of the metrics, that of the objective last."""
    for note in notes:
        print(f"note: {note}")
    for name, value in metrics.items():
        if name != objective:
            print(metric_line(name, value))
    print(metric_line(objective, metrics[objective]), flush=True)


def _serve_further(
    recipe: Recipe, places: Places, training: Training, seconds: float | None, document: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the bundle of models on further rows; return what ``metrics.json`` has then.

    With a time limit, both are written before a long fit, with what is fitted so far.

    Args:
        recipe: What was trained.
        places: Where to read and write.
        training: The training.
        seconds: The time to fit the models; None for no limit. Members without time keep the models of their folds.
        document: What ``metrics.json`` has besides: which rows these are, and what it takes to save a bundle.
    """
    from ensemble.bundle import save_bundle
    from ensemble.training import final_budget, fit_again, served_rounds, with_models

    table, _ = _cached_channel(places.train, places.roles, None)
    rows = _served_rows(table, places, document["final_rows"])
    rows_hash, rounds = rows.content_hash(), served_rounds(recipe, training, table, rows)

    def saved(ensemble: FittedEnsemble) -> dict[str, Any]:
        kept = [name for name, models in ensemble.models.items() if models is training.ensemble.models[name]]
        grown = rounds | {name: number for name, number in training.rounds.items() if name in kept}
        served = replace(training, ensemble=ensemble, rounds=grown)
        if places.model_dir is not None:
            save_bundle(places.model_dir, recipe, served, rows, rows_hash, places.code)
        found = {"rows_served": rows.rows} | ({"rounds_served": grown} if grown else {})
        return {**document, **found} | ({"served_from_folds": kept} if kept else {})

    budget = None
    if seconds is not None:
        budget = final_budget(recipe, training, table, rows, seconds)
        budget.saving = document["saving_seconds"]
        budget.keep = lambda models: _write_metrics(places, saved(with_models(training.ensemble, models)))
    return saved(fit_again(recipe, rows, training.ensemble, places.threads, rounds, budget))


def _write_metrics(places: Places, document: Mapping[str, Any]) -> None:
    """Write ``metrics.json`` in one step, since this process may be killed when its time is up."""
    path = places.output_data_dir / METRICS_FILE
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document))
    partial.replace(path)


def _write_out_of_fold(path: Path, training: Training, table: Table) -> None:
    found: dict[str, Any] = {"weights": training.weights, "labels": training.labels}
    if len(training.by_repeat) > 1:
        found |= {"by_repeat": training.by_repeat, "blended_by_repeat": training.blended_by_repeat}
        found["labels_by_repeat"] = training.labels_by_repeat
    np.savez(
        path,
        allow_pickle=False,
        fold=training.fold_of_row,
        target=table.target,
        **{name: array for name, array in found.items() if array is not None},
        blended=training.out_of_fold_blended,
        members=training.out_of_fold,
        names=np.array(list(training.ensemble.models)),
    )


def _check_scored(recipe: Recipe, validation: Table | None) -> None:
    if validation is None and recipe.objective.startswith("validation"):
        raise InputError(
            f"objective {recipe.objective!r} needs a validation channel: give --validation FOLDER "
            "or set SM_CHANNEL_VALIDATION."
        )


def _results(training: Training) -> dict[str, Any]:
    """Return what ``metrics.json`` has of a finished training."""
    found: dict[str, Any] = {
        "metrics": finite(training.metrics),
        "standings": training.standings,
        "weights": training.ensemble.weights,
        "rounds": training.rounds,
        "fit_seconds": training.fit_seconds,
        "predict_seconds": training.predict_seconds,
        "blend_seconds": training.blend_seconds,
        "fold_weights": list(training.fold_weights),
    }
    if training.ensemble.decision is not None:
        found |= {"decision": asdict(training.ensemble.decision), "temperature": training.ensemble.blend.temperature}
    return found | ({"notes": list(training.notes)} if training.notes else {})


def _served_rows(table: Table, places: Places, final_rows: FinalRows) -> Table:
    further = (_like_train(places, place)[0] for place in _further(places, final_rows))
    return joined([table, *(found for found in further if found is not None)])


def _further(places: Places, final_rows: FinalRows) -> list[Path]:
    """Return the channels besides train that the models of the bundle are fitted on.

    Raises:
        InputError: The last channel that ``final_rows`` asks for is absent. With ``all``, that for validation may be.
    """
    if places.model_dir is None:
        return []
    names = ("validation", "test")[: get_args(FinalRows).index(final_rows)]
    folders = {"validation": places.validation, "test": places.test}
    if names and folders[names[-1]] is None:
        raise InputError(f"final_rows is {final_rows!r}, which needs the {names[-1]} channel.")
    return [folder for name in names if (folder := folders[name]) is not None]


def _read_arguments(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[argparse.Namespace, dict[str, str]]:
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train one ensemble. Hyperparameters follow as --name value (--xgboost__max_depth 4); where "
        "SageMaker has written hyperparameters.json, that file is read instead.",
        allow_abbrev=False,
    )
    parser.add_argument("--train", metavar="FOLDER", help="train channel (default: $SM_CHANNEL_TRAIN)")
    parser.add_argument("--validation", metavar="FOLDER", help="validation channel (default: $SM_CHANNEL_VALIDATION)")
    parser.add_argument("--target", metavar="COLUMN", help="target column, for channels of CSV or Parquet files")
    parser.add_argument("--model-dir", metavar="FOLDER", help="where the bundle goes (default: $SM_MODEL_DIR)")
    parser.add_argument("--output-data-dir", metavar="FOLDER", help="metrics go here (default: $SM_OUTPUT_DATA_DIR)")
    options, rest = parser.parse_known_args(_joined(argv))
    file = Path(environ.get("SM_INPUT_CONFIG_DIR", "/opt/ml/input/config")) / "hyperparameters.json"
    if file.exists():
        try:
            return options, {name: str(value) for name, value in read_json(file).items()}
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(
                f"{file} is not a JSON object of hyperparameters ({error}): write it again, or remove it and give "
                "hyperparameters as --name value."
            ) from None
    hyperparameters = {}
    for argument in rest:
        name, joined, value = argument.partition("=")
        if not name.startswith("--"):
            raise InputError(f"argument {argument!r} is not understood: write hyperparameters as --name value.")
        if not joined:
            raise InputError(f"argument {argument!r} has no value: write hyperparameters as --name value.")
        hyperparameters[name[2:]] = value
    return options, hyperparameters


def _joined(argv: Sequence[str]) -> list[str]:
    """Join names with the values that follow them, which may begin with a hyphen, as a column's name may."""
    joined = []
    arguments = iter(argv)
    for argument in arguments:
        value = next(arguments, None) if argument.startswith("--") and "=" not in argument else None
        joined.append(argument if value is None else f"{argument}={value}")
    return joined


def _places(options: argparse.Namespace, roles: Roles | None, environ: Mapping[str, str]) -> Places:
    def folder(given: str | None, variable: str) -> Path | None:
        text = given or environ.get(variable)
        return Path(text) if text else None

    train_channel = folder(options.train, "SM_CHANNEL_TRAIN")
    if train_channel is None:
        raise InputError("there is no train channel: give --train FOLDER or set SM_CHANNEL_TRAIN.")
    return Places(
        train=train_channel,
        validation=folder(options.validation, "SM_CHANNEL_VALIDATION"),
        test=folder(None, "SM_CHANNEL_TEST"),
        roles=roles,
        model_dir=folder(options.model_dir, "SM_MODEL_DIR"),
        output_data_dir=folder(options.output_data_dir, "SM_OUTPUT_DATA_DIR") or Path("output"),
        threads=_threads(environ),
        code=tuple(Path(text) for text in environ.get(CODE_VARIABLE, "").split(os.pathsep) if text),
        fits=folder(None, FITS_VARIABLE),
    )


def _threads(environ: Mapping[str, str]) -> int:
    # SageMaker's toolkit counts the machine's cores. OMP_NUM_THREADS limits this job where several share a machine.
    found = int(environ.get("SM_NUM_CPUS") or os.cpu_count() or 1)
    most = environ.get("OMP_NUM_THREADS", "")
    return min(found, int(most)) if most.isdecimal() and int(most) > 0 else found


def _like_train(places: Places, folder: Path | None) -> tuple[Table, str] | tuple[None, None]:
    """Return the table of a channel that has the train channel's columns, and its hash; None if there is no channel."""
    if folder is None:
        return None, None
    table, content_hash = _cached_channel(folder, places.roles, places.train)
    train = _cached_channel(places.train, places.roles, None)[0]
    if table.columns != train.columns:
        raise InputError(f"{folder} does not have the columns of {places.train}: give both the same header.")
    if (table.classes, table.positive) != (train.classes, train.positive):
        raise InputError(
            f"{folder} has the classes {_shown(table)}, and {places.train} has {_shown(train)}: write both channels "
            "from one table."
        )
    return table, content_hash


def _shown(table: Table) -> str:
    positive = "" if table.positive is None else f" with {table.positive!r} as the positive one"
    return (named_labels(table.classes) or "none") + positive


@functools.lru_cache(maxsize=4)
def _cached_channel(folder: Path, roles: Roles | None, like: Path | None) -> tuple[Table, str]:
    # A resident worker runs many trials on one channel, and the files of a channel never change.
    table = read_channel(folder, roles, None if like is None else _cached_channel(like, roles, None)[0])
    return table, table.content_hash()
