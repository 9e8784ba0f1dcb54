"""Every group and every recipe composes, and every value has its source."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.column_types import column_key
from experiments.config.compose import compose
from experiments.config.groups import CONFIG_FOLDER, group_files
from experiments.config.schema import LocalModeConfig, RemoteModeConfig
from experiments.errors import ConfigError
from experiments.planning.study import plan_study
from tests.conftest import Ended, run_command

# What a member of a group needs besides itself to make a study.
NEEDS = {
    ("dataset", "file"): ("dataset.path=table.csv", "dataset.target=price"),
    ("search", "blank"): ("action=train",),
}
MEMBERS = [(group, name) for group, names in group_files().items() for name in names if group != "experiment"]
RECIPES = group_files()["experiment"]


@pytest.mark.parametrize(("group", "name"), MEMBERS, ids=["/".join(pair) for pair in MEMBERS])
def test_every_member_of_every_group_plans_a_study(group: str, name: str, folder: Path) -> None:
    (folder / "table.csv").write_text("a,price\n" + "".join(f"{i},{i * 7 % 11}\n" for i in range(50)))
    composed = compose([f"{group}={name}", *NEEDS.get((group, name), ())])
    assert composed.choices[group] == name
    assert plan_study(composed).study.n_trials > 0


@pytest.mark.parametrize(("ensemble", "search"), list(product(group_files()["ensemble"], ["quick", "thorough"])))
def test_every_ensemble_works_with_every_search(ensemble: str, search: str, folder: Path) -> None:
    study = plan_study(compose([f"ensemble={ensemble}", f"search={search}"])).study
    members = {member.name for member in study.recipe({}).members}
    # A Gaussian process finds its parameters itself, by their likelihood, and an additive model its penalty.
    assert {name.partition("__")[0] for name in study.space.ranges} == members - {"gaussian_process", "additive"}


def test_wide_has_at_most_twenty_ranges(folder: Path) -> None:
    study = plan_study(compose(["ensemble=wide"])).study
    assert len(study.recipe({}).members) == 9
    assert len(study.space.ranges) <= 20


def test_member_that_outlasts_all_others_is_left_out_and_named(folder: Path) -> None:
    random = np.random.RandomState(0)
    rows = "".join(f"{a},{b}\n" for a, b in random.normal(size=(30_000, 2)))
    (folder / "table.csv").write_text("a,price\n" + rows)
    arguments = ["dataset=file", "dataset.path=table.csv", "dataset.target=price", "ensemble=wide"]
    plan = plan_study(compose(arguments))
    members = [member.name for member in plan.study.recipe({}).members]
    assert "svr" not in members
    assert len(members) == 8
    assert "svr__C" not in plan.study.space.ranges
    assert plan.notes[0].startswith("member svr is left out: at 14400 rows one fit takes about 25 s")
    kept = plan_study(compose([*arguments, "ensemble.drop_slow=false"]))
    assert "svr" in [member.name for member in kept.study.recipe({}).members]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs(recipe: str, project: Path) -> None:
    quick = ("ensemble.params.catboost.iterations=20", "search.baseline=false", "mlflow.register=true")
    ended = run_command("mode=local", f"experiment={recipe}", *quick)
    assert ended.code == 0, ended.err
    assert "models:/" in ended.out
    assert list(project.glob(f"studies/{recipe.replace('_', '-')}-*/final/model/manifest.json"))


def test_recipe_of_the_blog_is_the_post(folder: Path) -> None:
    composed = compose(["experiment=blog"])
    study = plan_study(composed).study
    assert study.space.describe() == {"eta": "float [0.2, 0.3]", "max_depth": "{3, 4}"}
    assert (study.n_trials, study.parallel, study.search.window) == (4, 2, 2)
    assert study.objective == "validation_rmse_blended"
    xgboost, catboost = study.recipe({"eta": 0.25, "max_depth": 3}).members
    assert dict(xgboost.params) == {"num_round": 6, "eta": 0.25, "max_depth": 3}
    assert dict(catboost.params) == {"iterations": 1000, "learning_rate": 0.25, "depth": 3}
    assert study.recipe({}).blend == "mean"
    serving = composed.config.serving
    assert (serving.name, serving.memory_size_in_mb, serving.max_concurrency) == ("serverless", 6144, 1)


def test_single_job_of_the_blog_has_depth_5(folder: Path) -> None:
    study = plan_study(compose(["experiment=blog_single"])).study
    assert study.points == ({},)
    depths = [member.params.get("max_depth", member.params.get("depth")) for member in study.recipe({}).members]
    assert depths == [5, 5]


def test_every_yaml_key_carries_its_source() -> None:
    shown = compose(["experiment=blog", "search.seed=3"]).with_sources()
    lines = {line.split("#")[0].strip(): line.split("#")[-1].strip() for line in shown.splitlines() if "#" in line}
    assert lines["seed: 3"] == "command line"
    assert lines["n_trials: 4"] == "configs/experiment/blog.yaml"
    assert lines["members: [xgboost, catboost]"] == "configs/ensemble/pair.yaml"
    assert lines["window: 2"] == "configs/experiment/blog.yaml"
    assert lines["k: 5"] == "default (experiments/config/schema.py)"
    assert lines["name: serverless"] == "configs/serving/serverless.yaml"


def test_cfg_prints_yaml_that_is_the_configuration_and_runs_nothing(folder: Path, byoe: Callable[..., Ended]) -> None:
    ended = byoe("mode=local", "search.n_trials=7", "--cfg")
    assert ended.code == 0
    printed = yaml.safe_load(ended.out)
    assert printed["search"]["n_trials"] == 7
    assert printed["mode"]["name"] == "local"
    assert yaml.safe_load(compose(["mode=local", "search.n_trials=7"]).yaml()) == printed
    assert list(folder.iterdir()) == []


def test_typed_range_replaces_the_files_range(folder: Path) -> None:
    study = plan_study(
        compose(["search.space.xgboost.eta={low: 0.1, high: 0.2}", "search.space.catboost.depth={choices: [4, 6]}"])
    ).study
    described = study.space.describe()
    assert described["xgboost__eta"] == "float [0.1, 0.2]"
    assert described["catboost__depth"] == "{4, 6}"


def test_a_range_set_to_null_is_not_searched(folder: Path) -> None:
    arguments = ["ensemble=pair", "search.space.xgboost=null", "search.space.catboost.depth=null"]
    study = plan_study(compose(arguments)).study
    assert set(study.space.ranges) == {"catboost__learning_rate", "catboost__l2_leaf_reg"}


def test_fixed_parameter_wins_over_its_range_with_a_note(folder: Path) -> None:
    plan = plan_study(compose(["ensemble.params.xgboost.max_depth=4"]))
    assert "xgboost__max_depth" not in plan.study.space.ranges
    assert plan.study.recipe({}).members[0].params["max_depth"] == 4
    assert plan.notes == ("xgboost.max_depth is fixed at 4 and not searched.",)


def test_members_of_one_kind_share_the_kinds_range_unless_they_have_their_own(folder: Path) -> None:
    arguments = [
        "ensemble.members=[{deep: {kind: xgboost}}, {flat: {kind: xgboost}}]",
        "search.space.deep={max_depth: {low: 8, high: 12}}",
    ]
    described = plan_study(compose(arguments)).study.space.describe()
    assert described["deep__max_depth"] == "int [8, 12]"
    assert described["flat__max_depth"] == "int [2, 10], first 3, 6, 9"
    assert "deep__eta" not in described


def test_name_comes_from_what_decides_the_numbers(folder: Path) -> None:
    def name(*arguments: str) -> str:
        return plan_study(compose(arguments)).study.name

    assert name() == name("search.n_trials=60") == name("search.parallel=1") == name("search.max_failure_rate=1")
    others = [name("search.seed=1"), name("ensemble=quartet"), name("dataset.split.seed=1"), name("search.window=3")]
    assert len({name(), *others}) == 5
    assert all(len(each) <= 32 for each in [*others, name("action=train"), name("experiment=blog_single")])


def test_every_config_file_begins_with_its_purpose() -> None:
    for path in CONFIG_FOLDER.rglob("*.yaml"):
        assert path.read_text().startswith("#"), path


def test_no_password_is_shown_or_recorded() -> None:
    composed = compose(["mlflow.uri=postgresql://me:hush@db.example:5432/runs"])
    assert composed.config.mlflow.uri == "postgresql://me:hush@db.example:5432/runs"
    for text in (composed.yaml(), composed.with_sources()):
        assert "postgresql://***@db.example:5432/runs" in text
        assert "hush" not in text


def test_a_users_settings_for_one_mode_are_not_read_in_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CONFIG_FOLDER, tmp_path / "configs", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "configs/local/mode").mkdir(parents=True)
    own = tmp_path / "configs/local/mode/remote.yaml"
    own.write_text("region: eu-west-1\nbucket: mine\n")
    monkeypatch.setattr("experiments.config.groups.CONFIG_FOLDER", tmp_path / "configs")
    assert compose(["mode=local"]).config.mode == LocalModeConfig()
    remote = compose(["mode=remote", "mode.bucket=other"])
    assert isinstance(remote.config.mode, RemoteModeConfig)
    assert (remote.config.mode.region, remote.config.mode.bucket) == ("eu-west-1", "other")
    assert remote.sources["mode.region"] == "configs/local/mode/remote.yaml"
    own.write_text("regoin: eu-west-1\n")
    with pytest.raises(ConfigError, match=r"mode.regoin.*Did you mean 'mode.region'"):
        compose(["mode=remote"])


@pytest.mark.parametrize("head", ["", "# @package _global_\n"])
def test_a_machines_own_file_sets_keys_from_the_top(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CONFIG_FOLDER, tmp_path / "configs", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "configs" / "local").mkdir()
    (tmp_path / "configs" / "local" / "default.yaml").write_text(f"{head}search: {{n_trials: 7}}\n")
    monkeypatch.setattr("experiments.config.groups.CONFIG_FOLDER", tmp_path / "configs")
    composed = compose([])
    assert composed.config.search.n_trials == 7
    assert composed.sources["search.n_trials"] == "configs/local/default.yaml"
    assert compose(["search.n_trials=8"]).config.search.n_trials == 8


@settings(max_examples=10)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12).map(str.strip).filter(bool)
)
def test_the_key_that_declares_a_column_is_read_back_whatever_its_name(name: str) -> None:
    (argument,) = shlex.split(column_key(name, "category"))
    assert compose(["mode=local", "dataset=file", argument]).config.dataset.columns == {name: "category"}
