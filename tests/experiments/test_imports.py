"""Who may import what: each foreign library has its one home."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

HOMES = {
    ("sagemaker", "boto3", "botocore", "docker"): {"aws"},
    ("mlflow",): {"tracking", "tracking_store", "comparison_tracking", "model_registry", "mlflow_model"},
    ("plotly", "jinja2"): {"comparing"},
    ("hydra", "omegaconf"): {"config"},
    ("optuna",): {"proposals", "search_space"},
}


def imported(path: Path) -> set[str]:
    """Return the libraries that a module imports anywhere, for types or lazily too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("libraries", HOMES, ids="+".join)
def test_a_foreign_library_is_imported_at_home_only(libraries: tuple[str, ...]) -> None:
    harness = PROJECT / "experiments"
    found = {
        path.relative_to(harness).parts[0].removesuffix(".py")
        for path in harness.rglob("*.py")
        if imported(path) & set(libraries)
    }
    assert found == HOMES[libraries]


def test_the_entry_package_knows_no_harness_and_no_cloud() -> None:
    foreign = {"experiments", "sagemaker", "boto3", "docker", "mlflow", "optuna", "hydra"}
    assert not any(imported(path) & foreign for path in (PROJECT / "entry").rglob("*.py"))
