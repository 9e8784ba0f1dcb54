"""Every mistake gets one message that names the value, its place and the fix; nothing is created."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended

Run = Callable[..., Ended]

SOUND = "a,b,price\n" + "".join(f"{i},{i * i % 7},{3 * i + i % 5}\n" for i in range(40))

ARGUMENTS = {
    "mode": (["mode=locl"], ["mode=locl", "'local'"]),
    "mode that is not a name": (["mode=[1]"], ["mode=[1]", "local"]),
    "action": (["action=tun"], ["action=tun", "'tune'"]),
    "dataset": (["dataset=diabets"], ["dataset=diabets", "'diabetes'"]),
    "recipe": (["experiment=blogg"], ["experiment=blogg", "'blog'"]),
    "member": (["ensemble.members=[xgbost]"], ["ensemble.members", "xgbost", "'xgboost'"]),
    "member twice": (["ensemble.members=[ridge,ridge]"], ["ensemble.members", "ridge", "kind"]),
    "member without a name": (["ensemble.members=[]"], ["ensemble.members", "[xgboost,catboost]"]),
    "member with a bad name": (["ensemble.members=[{a__b: {kind: ridge}}]"], ["a__b", "single underscores"]),
    "member with a reserved name": (["ensemble.members=[{blended: {kind: ridge}}]"], ["blended"]),
    "member without a kind": (["ensemble.members=[{deep: {type: ridge}}]"], ["ensemble.members.deep", "kind"]),
    "user's member": (["ensemble.members=[{own: {kind: 'nowhere:Own'}}]"], ["nowhere:Own", "entry.dependencies"]),
    "blender": (["ensemble.blend=weigted"], ["ensemble.blend", "weigted", "'weighted'"]),
    "weights without fixed": (["ensemble.weights.xgboost=1"], ["ensemble.blend=fixed"]),
    "weights for some": (["ensemble.blend=fixed", "ensemble.weights.xgboost=1"], ["one weight for each", "catboost"]),
    "weight that is text": (
        ["ensemble.blend=fixed", "ensemble.weights.xgboost=a"],
        ["ensemble.weights.xgboost", "'a'"],
    ),
    "negative weight": (
        ["ensemble=pair", "ensemble.blend=fixed", "ensemble.weights.xgboost=-1", "ensemble.weights.catboost=2"],
        ["ensemble.blend=fixed", "-1"],
    ),
    "final": (["ensemble.final=bags"], ["ensemble.final", "'bags'", "'bag'"]),
    "key": (["serch.n_trials=5"], ["serch.n_trials", "'search.n_trials'"]),
    "key below a group": (["search.n_trial=5"], ["search.n_trial", "'search.n_trials'"]),
    "new key": (["+search.budget=5"], ["search.budget"]),
    "value of another type": (["search.n_trials=many"], ["search.n_trials", "many"]),
    "no trials": (["search.n_trials=0"], ["search.n_trials=0", "at least 1"]),
    "window": (["search.window=0"], ["search.window=0"]),
    "parallel over the window": (["search.parallel=9"], ["search.parallel=9", "search.window=4"]),
    "seed": (["search.seed=-1"], ["search.seed", "-1"]),
    "sampler": (["search.sampler=tpee"], ["search.sampler", "'tpee'", "'tpe'"]),
    "grid over reals": (["search.sampler=grid"], ["search.sampler=grid", "choices"]),
    "objective": (["search.objective=cv_rmse_blend"], ["search.objective", "'cv_rmse_blended'"]),
    "failure rate": (["search.max_failure_rate=2"], ["search.max_failure_rate=2"]),
    "time limit": (["search.timeout=0"], ["search.timeout=0"]),
    "time limit that is text": (["search.timeout=1h"], ["search.timeout", "1h"]),
    "pruning without folds": (
        ["search.prune=true", "search.objective=validation_rmse_blended"],
        ["search.prune", "cv_"],
    ),
    "argument that is not key=value": (["local"], ["'local'", "key=value"]),
    "option": (["--trials"], ["--trials", "--help"]),
    "argument that cannot be read": (["search.space={{"], ["search.space={{", "quotes"]),
    "folds": (["dataset.folds.k=1"], ["dataset.folds.k", "1"]),
    "more folds than rows": (["dataset.folds.k=400"], ["dataset.folds.k=400", "266"]),
    "fold scheme": (["dataset.folds.kind=kfolds"], ["dataset.folds.kind", "'kfold'"]),
    "split": (["dataset.split.test=1.5"], ["dataset.split.test=1.5", "0.2"]),
    "negative split": (["dataset.split.validation=-0.1"], ["dataset.split.validation=-0.1", "0 sets no rows aside"]),
    "split that leaves nothing": (["dataset.split.test=0.5", "dataset.split.validation=0.5"], ["leave no rows"]),
    "hyperparameter": (["ensemble.params.xgboost.max_dept=4"], ["ensemble.params.xgboost.max_dept", "'max_depth'"]),
    "hyperparameter of a member that is not in the ensemble": (
        ["ensemble.params.svr.gama=1"],
        ["ensemble.params.svr.gama", "'gamma'"],
    ),
    "value for a member that is not in the ensemble": (
        ["ensemble.params.svr.C=-1"],
        ["ensemble.params.svr.C", "-1"],
    ),
    "range of a member that is not in the ensemble": (
        ["search.space.svr.gama={low: 1, high: 2}"],
        ["search.space.svr.gama", "'gamma'"],
    ),
    "hyperparameter's value": (["ensemble.params.xgboost.eta=2"], ["ensemble.params.xgboost.eta", "2"]),
    "hyperparameter's type": (["ensemble.params.xgboost.max_depth=a"], ["ensemble.params.xgboost.max_depth", "'a'"]),
    "hyperparameters of an unknown member": (
        ["ensemble.params.tabnet.depth=4"],
        ["ensemble.params.tabnet", "xgboost"],
    ),
    "space of an unknown member": (["search.space.tabnet.depth={low: 1, high: 2}"], ["search.space.tabnet"]),
    "range reversed": (["search.space.xgboost.eta={low: 0.3, high: 0.1}"], ["search.space.xgboost.eta", "swap"]),
    "log range that touches zero": (
        ["search.space.xgboost.gamma={low: 0.0, high: 1.0, log: true}"],
        ["search.space.xgboost.gamma", "above 0"],
    ),
    "range outside the domain": (
        ["search.space.xgboost.eta={low: 0.1, high: 7}"],
        ["search.space.xgboost.eta.high", "7"],
    ),
    "invalid range": (["search.space.xgboost.eta=[1]"], ["search.space.xgboost.eta", "low"]),
    "range with a stray key": (["search.space.xgboost.eta={low: 0.1, high: 0.2, step: 1}"], ["step"]),
    "range of strings": (
        ["search.space.catboost.grow_policy={low: 1, high: 2}"],
        ["search.space.catboost.grow_policy"],
    ),
    "choice twice": (["search.space.xgboost.max_depth={choices: [3, 3]}"], ["search.space.xgboost.max_depth", "twice"]),
    "search of an unknown parameter": (
        ["search.space.xgboost.max_dept={low: 1, high: 2}"],
        ["search.space.xgboost.max_dept", "'max_depth'"],
    ),
    "nothing to search": (["search=blank"], ["action=train", "search.space"]),
    "shared parameter of an unknown member": (
        ["search.shared.rate=[tabnet.eta]"],
        ["search.shared.rate", "tabnet.eta"],
    ),
    "two shared names for one": (
        ["search.shared.a=[xgboost.eta]", "search.shared.b=[xgboost.eta]"],
        ["search.shared", "xgboost.eta"],
    ),
    "name that comes with the group": (["mode.name=remote"], ["mode.name", "mode=remote"]),
    "several values": (["search.n_trials=20,40"], ["search.n_trials=20,40", "one value"]),
    "text for a list": (["dataset.drop=a"], ["dataset.drop", "[a]"]),
    "too many trials": (["search.n_trials=99999999999999999999"], ["search.n_trials", "100000"]),
    "split's seed": (["dataset.split.seed=-1"], ["dataset.split.seed=-1"]),
    "empty folder": (["paths.root="], ["paths.root", "empty"]),
    "store in a folder": (["mlflow.uri=file:///tmp/runs"], ["mlflow.uri", "sqlite:///"]),
    "unknown store": (["mlflow.uri=foo://bar"], ["mlflow.uri", "'foo'"]),
    "study's name": (["study=a b"], ["study", "letters, digits and hyphens"]),
    "study's name too long": (["study=" + "a" * 33], ["at most 32"]),
    "missing package": (["entry.dependencies=[nowhere]"], ["entry.dependencies", "nowhere"]),
    "file's keys without a file": (["dataset.path=x.csv"], ["dataset=file"]),
    "file without a path": (["dataset=file", "dataset.target=price"], ["dataset.path"]),
    "file without a target": (["dataset=file", "dataset.path=table.csv"], ["dataset.target"]),
}

TABLES = {
    "missing": (None, ["table.csv", "no file"]),
    "empty": ("", ["table.csv", "empty"]),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\xff\xfe\x00", ["table.csv", "UTF-8"]),
    "header only": ("a,price\n", ["table.csv", "0 data rows"]),
    "one row": ("a,price\n1,2\n", ["table.csv", "1 data row"]),
    "one column": ("price\n1\n2\n", ["table.csv", "no column left"]),
    "fewer rows than folds": ("a,price\n1,2\n2,3\n3,5\n4,6\n", ["dataset.folds.k=5", "4 rows"]),
    "columns of one name": ("a,a,price\n1,2,3\n2,3,4\n", ["table.csv", "'a'", "rename"]),
    "no such target": (SOUND.replace("price", "prize"), ["dataset.target=price", "'prize'"]),
    "missing target values": (SOUND.replace("\n5,4,15\n", "\n5,4,\n"), ["'price'", "missing", "data row 6"]),
    "text target": (SOUND.replace("\n5,4,15\n", "\n5,4,dear\n"), ["'price'", "'dear'", "data row 6"]),
    "infinite target": (SOUND.replace("\n5,4,15\n", "\n5,4,inf\n"), ["'price'", "infinite", "data row 6"]),
    "constant target": ("a,price\n" + "".join(f"{i},7\n" for i in range(30)), ["'price'", "7", "nothing to learn"]),
    "semicolons": ("a;price\n1,5;2\n", ["table.csv", "separated by ';'", "commas"]),
    "tabs": ("a\tprice\n1\t2\n", ["separated by '\\t'"]),
    "no header": ("1,2,2\n2,3,4\n", ["'2'", "header row"]),
    "compressed": (gzip.compress(SOUND.encode()), ["table.csv", "compressed with gzip", "unpack"]),
    "text feature": (
        SOUND.replace("\n5,4,15\n", "\n5.5,4,15\n").replace("\n6,", "\nblue,"),
        ["'a'", "'blue'", "dataset.drop=[a]"],
    ),
}


def check(ended: Ended, fragments: list[str], folder: Path, kept: set[str] = frozenset()) -> None:
    assert ended.code == 2, ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    for fragment in fragments:
        assert fragment in ended.err
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == set(kept)


@pytest.mark.parametrize(("arguments", "fragments"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_wrong_argument_is_named_with_its_fix(
    arguments: list[str], fragments: list[str], folder: Path, byoe: Run
) -> None:
    check(byoe("mode=local", *arguments), fragments, folder)


@pytest.mark.parametrize(("content", "fragments"), TABLES.values(), ids=TABLES)
def test_wrong_table_is_named_with_its_fix(
    content: str | bytes | None, fragments: list[str], folder: Path, byoe: Run
) -> None:
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "table.csv").write_bytes(data)
    ended = byoe("mode=local", "dataset=file", "dataset.path=table.csv", "dataset.target=price")
    check(ended, fragments, folder, set() if content is None else {"table.csv"})


DIVIDED = {
    "one group": ("group", "g1", ["dataset.folds.column=g1 has 1 different value in 40 rows", "nothing is left"]),
    "fewer groups than folds": ("group", "g3", ["the training rows have 1 group", "dataset.folds.k"]),
    "fewer moments than folds": ("time", "g3", ["the training rows have 1 different times", "dataset.folds.k"]),
}


@pytest.mark.parametrize(("kind", "column", "fragments"), DIVIDED.values(), ids=DIVIDED)
def test_rows_that_cannot_be_divided(kind: str, column: str, fragments: list[str], folder: Path, byoe: Run) -> None:
    rows = [f"{row},1,{row % 3},{row * 2}" for row in range(40)]
    (folder / "table.csv").write_text("\n".join(["a,g1,g3,price", *rows]) + "\n")
    arguments = ("dataset=file", "dataset.path=table.csv", "dataset.target=price", f"dataset.folds.kind={kind}")
    check(byoe("mode=local", *arguments, f"dataset.folds.column={column}"), fragments, folder, {"table.csv"})


def weighed(folder: Path, heavy: int) -> tuple[str, ...]:
    rows = [f"{row},{int(row < heavy)},{row * 2}" for row in range(60)]
    (folder / "table.csv").write_text("\n".join(["a,w,price", *rows]) + "\n")
    return ("mode=local", "dataset=file", "dataset.path=table.csv", "dataset.target=price", "dataset.weights=w")


@pytest.mark.parametrize(("heavy", "fragments"), [(1, ["0 in every row of the"]), (12, ["0 in every row of fold"])])
def test_weights_that_leave_a_split_without_weight(heavy: int, fragments: list[str], folder: Path, byoe: Run) -> None:
    check(byoe(*weighed(folder, heavy)), ["dataset.weights=w", *fragments], folder, {"table.csv"})


def test_member_that_ignores_weights_is_named_before_anything_runs(folder: Path, byoe: Run) -> None:
    ended = byoe(*weighed(folder, 60), "ensemble.members=[ridge,nearest_neighbors]")
    check(ended, ["dataset.weights: nearest_neighbors ignores weights", "ensemble.members"], folder, {"table.csv"})


def test_folder_in_place_of_a_table(folder: Path, byoe: Run) -> None:
    (folder / "tables").mkdir()
    ended = byoe("mode=local", "dataset=file", "dataset.path=tables", "dataset.target=price")
    check(ended, ["tables", "is a folder", "dataset.path"], folder, {"tables"})


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root reads everything. To run it: be another user, or install util-linux",
)
@pytest.mark.parametrize("hidden", ["table.csv", ""], ids=["the file", "its folder"])
def test_unreadable_table(hidden: str, folder: Path, byoe: Run) -> None:
    rows = folder / "rows"
    rows.mkdir()
    (rows / "table.csv").write_text(SOUND)
    (rows / hidden).chmod(0)
    ended = _as_unprivileged_user(
        "dataset=file", f"dataset.path={rows}/table.csv", "dataset.target=price", folder=folder
    )
    rows.chmod(0o755)
    check(ended, ["table.csv", "cannot be read", "permissions"], folder, {"rows"})


def _as_unprivileged_user(*arguments: str, folder: Path) -> Ended:
    """Run a command as a user who may not read everything, from code that this user may read."""
    import sys

    from tests.conftest import PROJECT, environment

    prefix = ["setpriv", "--reuid=65534", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    for parent in [folder, *folder.parents]:
        mode = parent.stat().st_mode
        if mode & 0o055 != 0o055:
            parent.chmod(mode | 0o055)
    done = subprocess.run(
        [*prefix, sys.executable, "-B", str(PROJECT / "run.py"), "mode=local", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(HOME=str(folder)),
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_users_module_that_raises_is_named(folder: Path, byoe: Run) -> None:
    (folder / "broken.py").write_text("raise RuntimeError('not today')\n")
    ended = byoe("mode=local", "entry.dependencies=[.]", "ensemble.members=[{own: {kind: 'broken:Own'}}]")
    check(ended, ["broken:Own", "RuntimeError: not today"], folder, {"broken.py"})


def test_characters_outside_hydras_grammar_need_no_quotes(folder: Path, byoe: Run) -> None:
    ended = byoe("mode=local", "dataset=file", "dataset.path=größe été.csv", "dataset.target=price")
    check(ended, ["no file größe été.csv"], folder)


def test_table_without_a_feature_that_varies(folder: Path, byoe: Run) -> None:
    (folder / "table.csv").write_text("a,b,price\n" + "".join(f"1,,{i}\n" for i in range(30)))
    ended = byoe("mode=local", "dataset=file", "dataset.path=table.csv", "dataset.target=price")
    check(ended, ["table.csv", "no feature varies"], folder, {"table.csv"})


def test_target_of_text_that_is_to_be_a_quantity(folder: Path, byoe: Run) -> None:
    (folder / "table.csv").write_text("a,price\n" + "".join(f"{i},{'no' if i % 2 else 'yes'}\n" for i in range(30)))
    given = ("dataset=file", "dataset.path=table.csv", "dataset.target=price", "dataset.task=regression")
    check(byoe("mode=local", *given), ["'price'", "'yes'", "numeric target"], folder, {"table.csv"})


def test_every_wrong_argument_of_one_command_is_a_single_line(folder: Path, byoe: Run) -> None:
    ended = byoe("mode=locl", "search.n_trials=many", "action=tun")
    assert len(ended.err.strip().splitlines()) == 1


def test_full_disk_is_named_before_anything_is_made(folder: Path, byoe: Run, tiny_disk: Callable[[str], Path]) -> None:
    disk = tiny_disk("size=256k")
    ended = byoe("mode=local", f"paths.root={disk}")
    check(ended, [str(disk), "full", "paths.root"], folder)
    assert list(disk.iterdir()) == []


def test_read_only_folder_is_named(folder: Path, byoe: Run, tiny_disk: Callable[[str], Path]) -> None:
    disk = tiny_disk("ro")
    ended = byoe("mode=local", f"paths.root={disk}/below")
    check(ended, [str(disk), "cannot be written", "paths.root"], folder)


FILLER = """
import os
from pathlib import Path

