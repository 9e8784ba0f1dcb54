"""The entry script as a training job: its environment, files, metric lines and exit codes (``cli``, ``processor``)."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ensemble.bundle import load_bundle
from ensemble.channel import write_channel
from ensemble.cli import SCORED_FOLDER, main
from ensemble.reading import Roles, read_folder
from ensemble.table import Table, joined, numbers
from ensemble.training import fit_ensemble, seeds_of
from ensemble.wire import decode_recipe, encode_roles, metric_regex
from tests.entry.conftest import OWN_MEMBER, make_table

TRAIN_SCRIPT = Path(__file__).resolve().parents[2] / "entry" / "train.py"
TRAIN = make_table(45, missing=0.1)
VALIDATION = make_table(20, seed=1, missing=0.1)
TEST = make_table(15, seed=2, missing=0.1)

QUICK = {"members": "xgboost,flat:ridge", "xgboost__num_round": "3", "folds_k": "3", "seed": "4"}
# What the SageMaker toolkit adds for itself, and a tuning job for itself.
ADDED = {
    "sagemaker_program": "train.py",
    "sagemaker_submit_directory": "/opt/ml/input/data/code",
    "_tuning_objective_metric": "cv_rmse_blended",
}


def write_csv(table: Table, folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / "part.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.names, table.target_name])
        for row, value in zip(table.features.tolist(), table.target.tolist(), strict=True):
            writer.writerow(["" if cell != cell else repr(cell) for cell in row] + [repr(value)])  # noqa: PLR0124


@dataclass(frozen=True)
class Job:
    """A training job's folders, laid out as SageMaker does, and its environment."""

    root: Path
    environ: dict[str, str]

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def data(self) -> Path:
        return self.root / "output" / "data"

    @property
    def failure(self) -> str | None:
        path = self.root / "output" / "failure"
        return path.read_text() if path.exists() else None

    def give(self, hyperparameters: dict[str, Any]) -> None:
        (self.root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(hyperparameters))

    def metrics(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "metrics.json").read_text())
        return found

    def script(self, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *options, str(TRAIN_SCRIPT)],
            env={"PATH": os.environ["PATH"]} | self.environ | environ,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )


def make_job(root: Path, write: Callable[[Table, Path], None]) -> Job:
    channels = root / "input" / "data"
    write(TRAIN, channels / "train")
    write(VALIDATION, channels / "validation")
    (root / "input" / "config").mkdir()
    (root / "output" / "data").mkdir(parents=True)
    environ = {
        "SM_INPUT_CONFIG_DIR": str(root / "input" / "config"),
        "SM_CHANNEL_TRAIN": str(channels / "train"),
        "SM_CHANNEL_VALIDATION": str(channels / "validation"),
        "SM_MODEL_DIR": str(root / "model"),
        "SM_OUTPUT_DIR": str(root / "output"),
        "SM_OUTPUT_DATA_DIR": str(root / "output" / "data"),
        "SM_NUM_CPUS": "2",
    }
    return Job(root, environ)


def write_arrays(table: Table, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_channel(table, folder)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path / "ml", write_arrays)


@pytest.fixture
def csv_job(tmp_path: Path) -> Job:
    return make_job(tmp_path / "ml", write_csv)


def metric_lines(out: str) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in re.findall(r"^\[metric\] (\S+)=(.+);$", out, re.MULTILINE)]


def test_the_script_trains_as_sagemaker_starts_it(job: Job) -> None:
    job.give(QUICK | ADDED)
    done = job.script("-X", "importtime")
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "ensemble.cli" in imported
    assert [
        name for name in imported if name.partition(".")[0] in {"experiments", "sagemaker", "mlflow", "optuna"}
    ] == []

    document = job.metrics()
    expected = fit_ensemble(decode_recipe(QUICK), TRAIN, VALIDATION, threads=1)
    assert document["metrics"] == expected.metrics
    lines = metric_lines(done.stdout)
    assert dict(lines) == document["metrics"]
    assert len(lines) == len(document["metrics"])
    assert lines[-1][0] == document["objective"] == "cv_rmse_blended"
    for name, value in document["metrics"].items():
        assert re.findall(metric_regex(name), done.stdout) == [repr(value)]

    bundle = load_bundle(job.model)
    assert np.array_equal(bundle.ensemble.predict(VALIDATION.features), expected.ensemble.predict(VALIDATION.features))
    assert job.failure is None
    assert sorted(path.name for path in job.root.iterdir()) == ["input", "model", "output"]


