"""No module of ``ensemble`` imports itself through others, lazily or for types either."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

from tests.conftest import PROJECT

ENTRY = PROJECT / "entry"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ENTRY).with_suffix("").parts).removesuffix(".__init__")


def test_modules_of_the_entry_package_import_each_other_in_one_direction() -> None:
    paths = {name_of(path): path for path in ENTRY.rglob("*.py")}
    imports: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        named = [(node.module, f"{node.module}.{alias.name}") for node in found for alias in node.names]
        imports[name] = {whole if whole in paths else str(module) for module, whole in named} & set(paths)
    assert imports["ensemble.channel"] >= {"ensemble.reading", "ensemble.table"}
    graphlib.TopologicalSorter(imports).prepare()