from ensemble.members import Member
from ensemble.members.scikit import Ridge


class Filler(Ridge):
    kind = "own:Filler"

    def fit(self, features, target, weights=None):
        super().fit(features, target, weights)
        flag = Path(os.environ["FILL_FLAG"])
        if flag.exists() and self.params["alpha"] == 3:
            with open(Path(os.environ["FILL_DISK"]) / "ballast", "wb", buffering=0) as file:
                while True:  # until it is full, which raises
                    file.write(bytes(4096))
"""


@pytest.mark.slow
def test_disk_that_fills_up_loses_no_trial(
    folder: Path, tiny_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import run_command

    disk = tiny_disk("size=64m")
    (folder / "packages").mkdir()
    (folder / "packages" / "own.py").write_text(FILLER)
    flag = folder / "fill"
    flag.touch()
    arguments = (
        "mode=local",
        f"paths.root={disk}",
        "entry.dependencies=[packages]",
        "ensemble.members=[{filler: {kind: 'own:Filler'}}]",
        "search=blank",
        "search.baseline=false",
        "search.sampler=grid",
        "search.space.filler.alpha={choices: [0, 1, 2, 3, 4, 5]}",
        "search.parallel=1",
        "study=filled",
    )
    env = {"FILL_DISK": str(disk), "FILL_FLAG": str(flag)}
    first = run_command(*arguments, **env)
    assert first.code == 1
    assert "Traceback" not in first.err
    assert "space" in first.err
    assert "same command" in first.err
    flag.unlink()
    (disk / "ballast").unlink()
    second = run_command(*arguments, **env)
    assert second.code == 0, second.err
    assert re.search(r"[1-4] of 6 trials are done", second.out)
    assert "0 failed" not in second.out
    assert "failed" not in second.out


@pytest.mark.slow
def test_name_taken_by_another_configuration_shows_the_difference(project: Path, byoe: Run) -> None:
    taken = byoe("mode=local", "action=train", "study=taken", "ensemble.members=[ridge]")
    assert taken.code == 0, taken.err
    before = sorted(project.rglob("*"))
    ended = byoe(
        "mode=local", "action=train", "study=taken", "ensemble.members=[ridge]", "ensemble.params.ridge.alpha=2"
    )
    assert ended.code == 2
    assert "ensemble.params.ridge.alpha: nothing there, 2.0 here" in ended.err
    assert "study=<name>" in ended.err
    assert sorted(project.rglob("*")) == before