def test_the_script_reports_a_users_mistake_without_a_traceback(job: Job) -> None:
    job.give(QUICK | {"xgboost__max_dept": "3"})
    done = job.script()
    assert done.returncode == 2
    assert "Did you mean 'max_depth'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert job.failure is not None
    assert done.stderr == f"error: {job.failure}\n"


def test_the_script_finds_the_users_own_member_on_its_path(csv_job: Job) -> None:
    package = csv_job.root / "mine" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "members.py").write_text(OWN_MEMBER)
    csv_job.give({"members": "base:shop.members:Constant", "base__shift": "0.5", "folds_k": "2", "target": "y"})
    done = csv_job.script(PYTHONPATH=str(package.parent))
    assert done.returncode == 0, done.stderr
    assert csv_job.metrics()["metrics"]["cv_mae_base"] > 0
    manifest = json.loads((csv_job.model / "manifest.json").read_text())
    assert manifest["members"][0]["kind"] == "shop.members:Constant"


def test_csv_channels_train_what_array_channels_do(job: Job, tmp_path: Path) -> None:
    texts = make_job(tmp_path / "csv", write_csv)
    job.give(QUICK)
    texts.give(QUICK | {"target": "y"})
    assert main([], job.environ) == main([], texts.environ) == 0
    one, other = job.metrics(), texts.metrics()
    assert one["metrics"] == other["metrics"]
    assert one["train_hash"] == other["train_hash"] == TRAIN.content_hash()
    assert one["recipe_hash"] == other["recipe_hash"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_files_in_parts_train_what_their_table_does(ending: str, tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "id": [f"row {row}" for row in range(60)],
            "town": random.choice(["Oslo", "Bern", "Rome, Italy"], 60),
            "size": np.where(random.rand(60) < 0.1, np.nan, random.rand(60)),
            "who": random.choice(list("abcdef"), 60),
            "w": random.randint(1, 4, 60),
            "year": random.randint(2020, 2023, 60),
            "y": random.rand(60),
        }
    )
    frame.loc[55, "town"] = "Nowhere"  # which only the validation rows know
    roles = Roles("y", "w", "who", drop=("id",), types=(("year", "category"),), missing=("", "Rome, Italy"))
    frames = {"train": frame[:40], "validation": frame[40:]}
    arrays, files = tmp_path / "arrays", tmp_path / "files"

    def write(folder: Path, rows: pd.DataFrame) -> None:
        folder.mkdir(parents=True)
        for number, part in enumerate((rows[:5], rows[5:])):
            path = folder / f"part-{number}.{ending}"
            part.to_csv(path, index=False) if ending == "csv" else part.to_parquet(path, index=False)

    jobs = [make_job(root, lambda _, folder: write(folder, frames[folder.name])) for root in (arrays, files)]
    train = read_folder(arrays / "input/data/train", roles)
    assert [column.levels for column in train.columns] == [("Bern", "Oslo"), (), ("2020", "2021", "2022")]
    validation = read_folder(arrays / "input/data/validation", roles, train)
    for name, table in (("train", train), ("validation", validation)):
        shutil.rmtree(arrays / "input/data" / name)
        write_arrays(table, arrays / "input/data" / name)
    for job, more in zip(jobs, ({}, encode_roles(roles)), strict=True):
        job.give(QUICK | {"folds_kind": "group"} | more)
        assert main([], job.environ) == 0, job.failure
    one, other = (job.metrics() for job in jobs)
    assert one["metrics"] == other["metrics"]
    assert (other["train_hash"], other["validation_hash"]) == (train.content_hash(), validation.content_hash())
    assert (one["train_hash"], one["validation_hash"]) == (other["train_hash"], other["validation_hash"])


