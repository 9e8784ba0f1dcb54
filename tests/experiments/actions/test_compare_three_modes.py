"""One study on this machine, its best trials run again on SageMaker and in containers, and all of them compared."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ENGINE, QUICK, Ended, run_command
from tests.doubles.aws.double import Double
from tests.doubles.aws.resident import Resident
from tests.support.docker import left_behind, require_image
from tests.support.records import logged_runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # moto's own
    pytest.mark.timeout(300),
    pytest.mark.xdist_group(ENGINE),  # with and without an engine from one copy of the project
]

Run = Callable[..., Ended]
# A user's member whose predictions change with the version of a library, as read from its metadata.
MEMBER = """
from importlib.metadata import version
from ensemble.members.scikit import Ridge


class Fickle(Ridge):
    kind = "fickle:Fickle"

    def predict(self, features):
        return super().predict(features) + (version("scipy") == "0.0.1")
"""
ENSEMBLE = (
    "ensemble.members=[xgboost,catboost,{fickle: {kind: 'fickle:Fickle'}}]",
    "entry.dependencies=[packages]",
    *QUICK,
)
TABLE = ("dataset=file", "dataset.target=price")
ROWS = ("dataset.path=rows.csv", *TABLE)
REPLAY = ("action=replay", "replay.study=laptop", "replay.top=2")


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def command(*arguments: str, **env: str) -> Ended:
    """Run a command on the ensemble of these tests; it must succeed."""
    ended = run_command(*arguments, *ENSEMBLE, **env)
    assert ended.code == 0, ended.out + ended.err
    return ended


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, resident: Resident) -> Path:
    """A project with a study of ``mode=local``, and its best two trials run again on SageMaker's double."""
    folder = tmp_path_factory.mktemp("three")
    shutil.copy(empty_store, folder / "mlflow.db")
    (folder / "packages").mkdir()
    (folder / "packages" / "fickle.py").write_text(MEMBER)
    random = np.random.RandomState(0)
    lines = [f"{a:.4f},{b:.4f},{3 * a - b + random.normal():.4f}" for a, b in random.normal(size=(80, 2))]
    (folder / "rows.csv").write_text("\n".join(["width,height,price", *lines]) + "\n")
    with working_in(folder), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        command("mode=local", "study=laptop", "search.n_trials=3", *ROWS)
        with Double(tmp_path_factory.mktemp("aws"), resident=resident) as double:
            double.billable_seconds = 90
            account = ("mode.price_usd_per_hour=0.4", "mode.budget_usd=2", "mode.poll_seconds=0.05")
            place = (f"mode.role={double.role}", f"mode.bucket={double.bucket}")
            command("mode=remote", "study=cloud", *REPLAY, *ROWS, *account, *place, **double.environment)
    return folder


@pytest.fixture
def project(studies: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which the tests share; studies that a test adds have other names."""
    monkeypatch.chdir(studies)
    return studies


def comparing(*names: str) -> list[str]:
    return ["action=compare", f"compare.studies=[{','.join(names)}]", f"output={'-'.join(names)}.html"]


def test_trials_on_sagemaker_are_equal_and_their_cost_is_reported(project: Path, byoe: Run) -> None:
    ended = byoe(*comparing("laptop", "cloud"))
    assert ended.code == 0, ended.err
    assert "\nparity: PASS (2 of 2 trials equal)\n  equal to the bit: 2 of 2\n" in ended.out
    assert "\nreport: laptop-cloud.html\n" in ended.out
    dollars = next(line.split() for line in ended.out.splitlines() if line.startswith("  dollars"))
    assert dollars == ["dollars", "none", "$0.02"]
    page = (project / "laptop-cloud.html").read_text()
    assert "after $0.0" in page
    assert logged_runs(project, "byoe-rows", "comparison")[0].data.tags["byoe.parity"] == "PASS"


@pytest.mark.docker
def test_all_three_modes_are_equal(project: Path, byoe: Run) -> None:
    require_image()
    command("mode=sagemaker", "study=containers", *REPLAY, *ROWS)
    ended = byoe(*comparing("laptop", "containers", "cloud"))
    assert ended.code == 0, ended.err
    assert "\nparity: PASS (4 of 4 trials equal)\n" in ended.out
    assert left_behind() == []


def test_another_version_of_a_library_is_named(project: Path, byoe: Run) -> None:
    """The metadata that Python finds first has another version, and the member's predictions change with it."""
    newer = project / "newer" / "scipy-0.0.1.dist-info"
    newer.mkdir(parents=True)
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.0.1\n")
    path = os.pathsep.join([str(newer.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = ("mode=local", "study=newer", *REPLAY, *ROWS, *ENSEMBLE)
    replay = run_command(*arguments, PYTHONPATH=path)
    ended = byoe(*comparing("laptop", "newer"))
    for one in (replay, ended):
        assert one.code == 1, one.err
        assert "\nparity: FAIL (0 of 2 trials equal; library versions: scipy " in one.out
        assert ", 0.0.1 in newer)\n" in one.out
        assert " numbers differ, of blended, fickle; the largest difference is in " in one.out
    assert "library versions</b> <span>differs</span>" in (project / "laptop-newer.html").read_text()


def test_another_row_is_named(project: Path, byoe: Run) -> None:
    lines = (project / "rows.csv").read_text().splitlines()
    lines[40] = "0.5000," + lines[40].partition(",")[2]
    (project / "other.csv").write_text("\n".join(lines) + "\n")
    command("mode=local", "study=other", "search.n_trials=1", "dataset.path=other.csv", *TABLE)
    ended = byoe(*comparing("laptop", "other"))
    assert ended.code == 3
    assert "\nparity: NOT CHECKED (data hash: 1 row differs: width in row " in ended.out
    assert ", 0.5 in other)\n" in ended.out
    assert "laptop and other ran on different data" in ended.err
