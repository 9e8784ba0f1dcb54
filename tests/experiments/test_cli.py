"""The command itself: its help, what it imports when, and that MLflow sends no telemetry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Ended, environment

HEAVY = ("sagemaker", "boto3", "docker", "mlflow", "xgboost", "catboost", "sklearn", "optuna", "pandas", "matplotlib")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT, env=environment()
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "code",
    [
        "import experiments.cli",
        "import byoe; dir(byoe)",
        "import ensemble.cli",
        "from experiments.cli import main; main(['--help'])",
        "from experiments.cli import main; main(['mode=local', '--cfg'])",
    ],
)
def test_heavy_libraries_are_not_imported(code: str) -> None:
    assert modules_after(code) & set(HEAVY) == set()


def test_help_needs_neither_hydra_nor_numpy() -> None:
    assert modules_after("from experiments.cli import main; main(['--help'])") & {"hydra", "numpy", "rich"} == set()


def test_importing_byoe_in_python_takes_no_library() -> None:
    assert modules_after("import byoe") & {"ensemble", "experiments", "hydra", "numpy", "rich"} == set()


def test_every_public_name_of_byoe_is_there() -> None:
    import byoe

    assert set(byoe.__all__) <= set(dir(byoe))
    for name in byoe.__all__:
        assert getattr(byoe, name) is not None
    with pytest.raises(AttributeError, match="module 'byoe' has no attribute 'tunes'"):
        byoe.tunes  # noqa: B018


def test_help_names_every_action_group_and_its_examples(byoe: Callable[..., Ended]) -> None:
    from experiments.cli import ACTIONS
    from experiments.config.groups import group_files

    ended = byoe("--help")
    assert ended.code == 0
    for name in [*ACTIONS, *group_files(), *(member for members in group_files().values() for member in members)]:
        assert name in ended.out
    assert ended.out.partition("\nexamples\n")[2].count("  python run.py ") == 15


@pytest.mark.parametrize("arguments", [["plan", "mode=nowhere"], ["action=plan", "mode=nowhere"]])
def test_the_name_of_an_action_may_come_first(arguments: list[str], byoe: Callable[..., Ended]) -> None:
    assert byoe(*arguments) == byoe("action=plan", "mode=nowhere")
    assert byoe("mode=local", "plan").err.startswith("error: 'plan' is not key=value.")


@pytest.mark.parametrize("shells", [[], ["csh"]])
def test_completion_needs_a_shell(shells: list[str], byoe: Callable[..., Ended]) -> None:
    ended = byoe("--completion", *shells)
    assert ended.code == 2
    assert "--completion needs the name of a shell: bash, fish, zsh" in ended.err


@pytest.mark.parametrize("arguments", [["-h"], ["mode=nowhere", "--help"]])
def test_help_is_printed_despite_other_arguments(arguments: list[str], byoe: Callable[..., Ended]) -> None:
    assert byoe(*arguments).out.startswith("byoe:")


def test_entry_package_does_not_import_the_harness() -> None:
    code = (
        "import pkgutil, importlib, ensemble\n"
        "for m in pkgutil.walk_packages(ensemble.__path__, 'ensemble.'):\n    importlib.import_module(m.name)"
    )
    assert "experiments" not in modules_after(code)


def test_telemetry_is_off_by_default_and_the_user_can_turn_it_on() -> None:
    script = (
        "from experiments.tracking.store import quiet; quiet()\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled; print(is_telemetry_disabled())"
    )

    def disabled(**env: str) -> str:
        clean = {name: text for name, text in environment().items() if name != "CI"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT, env=clean | env
        )
        return done.stdout.strip()

    assert disabled() == "True"
    assert disabled(MLFLOW_DISABLE_TELEMETRY="false", DO_NOT_TRACK="false") == "False"


def test_output_may_be_cut_off_by_its_reader(folder: Path) -> None:
    command = f"{sys.executable} {PROJECT / 'run.py'} mode=local --cfg | head -2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment())
    assert done.stdout.splitlines()[1].startswith("action: tune")
    assert "Traceback" not in done.stderr


def test_python_without_the_packages_prints_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", str(PROJECT / "run.py"), "mode=local"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin"},
    )
    assert done.returncode == 2
    assert "pip install -e" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "action"), [("predict", "batch"), ("serve", "deploy"), ("fit", "train"), ("bach", "batch")]
)
def test_an_action_by_the_name_that_other_tools_give_it_is_recognised(
    name: str, action: str, byoe: Callable[..., Ended]
) -> None:
    ended = byoe(f"action={name}")
    assert ended.code == 2
    assert f"action={name}: there is no such action. Did you mean {action!r}?" in ended.err