def test_metrics_json_describes_the_training(job: Job) -> None:
    job.give(QUICK | {"blend": "weighted", "objective": "validation_mae_flat"})
    assert main([], job.environ) == 0
    found = job.metrics()
    recipe = decode_recipe(QUICK | {"blend": "weighted", "objective": "validation_mae_flat"})
    assert found["version"] == 1
    assert found["objective"] == "validation_mae_flat"
    assert list(found["weights"]) == ["xgboost", "flat"]
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert found["recipe"] == json.loads(json.dumps(recipe.as_dict()))
    assert found["recipe_hash"] == recipe.fingerprint()
    assert found["train_hash"] == TRAIN.content_hash()
    assert (found["rows"], found["validation_rows"], found["threads"]) == (45, VALIDATION.rows, 2)
    assert found["columns"] == {"number": len(TRAIN.columns)}
    assert found["dtypes"] == {"features": "float64", "target": "float64"}
    assert found["processor"]["machine"] == platform.machine()
    assert found["processor"]["features"]
    assert all(kernel == kernel.strip() != "" for kernel in found["processor"]["blas"])
    assert set(found["fit_seconds"]) == {"xgboost", "flat"}
    assert found["versions"]["xgboost"]


def test_out_of_fold_predictions_are_written_without_pickle(job: Job) -> None:
    job.give(QUICK | {"blend": "weighted"})
    assert main([], job.environ) == 0
    expected = fit_ensemble(decode_recipe(QUICK | {"blend": "weighted"}), TRAIN, None, threads=1)
    with np.load(job.data / "out_of_fold.npz", allow_pickle=False) as found:
        assert sorted(found) == ["blended", "fold", "members", "names", "target"]
        assert found["names"].tolist() == ["xgboost", "flat"]
        assert np.array_equal(found["target"], TRAIN.target)
        assert np.array_equal(found["fold"], expected.fold_of_row)
        assert np.array_equal(found["members"], expected.out_of_fold)
        assert np.array_equal(found["blended"], expected.out_of_fold_blended)


def test_members_with_known_fits_are_not_fitted_again(job: Job, tmp_path: Path) -> None:
    recipe = QUICK | {"blend": "weighted", "folds_kind": "repeated", "folds_repeats": "2", "folds_k": "2"}
    environ = {name: text for name, text in job.environ.items() if name != "SM_MODEL_DIR"}

    def trained(environ: dict[str, str], **changed: str) -> tuple[dict[str, Any], dict[str, Any]]:
        job.give(recipe | changed)
        assert main([], environ) == 0
        with np.load(job.data / "out_of_fold.npz") as arrays:
            return job.metrics(), {name: arrays[name].tolist() for name in arrays}

    keeping = environ | {"BYOE_FITS": str(tmp_path / "fits")}
    first = trained(keeping)
    assert len(list((tmp_path / "fits").iterdir())) == 2
    assert min(first[0]["fit_seconds"].values()) > 0
    again = trained(keeping)
    assert again[0]["fit_seconds"] == {"xgboost": 0, "flat": 0}
    assert again[0]["metrics"] == first[0]["metrics"]
    assert again[1] == first[1]

    changed, plain = trained(keeping, flat__alpha="5"), trained(environ, flat__alpha="5")
    assert changed[0]["fit_seconds"]["xgboost"] == 0
    assert changed[0]["fit_seconds"]["flat"] > 0
    assert changed[0]["metrics"] == plain[0]["metrics"] != first[0]["metrics"]
    assert changed[0]["weights"] == plain[0]["weights"]
    assert changed[1] == plain[1]

    assert min(trained(keeping, seed="3")[0]["fit_seconds"].values()) > 0
    for file in (tmp_path / "fits").iterdir():
        file.write_bytes(b"damaged")
    assert trained(keeping)[0]["metrics"] == first[0]["metrics"]
    job.give(recipe)
    assert main([], job.environ | {"BYOE_FITS": str(tmp_path / "fits")}) == 0  # with a bundle, which needs the models
    assert min(job.metrics()["fit_seconds"].values()) > 0
    assert load_bundle(job.model).members == ["xgboost", "flat"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--members", "xgboost,flat:ridge", "--xgboost__num_round", "3", "--folds_k", "3", "--flat__alpha", "1e-3"],
        ["--members=xgboost,flat:ridge", "--xgboost__num_round=3", "--folds_k=3", "--flat__alpha=1e-3"],
        ["--members", "xgboost,flat:ridge", "--xgboost__num_round=3", "--folds_k", "3", "--flat__alpha=1e-3"],
    ],
    ids=["two words", "one word", "both"],
)
def test_hyperparameters_are_read_from_the_command_line(argv: list[str], job: Job) -> None:
    assert main(argv, job.environ) == 0
    expected = {"members": "xgboost,flat:ridge", "xgboost__num_round": "3", "folds_k": "3", "flat__alpha": "0.001"}
    assert job.metrics()["recipe_hash"] == decode_recipe(expected).fingerprint()


