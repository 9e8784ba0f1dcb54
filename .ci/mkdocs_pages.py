"""Add to the site what is outside docs/: README as its first page, CONTRIBUTING, CHANGELOG and the Python reference."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import byoe

_PROJECT = Path(__file__).resolve().parent.parent
_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, with their links into docs/ as links beside them."""
    for name, page in _PAGES.items():
        text = re.sub(r"\]\(docs/", "](", (_PROJECT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "reference.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Make a page's links to files above docs/ links beside it."""
    return markdown.replace("](../CONTRIBUTING.md", "](CONTRIBUTING.md")


def _reference() -> str:
    """One entry for each public name, where it is defined; errors come last."""
    public = [getattr(byoe, name) for name in byoe.__all__ if not name.startswith("_")]
    public.sort(key=lambda defined: isinstance(defined, type) and issubclass(defined, Exception))
    entries = [f"::: {defined.__module__}.{defined.__name__}" for defined in public]
    return "\n\n".join(["# Python reference", *entries, ""])
