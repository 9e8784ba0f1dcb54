"""Bundles: saved, verified and loaded; damage and other versions are named (``bundle``, ``versions``)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.bundle import load_bundle, save_bundle
from ensemble.errors import BundleError, InputError
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.training import Training, fit_ensemble
from ensemble.versions import library_version, runtime_versions
from tests.entry.conftest import OWN_MEMBER, make_table, quick_recipe

KINDS = ("xgboost", "catboost", "random_forest", "ridge")
TABLE = make_table(missing=0.1)
ROWS = make_table(20, seed=1, missing=0.1).features


def save(folder: Path, recipe: Recipe) -> Training:
    training = fit_ensemble(recipe, TABLE, None, threads=1)
    save_bundle(folder, recipe, training, TABLE, TABLE.content_hash())
    return training


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    save(folder, quick_recipe("xgboost", "ridge"))
    return folder


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("final", ["bag", "refit"])
@pytest.mark.parametrize("blend", ["mean", "weighted"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_loaded_bundle_predicts_exactly_what_was_trained(
    final: str, blend: str, threads: int, tmp_path: Path
) -> None:
    training = save(tmp_path, quick_recipe(*KINDS, final=final, blend=blend))
    found = load_bundle(tmp_path, threads=threads)
    assert found.members == list(KINDS)
    assert found.columns == tuple(replace(column, optional=True) for column in TABLE.columns)  # all miss values
    assert found.ensemble.weights == training.ensemble.weights
    assert np.array_equal(found.ensemble.predict_members(ROWS), training.ensemble.predict_members(ROWS))
    assert np.array_equal(found.ensemble.predict(ROWS), training.ensemble.predict(ROWS))


def test_a_manifest_describes_the_training_and_its_data(tmp_path: Path) -> None:
    params = {"alpha": 2.0}
    members = (MemberSpec("flat", "ridge", params), MemberSpec("xgboost", "xgboost", {"num_round": 3}))
    weights = {"flat": 3.0, "xgboost": 1.0}
    recipe = Recipe(members, blend="fixed", weights=weights, final="refit", folds=FoldSpec(k=4), seed=9)
    training = save(tmp_path, recipe)
    found = manifest(tmp_path)
    expected = {
        "bundle_version": 3,
        "members": [
            {"name": "flat", "kind": "ridge", "params": params, "files": ["members/flat/all_rows.skops"]},
            {
                "name": "xgboost",
                "kind": "xgboost",
                "params": {"num_round": 3},
                "files": ["members/xgboost/all_rows.ubj"],
            },
        ],
        "blend": {"kind": "fixed", "weights": [0.75, 0.25], "intercept": 0.0, "passed": []},
        "weights": {"flat": 0.75, "xgboost": 0.25},
        "rounds": {},
        "final": "refit",
        "folds": {"kind": "kfold", "k": 4, "repeats": 1},
        "seed": 9,
        "columns": [{"name": name, "type": "number", "optional": True} for name in TABLE.names],
        "target": "y",
        "rows": TABLE.rows,
        "data_hash": TABLE.content_hash(),
        "recipe_hash": recipe.fingerprint(),
        "metrics": training.metrics,
        "versions": runtime_versions(),
    }
    assert {key: found[key] for key in expected} == expected
    assert found["versions"]["xgboost"]
    assert found["versions"]["scikit-learn"]


def test_a_manifest_lists_the_hash_of_every_file(tmp_path: Path) -> None:
    save(tmp_path, quick_recipe(*KINDS))
    listed = manifest(tmp_path)["files"]
    assert sorted([*listed, "manifest.json"]) == files(tmp_path)
    members = [name for name in listed if name.startswith("members/")]
    assert len(members) == len(KINDS) * 3
    assert {"code/inference.py", "code/requirements.txt", "code/ensemble/bundle.py"} <= set(listed)
    for name, expected in listed.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == expected


@pytest.mark.parametrize("more", [(), ("lightgbm",)])
def test_its_requirements_pin_the_libraries_of_its_members(more: tuple[str, ...], tmp_path: Path) -> None:
    save(tmp_path, quick_recipe("ridge", *more))
    lines = (tmp_path / "code" / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    assert pinned.keys() - {"xgboost-cpu", "catboost", "scikit-learn", "skops"} == set(more)
    assert all(pinned[name] == library_version(name) for name in ("scikit-learn", *more))


def test_a_manifest_is_strict_json_even_with_a_score_that_is_not_finite(tmp_path: Path) -> None:
    table = make_table()
    table.target.flags.writeable = True
    table.target[:] = 0.1
    recipe = quick_recipe("ridge")
    training = fit_ensemble(recipe, table, None, threads=1)
    assert np.isnan(training.metrics["cv_r2_ridge"])
    save_bundle(tmp_path, recipe, training, table, "hash")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads((tmp_path / "manifest.json").read_text(), parse_constant=refuse)
    assert "cv_rmse_ridge" in found["metrics"]
    assert "cv_r2_ridge" not in found["metrics"]


def test_the_example_is_what_the_first_rows_predict(bundle: Path) -> None:
    found = load_bundle(bundle)
    features, predictions = found.example()
    assert np.array_equal(features, TABLE.features[:5], equal_nan=True)
    assert np.isnan(features).any()
    assert np.array_equal(predictions, found.ensemble.predict(features))


def test_the_content_hash_is_that_of_the_manifest(bundle: Path) -> None:
    before = load_bundle(bundle).content_hash
    assert before == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    edit(bundle, data_hash="another")
    assert load_bundle(bundle).content_hash != before


def test_saving_again_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    save(tmp_path, quick_recipe("xgboost", "random_forest", k=4))
    (tmp_path / "code" / "left.py").write_text("")
    save(tmp_path, quick_recipe("xgboost", final="refit"))
    assert [name for name in files(tmp_path) if not name.startswith("code/")] == [
        "manifest.json",
        "members/xgboost/all_rows.ubj",
        "sketch.json",
    ]
    assert not (tmp_path / "code" / "left.py").exists()
    assert load_bundle(tmp_path).members == ["xgboost"]


def test_a_save_that_fails_leaves_no_bundle(bundle: Path, own_module: Callable[[str], str]) -> None:
    body = "    def save(self, path): raise OSError('disk full')\n"
    kind = own_module(f"{OWN_MEMBER}\nclass Failing(Constant):\n{body}") + ":Failing"
    with pytest.raises(OSError, match="disk full"):
        save(bundle, Recipe((MemberSpec("ridge", "ridge"), MemberSpec("own", kind)), folds=FoldSpec(k=2)))
    with pytest.raises(BundleError, match="is not a model bundle"):
        load_bundle(bundle)


def test_the_users_own_member_is_saved_and_loaded(tmp_path: Path, own_module: Callable[[str], str]) -> None:
    kind = own_module(OWN_MEMBER) + ":Constant"
    training = save(tmp_path / "bundle", Recipe((MemberSpec("base", kind, {"shift": 2.0}),), folds=FoldSpec(k=2)))
    found = load_bundle(tmp_path / "bundle")
    assert np.array_equal(found.ensemble.predict(ROWS), training.ensemble.predict(ROWS))
    assert manifest(tmp_path / "bundle")["members"][0]["kind"] == kind


def test_a_bundle_whose_member_is_not_importable_names_it(bundle: Path) -> None:
    members = manifest(bundle)["members"]
    edit(bundle, members=[members[0], members[1] | {"kind": "nowhere:Own"}])
    with pytest.raises(BundleError, match=r"'nowhere:Own' is not in the model: it has no code/nowhere\.py"):
        load_bundle(bundle)
    (bundle / "code" / "nowhere.py").touch()
    digest = hashlib.sha256(b"").hexdigest()
    edit(bundle, files=manifest(bundle)["files"] | {"code/nowhere.py": digest})
    with pytest.raises(InputError, match="'nowhere:Own' cannot be imported"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["members/xgboost/fold_1.ubj", "members/ridge/fold_2.skops"])
@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_byte_changed_is_noticed_and_named(bundle: Path, name: str, place: int) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[place] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256 differs") as error:
        load_bundle(bundle)
    assert str(bundle / name) in str(error.value)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "members/ridge/fold_0.skops").unlink()
    with pytest.raises(BundleError, match=r"is incomplete: members/ridge/fold_0\.skops is missing"):
        load_bundle(bundle)


def outside(bundle: Path, name: str) -> str:
    path = bundle.parent / "x.ubj"
    path.write_bytes((bundle / "members/xgboost/fold_0.ubj").read_bytes())
    return str(path) if name == "absolute" else name


@pytest.mark.parametrize("name", ["../x.ubj", "members/../../x.ubj", "absolute"])
def test_a_file_outside_the_bundle_is_refused(bundle: Path, name: str) -> None:
    found, name = manifest(bundle), outside(bundle, name)
    right_hash = found["files"]["members/xgboost/fold_0.ubj"]
    edit(bundle, files=found["files"] | {name: right_hash})
    with pytest.raises(BundleError, match="names a file outside the bundle"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["../x.ubj", "absolute"])
def test_a_member_from_outside_the_bundle_is_refused(bundle: Path, name: str) -> None:
    members, name = manifest(bundle)["members"], outside(bundle, name)
    edit(bundle, members=[members[0] | {"files": [name]}, members[1]])
    with pytest.raises(BundleError, match="its list of files lacks"):
        load_bundle(bundle)


def test_a_link_out_of_the_bundle_is_refused(bundle: Path) -> None:
    path = bundle / "members/xgboost/fold_0.ubj"
    path.rename(bundle.parent / "x.ubj")
    path.symlink_to(bundle.parent / "x.ubj")
    with pytest.raises(BundleError, match="names a file outside the bundle"):
        load_bundle(bundle)


def test_a_member_file_without_a_hash_is_refused(bundle: Path) -> None:
    listed = manifest(bundle)["files"]
    del listed["members/xgboost/fold_0.ubj"]
    edit(bundle, files=listed)
    with pytest.raises(BundleError, match=r"its list of files lacks 'members/xgboost/fold_0\.ubj'"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "code/numpy.py",
        "code/ensemble/more.py",
        "members/xgboost/more.ubj",
        "members/left",
        "code/a.pyc",
        "code/new/x.so",
    ],
)
def test_a_file_that_is_not_listed_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("raise SystemExit")
    with pytest.raises(BundleError, match=r"is not in manifest\.json, so it is not part of the model") as error:
        load_bundle(bundle)
    assert str(error.value).startswith(str(bundle / name))


@pytest.mark.parametrize("name", ["code/linked.py", "code/linked", "members/linked"])
def test_a_link_that_is_not_listed_is_refused(bundle: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.py").touch()
    (bundle / name).symlink_to(tmp_path / "elsewhere" / ("x.py" if name.endswith(".py") else ""))
    with pytest.raises(BundleError, match=rf"{name} is not in manifest\.json"):
        load_bundle(bundle)


def test_the_folder_of_the_code_may_not_be_a_link(bundle: Path, tmp_path: Path) -> None:
    (bundle / "code").rename(tmp_path / "code")
    (bundle / "code").symlink_to(tmp_path / "code")
    with pytest.raises(BundleError, match="names a file outside the bundle"):
        load_bundle(bundle)


def test_caches_of_python_and_files_beside_the_model_are_ignored(bundle: Path) -> None:
    cache = bundle / "code" / "ensemble" / "__pycache__"
    cache.mkdir()
    (cache / "bundle.cpython-311.pyc").write_bytes(b"x")
    (bundle / "notes.txt").touch()
    assert load_bundle(bundle).members == ["xgboost", "ridge"]


def test_nothing_is_imported_before_every_file_is_verified(bundle: Path, own_module: Callable[[str], str]) -> None:
    module = own_module("raise SystemExit('imported')\n")
    found = manifest(bundle)
    edit(bundle, members=[found["members"][0] | {"kind": f"{module}:Own"}, found["members"][1]])
    (bundle / "code" / "more.py").touch()
    with pytest.raises(BundleError, match="is not part of the model"):
        load_bundle(bundle)


IMPORTED = "raise SystemExit('imported')\n"


@pytest.mark.parametrize(
    "kind", ["own_member:Own", "this:Own", "xml.dom:Own", "own_member.:Own", ":Own", "../own_member:O"]
)
def test_a_module_that_the_bundle_does_not_have_is_not_imported(
    kind: str, bundle: Path, own_module: Callable[[str], str]
) -> None:
    own_module(IMPORTED)
    own, other = manifest(bundle)["members"]
    edit(bundle, members=[own | {"kind": kind}, other])
    with pytest.raises(BundleError, match="is not in the model"):
        load_bundle(bundle)
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    ("name", "reason"),
    [("own_member", "own_member.py differs"), ("sys", "is a part of Python"), ("this", "this.py differs")],
)
def test_another_module_of_the_same_name_is_not_imported(
    name: str, reason: str, bundle: Path, own_module: Callable[[str], str]
) -> None:
    own_module(IMPORTED)
    (bundle / "code" / f"{name}.py").write_text(OWN_MEMBER)
    digest = hashlib.sha256(OWN_MEMBER.encode()).hexdigest()
    found = manifest(bundle)
    edit(
        bundle,
        members=[found["members"][0] | {"kind": f"{name}:Own"}, found["members"][1]],
        files=found["files"] | {f"code/{name}.py": digest},
    )
    with pytest.raises(BundleError, match=reason):
        load_bundle(bundle)
    assert "this" not in sys.modules


def test_files_are_announced_before_a_library_reads_them(bundle: Path) -> None:
    seen: list[str] = []
    load_bundle(bundle, loading=seen.append)
    assert seen == [name for member in manifest(bundle)["members"] for name in member["files"]]


@pytest.mark.parametrize(
    "text", ["", "{", '{"bundle_version": 3, "members": [', "[]", "{}", "null", "\udcff"], ids=repr
)
def test_a_damaged_manifest_is_refused(bundle: Path, text: str) -> None:
    path = bundle / "manifest.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        load_bundle(bundle)


@pytest.mark.parametrize("key", ["members", "blend", "files", "versions"])
def test_a_manifest_that_lacks_a_part_is_refused_by_its_name(bundle: Path, key: str) -> None:
    whole = manifest(bundle)
    del whole[key]
    (bundle / "manifest.json").write_text(json.dumps(whole))
    with pytest.raises(BundleError, match=rf"manifest\.json is damaged: it lacks {key}"):
        load_bundle(bundle)


def test_every_truncation_of_a_manifest_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    data = path.read_bytes()
    for length in range(0, len(data) - 1, 97):
        path.write_bytes(data[:length])
        with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
            load_bundle(bundle)


def test_a_folder_without_a_manifest_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is not a model bundle: it has no manifest\.json"):
        load_bundle(tmp_path)


def test_a_bundle_of_another_format_is_refused(bundle: Path) -> None:
    edit(bundle, bundle_version=1)
    with pytest.raises(BundleError, match="has version 1; this release reads 3"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("library", "version"), [("xgboost", "3.2.99"), ("xgboost", "0.1"), ("scikit-learn", "1.0.2"), ("xgboost", None)]
)
def test_libraries_that_would_not_read_it_alike_are_named_with_the_command(
    bundle: Path, library: str, version: str | None
) -> None:
    versions = manifest(bundle)["versions"] | {library: version}
    edit(bundle, versions={name: text for name, text in versions.items() if text})
    with pytest.raises(BundleError) as error:
        load_bundle(bundle)
    pins = f"scikit-learn=={versions['scikit-learn']} xgboost=={versions['xgboost']}"
    assert f"{library} is {runtime_versions()[library]} here and was {version or 'not recorded'}" in str(error.value)
    assert f"pip install {pins}" in str(error.value) or version is None


@pytest.mark.parametrize(
    ("library", "version"),
    [("scikit-learn", "{minor}.99"), ("numpy", "1.0"), ("python", "3.99"), ("catboost", "0.1")],
)
def test_versions_that_change_no_prediction_are_accepted(bundle: Path, library: str, version: str) -> None:
    versions = manifest(bundle)["versions"]
    minor = ".".join(versions[library].split(".")[:2])
    edit(bundle, versions=versions | {library: version.format(minor=minor)})
    assert load_bundle(bundle).members == ["xgboost", "ridge"]
