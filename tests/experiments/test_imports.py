"""Imports follow the table of ``docs/architecture.md``, also those in functions and for annotations."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

HARNESS, ENTRY = PROJECT / "experiments", PROJECT / "entry"
MOST_PACKAGES = 16
# By foreign library, the packages that import it, or a single module of a package.
OWNERS = {
    "boto3": {"aws", "docker/sdk_job.py"},  # the SDK's local mode is given a session without an account
    "botocore": {"aws", "sagemaker_requests"},
    "docker": {"docker"},
    "sagemaker": {"docker"},
    "mlflow": {"tracking"},
    "omegaconf": {"config"},
    "hydra": {"config"},
    "optuna": {"study"},
    "optuna_dashboard": {"reporting"},
    "jinja2": {"comparison"},
    "matplotlib": {"reporting"},
}
# Where a mode is chosen, besides config/. The page shows the mode of a recorded study.
MODE_CHOSEN = {"backends/open.py", "serving/open.py", "comparison/page.py"}
MODE_CLASSES = {"LocalModeConfig", "SageMakerModeConfig", "RemoteModeConfig"}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each imported module with the dotted name that is imported from it, or with its own name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from ((str(node.module), f"{node.module}.{alias.name}") for alias in node.names)


def foreign_libraries(path: Path) -> set[str]:
    return {module.partition(".")[0] for module, _ in imported_names(path)}


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return, by module of the harness and the entry package, the modules of both that it imports."""
    paths = {module_name(path, PROJECT): path for path in HARNESS.rglob("*.py")}
    paths |= {module_name(path, ENTRY): path for path in ENTRY.rglob("*.py")}
    return {
        name: {whole if whole in paths else module for module, whole in imported_names(path)} & set(paths) - {name}
        for name, path in paths.items()
    }


def package(module: str) -> str | None:
    """Return the package or top module of the harness that a module is in; None outside it and for its root."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0] or None if root == "experiments" else None


@functools.cache
def arrows() -> dict[str, set[str]]:
    """Return, by package of the harness, the other packages that it imports."""
    found: dict[str, set[str]] = {}
    for module, targets in imports().items():
        source = package(module)
        if source is not None:
            targeted = {target for name in targets if (target := package(name)) is not None}
            found[source] = found.get(source, set()) | targeted - {source}
    return found


@functools.cache
def table() -> dict[str, str]:
    """Return the table of packages: what each may import, by package from the top down."""
    text = (PROJECT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    return {name: allowed.strip() for name, allowed in rows}


def test_the_table_has_a_row_for_each_package_and_there_are_few() -> None:
    packages = {path.name.removesuffix(".py") for path in HARNESS.iterdir() if (path / "__init__.py").exists()}
    packages |= {path.stem for path in HARNESS.glob("*.py")} - {"__init__"}
    assert set(table()) == packages
    assert len(packages) <= MOST_PACKAGES


def test_no_package_imports_one_above_it() -> None:
    order = list(table())
    upward = {(source, target) for source in order for target in arrows()[source] - set(order[order.index(source) :])}
    assert not upward


def test_each_package_imports_what_its_row_lists() -> None:
    order = list(table())
    for place, (source, allowed) in enumerate(table().items()):
        if allowed == "everything below":
            assert arrows()[source] <= set(order[place + 1 :])
        else:
            listed = set(allowed.split(", ")) if allowed else set()
            # Every package may import these two, so no row lists them.
            assert arrows()[source] - {"system", "errors"} == listed, source


def test_no_module_imports_itself_through_others() -> None:
    graphlib.TopologicalSorter(imports()).prepare()


@pytest.mark.parametrize("library", OWNERS)
def test_a_foreign_library_is_imported_by_its_owner_only(library: str) -> None:
    importing = {path.relative_to(HARNESS) for path in HARNESS.rglob("*.py") if library in foreign_libraries(path)}
    used = {owner for owner in OWNERS[library] for path in importing if path.is_relative_to(owner)}
    assert used == OWNERS[library]
    assert not {path for path in importing if not any(path.is_relative_to(owner) for owner in used)}


def test_the_entry_package_knows_neither_the_harness_nor_aws() -> None:
    foreign = {"experiments", *OWNERS}
    assert not {path for path in ENTRY.rglob("*.py") if foreign_libraries(path) & foreign}


def chooses_a_mode(node: ast.AST) -> bool:
    """Whether an expression tests for a mode, by its class or by its name."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        return any(isinstance(name, ast.Name) and name.id in MODE_CLASSES for name in ast.walk(node.args[1]))
    if isinstance(node, ast.Compare):
        return any(is_mode(side) for side in [node.left, *node.comparators])
    return isinstance(node, ast.Match) and is_mode(node.subject)


def is_mode(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and node.attr == "name":
        node = node.value
        return (isinstance(node, ast.Name) and node.id == "mode") or (
            isinstance(node, ast.Attribute) and node.attr == "mode"
        )
    return isinstance(node, ast.Attribute) and node.attr == "mode"


def test_a_mode_is_chosen_in_three_places() -> None:
    choosing = {
        path.relative_to(HARNESS).as_posix()
        for path in HARNESS.rglob("*.py")
        if any(map(chooses_a_mode, ast.walk(tree(path))))
    }
    assert {path for path in choosing if not path.startswith("config/")} == MODE_CHOSEN