def test_a_value_with_an_equals_sign_stays_whole(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--catboost__loss_function=Quantile:alpha=0.9", "--seed=x"], job.environ) == 2
    assert "hyperparameter 'seed'" in capsys.readouterr().err


def test_the_hyperparameters_file_wins_over_the_command_line(job: Job) -> None:
    job.give(QUICK | {"seed": "7"})
    assert main(["--seed", "8", "--nonsense", "1"], job.environ) == 0
    assert job.metrics()["recipe"]["seed"] == 7


def test_options_win_over_the_environment(csv_job: Job, tmp_path: Path) -> None:
    write_arrays(VALIDATION, tmp_path / "other")
    words = ["--train", str(tmp_path / "other"), "--validation", str(tmp_path / "other")]
    words += ["--model-dir", str(tmp_path / "bundle"), "--output-data-dir", str(tmp_path / "numbers")]
    assert main([*words, "--members", "ridge"], csv_job.environ) == 0
    found = json.loads((tmp_path / "numbers" / "metrics.json").read_text())
    assert found["train_hash"] == VALIDATION.content_hash()
    assert load_bundle(tmp_path / "bundle").members == ["ridge"]
    assert not csv_job.model.exists()


@pytest.mark.parametrize("words", [["--target", "y"], ["--target=y"]])
def test_the_target_of_csv_channels_may_be_an_option(words: list[str], csv_job: Job) -> None:
    assert main([*words, "--members", "ridge"], csv_job.environ) == 0
    assert csv_job.metrics()["train_hash"] == TRAIN.content_hash()


def test_a_column_may_begin_with_a_hyphen_as_the_toolkit_hands_it_over(csv_job: Job) -> None:
    (part,) = Path(csv_job.environ["SM_CHANNEL_TRAIN"]).glob("*.csv")
    header, _, rest = part.read_text().partition("\n")
    part.write_text(header.replace(",y", ",-y") + "\n" + rest)
    del csv_job.environ["SM_CHANNEL_VALIDATION"]
    assert main(["--members", "ridge", "--folds_k", "2", "--target", "-y"], csv_job.environ) == 0
    assert csv_job.metrics()["rows"] == TRAIN.rows


def test_a_training_that_lost_its_race_leaves_what_it_found_and_prints_no_objective(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.give(QUICK | {"rival": '{"value": 0.1, "standings": [[], [0.1, 0.1]]}'})
    assert main([], job.environ) == 0
    found = job.metrics()
    assert found["pruned"]["folds"] == 2
    assert found["pruned"]["expected"] > 1
    assert set(found["metrics"]) == {f"cv_rmse_{name}_fold_{fold}" for name in ("xgboost", "flat") for fold in (0, 1)}
    assert found["recipe_hash"] == decode_recipe(QUICK).fingerprint()
    assert capsys.readouterr().out == ""
    assert not job.model.exists() or not any(job.model.iterdir())
    assert not (job.data / "out_of_fold.npz").exists()


def test_rounds_that_are_found_are_recorded_and_served(job: Job) -> None:
    job.give({"members": "xgboost", "xgboost__eta": "0.5", "folds_k": "3", "final_rows": "train_and_validation"})
    assert main([], job.environ) == 0
    written = job.metrics()
    assert written["rounds"].keys() == {"xgboost"}
    for folder, rounds in ((job.data / SCORED_FOLDER, written["rounds"]), (job.model, written["rounds_served"])):
        bundle = load_bundle(folder)
        assert bundle.manifest["rounds"] == rounds
        models: list[Any] = bundle.ensemble.models["xgboost"]
        assert [model._booster.num_boosted_rounds() for model in models] == [rounds["xgboost"]] * 3
    more = math.sqrt(written["rows_served"] / (written["rows"] * 2 / 3))
    assert written["rounds_served"]["xgboost"] == pytest.approx(written["rounds"]["xgboost"] * more, abs=1)
    assert more > 1.2


@pytest.mark.parametrize(
    ("final", "rows", "tables"),
    [
        ("bag", "all", (TRAIN, VALIDATION, TEST)),
        ("bag", "all", (TRAIN, TEST)),
        ("refit", "train_and_validation", (TRAIN, VALIDATION)),
    ],
)
def test_served_models_learn_from_further_rows_after_the_scores_and_the_blend_are_known(
    final: str, rows: str, tables: tuple[Table, ...], job: Job, tmp_path: Path
) -> None:
    hyperparameters = QUICK | {"final": final, "blend": "weighted", "xgboost__subsample": "0.7"}
    job.give(hyperparameters)
    absent = {} if any(table is VALIDATION for table in tables) else {"SM_CHANNEL_VALIDATION": ""}
    assert main([], job.environ | absent) == 0
    before, scored = job.metrics(), load_bundle(job.model).ensemble
    further = make_job(tmp_path / "further", write_arrays)
    write_arrays(TEST, tmp_path / "test")
    further.give(hyperparameters | {"final_rows": rows})
    assert main([], further.environ | {"SM_CHANNEL_TEST": str(tmp_path / "test")} | absent) == 0

    served = load_bundle(further.model)
    recipe = decode_recipe(hyperparameters)
    on_all_rows = [
        fit_ensemble(dataclasses.replace(recipe, final="refit", seed=seed), joined(tables), None, threads=2).ensemble
        for seed in seeds_of(recipe)
    ]
    assert len(on_all_rows) == (3 if final == "bag" else 1)
    models = served.ensemble.models
    assert len(models["flat"]) == 1  # ridge does not depend on the seed
    for model, ensemble in zip(models["xgboost"], on_all_rows, strict=True):
        assert np.array_equal(model.predict(TEST.features), ensemble.models["xgboost"][0].predict(TEST.features))
    assert np.array_equal(
        models["flat"][0].predict(TEST.features), on_all_rows[0].models["flat"][0].predict(TEST.features)
    )
    expected = served.ensemble.predict_members(TEST.features)
    assert served.ensemble.weights == scored.weights
    assert np.array_equal(served.ensemble.predict(TEST.features), scored.blend.predict(expected, TEST.features))
    assert served.manifest["rows"] == further.metrics()["rows_served"] == sum(table.rows for table in tables)
    assert served.manifest["metrics"] == further.metrics()["metrics"] == before["metrics"]
    kept = load_bundle(further.data / SCORED_FOLDER).ensemble
    assert np.array_equal(kept.predict(TEST.features), scored.predict(TEST.features))


@pytest.mark.parametrize(("most", "threads"), [("1", 1), ("9", 2), ("", 2), ("2,1", 2), ("0", 2)])
def test_a_job_that_shares_its_machine_uses_its_part_of_it(most: str, threads: int, job: Job) -> None:
    job.give(QUICK)
    assert main([], {**job.environ, "OMP_NUM_THREADS": most}) == 0
    assert job.metrics()["threads"] == threads


def test_without_a_model_folder_no_model_is_written(job: Job) -> None:
    job.give(QUICK)
    environ = {name: value for name, value in job.environ.items() if name != "SM_MODEL_DIR"}
    assert main([], environ) == 0
    assert sorted(path.name for path in job.root.rglob("*") if path.suffix in {".ubj", ".skops"}) == []
    assert job.metrics()["metrics"]


def test_without_a_validation_channel_only_cross_validation_is_scored(job: Job) -> None:
    job.give(QUICK)
    environ = {name: value for name, value in job.environ.items() if name != "SM_CHANNEL_VALIDATION"}
    assert main([], environ) == 0
    assert {name.partition("_")[0] for name in job.metrics()["metrics"]} == {"cv"}


@pytest.mark.parametrize("objective", ["cv_rmse_blended", "cv_r2_flat", "validation_rmse_xgboost"])
def test_the_objective_is_printed_once_and_last(objective: str, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.give(QUICK | {"objective": objective})
    assert main([], job.environ) == 0
    names = [name for name, _ in metric_lines(capsys.readouterr().out)]
    assert names[-1] == objective
    assert names.count(objective) == 1


MISTAKES: dict[str, tuple[dict[str, str], dict[str, str], list[str]]] = {
    "hyperparameter": ({"folds_k": "1"}, {}, ["'folds_k'", "'1'"]),
    "more folds than rows": ({"folds_k": "46"}, {}, ["45 training rows", "46 folds"]),
    "no train channel": ({}, {"SM_CHANNEL_TRAIN": ""}, ["no train channel", "--train"]),
    "no table": ({}, {"SM_CHANNEL_TRAIN": "/nowhere"}, ["/nowhere", "schema.json"]),
    "objective without a channel": (
        {"objective": "validation_rmse_blended"},
        {"SM_CHANNEL_VALIDATION": ""},
        ["'validation_rmse_blended'", "needs a validation channel"],
    ),
    "rows without a channel": (
        {"final_rows": "train_and_validation"},
        {"SM_CHANNEL_VALIDATION": ""},
        ["'train_and_validation'", "needs the validation channel"],
    ),
    "rows without the test channel": ({"final_rows": "all"}, {}, ["'all'", "needs the test channel"]),
    "rows that do not exist": ({"final_rows": "most"}, {}, ["'final_rows'", "'most'", "train_and_validation"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_users_mistake_ends_with_two_and_a_reason(case: str, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    hyperparameters, environ, words = MISTAKES[case]
    job.give(QUICK | hyperparameters)
    assert main([], job.environ | environ) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {job.failure}\n"
    assert [word for word in words if word not in captured.err] == []
    assert not job.model.exists()
    assert list(job.data.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--seed"], ["'--seed'", "has no value", "--name value"]),
        (["seed", "1"], ["'seed'", "--name value"]),
        (["--seed", "1", "2", "3"], ["'2'", "--name value"]),
    ],
)
def test_a_command_line_that_is_not_understood_is_an_error(
    argv: list[str], words: list[str], job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv, job.environ) == 2
    error = capsys.readouterr().err
    assert [word for word in words if word not in error] == []


def test_a_member_that_fails_ends_with_one_and_a_reason(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.give({"members": "ridge,deep:catboost", "deep__bootstrap_type": "Bayesian", "deep__subsample": "0.5"})
    assert main([], job.environ) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" in captured.err
    assert captured.err.endswith(f"error: {job.failure}\n")
    assert job.failure is not None
    assert job.failure.startswith("member 'deep' failed (fit, fold 0): CatBoostError: ")
    assert not job.model.exists()
    assert list(job.data.iterdir()) == []


@pytest.mark.parametrize("objective", ["cv_r2_blended", "validation_r2_ridge"])
def test_an_objective_that_is_not_a_number_fails_the_trial(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = Table(TRAIN.columns, "y", TRAIN.features, np.full(45, 0.1))
    job = make_job(tmp_path / "ml", lambda _, folder: write_arrays(flat, folder))
    job.give({"members": "ridge", "objective": objective})
    assert main([], job.environ) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert job.failure == f"the objective {objective} is nan: this trial has no score."
    assert not (job.data / "metrics.json").exists()


def test_a_score_that_is_not_a_number_is_neither_printed_nor_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = Table(TRAIN.columns, "y", TRAIN.features, np.full(45, 0.1))
    job = make_job(tmp_path / "ml", lambda _, folder: write_arrays(flat, folder))
    job.give({"members": "ridge"})
    assert main([], job.environ) == 0
    metrics = job.metrics()["metrics"]
    assert "cv_rmse_ridge" in metrics
    assert [name for name in metrics if "_r2_" in name] == []
    assert dict(metric_lines(capsys.readouterr().out)) == metrics


def test_a_validation_channel_of_other_columns_is_refused(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = Table(numbers("x1", "x0", "x2"), "y", VALIDATION.features[:, [1, 0, 2]], VALIDATION.target)
    write_channel(swapped, Path(job.environ["SM_CHANNEL_VALIDATION"]))
    job.give(QUICK)
    assert main([], job.environ) == 2
    assert "does not have the columns of" in capsys.readouterr().err


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"], {})
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert [word for word in ("--train", "--target", "--xgboost__max_depth 4") if word not in out] == []
