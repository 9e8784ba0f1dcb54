"""Studies on disk as if they had run, made in milliseconds: real ledgers, logs, channels and predictions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.evaluation import SCORES
from ensemble.parameters import encode
from ensemble.processor import this_processor
from ensemble.recipe import BLENDED, MemberSpec, Recipe
from ensemble.table import Column, Table, numbers
from ensemble.wire import decode_recipe, encode_recipe, metric_line
from experiments.comparison.recorded_study import RecordedStudy, read_study
from experiments.data.channels import channels_of, place_channels
from experiments.data.datasets import Splits
from experiments.data.presplit import SPLITS
from experiments.study.coverage import COVERAGE, Coverage
from experiments.study.explained_rows import ExplainedRows
from experiments.study.folder import (
    explained_rows_file,
    final_folder,
    log_path,
    output_data_dir,
    test_predictions,
    trial_folder,
)
from experiments.study.ledger import Ledger
from experiments.study.predictions import Predictions
from experiments.study.search_space import Choices, Interval, Range, SearchSpace
from experiments.study.serving_cost import ServingCost
from experiments.study.spec import SearchSpec, StudySpec, TrialResult, best_of

MEMBERS = ("xgboost", "ridge")
VERSIONS = {"python": "3.11.2", "xgboost": "3.2.0", "numpy": "2.4.6"}
POINTS = tuple({"xgboost__eta": eta, "ridge__alpha": alpha} for eta, alpha in ((0.1, 1.0), (0.3, 2.0), (0.05, 4.0)))
FOLDS = 3
CLASSES = ("no", "yes")


def table(rows: int, seed: int = 0) -> Table:
    """Return rows with two features."""
    random = np.random.RandomState(seed)
    features = random.normal(size=(rows, 2))
    return Table(numbers("width", "height"), "price", features, features.sum(axis=1) + random.normal(size=rows))


def splits(train: Table | None = None, digest: str = "a" * 64) -> Splits:
    """Return tables that are split already."""
    return Splits(train or table(12), table(5, 1), table(7, 2), dict.fromkeys(SPLITS, digest))


def scored(
    index: int, params: Mapping[str, Any], *, shift: float = 0.0, members: Sequence[str] = MEMBERS
) -> TrialResult:
    """Return a complete trial whose numbers depend only on its parameters and ``shift``."""
    base = 10.0 + abs(np.log(params["xgboost__eta"]) + 2) + params.get("ridge__alpha", 0.0) / 10 + shift
    metrics: dict[str, float] = {}
    for place, name in enumerate((BLENDED, *members)):
        value = base + 0.4 * place
        metrics |= {f"{split}_rmse_{name}": value + 0.1 * number for number, split in enumerate(("cv", "validation"))}
        metrics |= {f"{split}_r2_{name}": 0.5 for split in ("cv", "validation")}
        metrics |= {f"cv_rmse_{name}_fold_{fold}": value + fold - 1 + 0.1 * place * fold for fold in range(FOLDS)}
    started = 1000.0 + 10 * index
    return TrialResult(index, "complete", dict(params), started, started + 8, metrics)


def scored_classes(index: int, params: Mapping[str, Any], *, members: Sequence[str] = MEMBERS) -> TrialResult:
    """Return the trial that ``scored`` returns, with a log loss in place of the RMSE, an AUC and an accuracy."""
    quantity = scored(index, params, members=members)
    metrics: dict[str, float] = {}
    for name, value in quantity.metrics.items():
        if "_rmse_" in name:
            metrics[name.replace("_rmse_", "_logloss_")] = value / 20
            metrics[name.replace("_rmse_", "_auc_")] = 1 - value / 100
            metrics |= {} if "_fold_" in name else {name.replace("_rmse_", "_accuracy_"): 1 - value / 50}
    return dataclasses.replace(quantity, metrics=metrics, info={"classes": list(CLASSES), "positive": CLASSES[1]})


def failed(index: int, params: Mapping[str, Any], reason: str = "no luck") -> TrialResult:
    """Return a trial that failed."""
    return TrialResult(index, "failed", dict(params), 1000.0 + 10 * index, 1004.0 + 10 * index, failure=reason)


def add_study(
    folder: Path,
    name: str,
    results: Iterable[TrialResult],
    *,
    mode: str = "local",
    given: bool = False,
    data: Splits | None = None,
    seed: int = 0,
    folds: int = FOLDS,
    objective: str = "cv_rmse_blended",
    blend: str = "mean",
    members: Sequence[str] = MEMBERS,
    code: Mapping[str, str] | None = None,
    info: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    final: bool = True,
    baseline: TrialResult | None = None,
    cost: ServingCost | None = None,
    logs: bool = True,
) -> RecordedStudy:
    """Write a study below ``folder/studies``, and return it as it is read.

    Args:
        folder: The project's folder.
        name: The study's name.
        results: Its trials.
        mode: Where it ran.
        given: Whether its points were given rather than searched.
        data: Its data.
        seed: Its seed.
        folds: Its number of folds.
        objective: What it optimised.
        blend: How it blended.
        members: The ensemble's members.
        code: Hashes of the user's own packages.
        info: Entries of each trial's ``metrics.json`` that differ from the usual ones.
        drop: Entries that ``metrics.json`` lacks, as in an earlier version.
        final: Whether its winner was trained, with its files.
        baseline: Scores of plain CatBoost and of the mean.
        cost: What its model costs.
        logs: Whether trials have logs.
    """
    results = list(results)
    studies = folder / "studies"
    data = splits() if data is None else data
    place_channels(data, _made(studies))
    recipe = Recipe(
        tuple(MemberSpec(member, member) for member in members), blend=blend, seed=seed, objective=objective
    )
    recipe = dataclasses.replace(recipe, folds=dataclasses.replace(recipe.folds, k=folds))
    spec = StudySpec(
        name=name,
        mode=mode,
        action="replay" if given else "tune",
        folder=studies / name,
        channels=channels_of(data, studies),
        static=encode_recipe(recipe),
        space=_space(results),
        search=SearchSpec("tpe", seed, len(results), 4, 10),
        objective=objective,
        parallel=1,
        threads=1,
        max_failure_rate=1.0,
        points=tuple(result.params for result in results) if given else None,
        code=code or {},
        dataset="toy",
    )
    with Ledger.open(spec) as ledger:
        ledger.record_asked({result.index: result.params for result in results})
        for result in results:
            ledger.record(_with_record(spec, result, info or {}, drop, logs=logs))
        best = best_of(ledger.results(), objective)
        if cost is not None:
            ledger.note("serving_cost", dataclasses.asdict(cost))
        if baseline is not None:
            ledger.note("baseline", dataclasses.asdict(baseline))
        if final and best is not None:
            _write_final(spec, ledger, best, tuple(members))
    return read_study(spec.folder)


def edit_facts(study: RecordedStudy, **facts: Any) -> None:
    """Change facts in a ledger, as another version might have recorded them; None removes one."""
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(study.folder / "ledger.sqlite")) as connection, connection:
        for key, value in facts.items():
            connection.execute("DELETE FROM study WHERE key = ?", (key,))
            if value is not None:
                connection.execute("INSERT INTO study VALUES (?, ?)", (key, json.dumps(value)))


def _space(results: Sequence[TrialResult]) -> SearchSpace:
    """Return ranges that include the points of these trials."""
    values: dict[str, list[Any]] = {}
    for result in results:
        for name, value in result.params.items():
            values.setdefault(name, []).append(value)
    return SearchSpace({name: _range(found) for name, found in values.items()})


def _range(values: Sequence[Any]) -> Range:
    if any(isinstance(value, str) for value in values):
        return Choices(tuple(dict.fromkeys(values)))
    whole = all(isinstance(value, int) for value in values)
    return Interval(min(values), max(values) + 1, log=min(values) > 0 and not whole, whole=whole)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _with_record(
    spec: StudySpec, result: TrialResult, info: Mapping[str, Any], drop: Sequence[str], *, logs: bool
) -> TrialResult:
    if result.state == "failed":
        return result
    recipe = decode_recipe({**spec.static, **{name: encode(value) for name, value in result.params.items()}})
    record = {
        "recipe": json.loads(json.dumps(recipe.as_dict())),
        "recipe_hash": recipe.fingerprint(),
        "train_hash": spec.channels.data_hash,
        "rows": 12,
        "validation_rows": 5,
        "columns": {"number": 2},
        "dtypes": {"features": "float64", "target": "float64"},
        "threads": 1,
        "versions": VERSIONS,
        "processor": this_processor(),
        **result.info,
        **info,
    }
    folder = trial_folder(spec.folder, result.index)
    folder.mkdir(parents=True)
    if logs:
        log_path(folder).write_text(metric_line(spec.objective, result.metrics[spec.objective]) + "\n")
    return dataclasses.replace(result, info={name: value for name, value in record.items() if name not in drop})


def _predictions(random: np.random.RandomState, rows: int, names: tuple[str, ...], classes: int) -> Predictions:
    if not classes:
        target = random.normal(size=rows)
        members = target[:, None] + random.normal(size=(rows, len(names)))
        return Predictions(target, members, members.mean(axis=1), None, names)
    target = np.arange(rows, dtype=np.float64) % classes
    members = random.dirichlet(np.ones(classes), size=(rows, len(names)))
    members[np.arange(rows), :, target.astype(int)] += 0.5
    members /= members.sum(axis=2, keepdims=True)
    blended = members.mean(axis=1)
    return Predictions(target, members, blended, None, names, blended.argmax(axis=1))


def _write_final(spec: StudySpec, ledger: Ledger, best: TrialResult, names: tuple[str, ...]) -> None:
    random = np.random.RandomState(best.index)
    output = output_data_dir(final_folder(spec.folder))
    output.mkdir(parents=True)
    for path, rows in ((output / "out_of_fold.npz", 12), (test_predictions(spec.folder), 7)):
        kept = _predictions(random, rows, names, len(best.classes))
        kept.write(path)
    main = SCORES[best.main_score]
    scores = {
        f"test_{main.name}_{name}": main(kept.target, kept.blended) + place
        for place, name in enumerate((*names, BLENDED))
    }
    _explained(random, "yes" if best.classes else "").write(explained_rows_file(spec.folder))
    info = {**best.info, COVERAGE: dataclasses.asdict(Coverage(0.9, 6 / 7, 0.42, 0.99, 7.0, 2.5))}
    ledger.note("final", dataclasses.asdict(dataclasses.replace(best, metrics={**best.metrics, **scores}, info=info)))


def _explained(random: np.random.RandomState, positive: str) -> ExplainedRows:
    """Return seven rows of columns of every type, one of them with a gap in each."""
    columns = (
        Column("width"),
        Column("town", "category", ("a<b", "c")),
        Column("garden", "boolean"),
        Column("at", "date"),
    )
    values = np.column_stack([random.normal(size=7), *random.randint(0, 2, (2, 7)), random.randint(0, 9_000, 7)])
    values[3] = np.nan
    return ExplainedRows(columns, values, random.normal(size=(7, 4)) * [4, 3, 2, 1], positive)
