"""Read headings, links and code blocks from the project's Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PROJECT

PAGES = (
    *(PROJECT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
)
_FENCE = re.compile(r"```(\w*) ?(\S*)$")
_PROGRAMS = ("python ", "pytest ", "mlflow ", "pip ", "docker ", "git ", "source ")
_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        heading: The last heading of the first or second level before it.
        language: The name after the fence; empty if there is none.
        file: The name after the language: the file with this content.
        lines: Its lines.
    """

    heading: str
    language: str
    file: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A command in a ``console`` block, and what it prints.

    Attributes:
        command: The command, without a comment.
        output: The lines below it; a line of three dots stands for any lines.
    """

    command: str
    output: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page."""
    found: list[Block] = []
    heading, fence, inside = "", None, []
    for line in page.read_text().splitlines():
        if fence is not None:
            if line == "```":
                found.append(Block(heading, fence[1], fence[2], tuple(inside)))
                fence = None
            else:
                inside.append(line)
        elif (fence := _FENCE.match(line)) is not None:
            inside = []
        elif line.startswith(("# ", "## ")):
            heading = line.lstrip("# ")
    assert fence is None, f"{page} ends inside a code block"
    return found


def steps(block: Block) -> list[Step]:
    """Return the commands of a ``console`` block; each begins with a dollar sign."""
    assert block.lines[0].startswith("$ "), f"{block} does not begin with a command"
    found: list[tuple[str, list[str]]] = []
    for line in block.lines:
        if line.startswith("$ "):
            found.append((_typed(line[2:]), []))
        else:
            found[-1][1].append(line)
    return [Step(command, tuple(output)) for command, output in found]


def _typed(line: str) -> str:
    return line.partition("  # ")[0].rstrip()


def commands(page: Path) -> list[str]:
    """Return every command of a page, in ``console`` and ``bash`` blocks and in the text."""
    found: list[str] = []
    for block in blocks(page):
        if block.language == "console":
            found += [step.command for step in steps(block)]
        elif block.language == "bash":
            found += [_typed(line) for line in block.lines]
    return found + [span for span in spans(page) if span.startswith(_PROGRAMS)]


def prose(page: Path) -> Iterator[str]:
    """Yield the lines of a page that are not in a code block."""
    inside = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield line


def spans(page: Path) -> list[str]:
    """Return the code spans in the text of a page, without backticks; a span may continue in the next line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", "\n".join(prose(page)))]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    without_code = re.sub(r"`[^`]*`", "", "\n".join(prose(page)))
    return _LINK.findall(without_code)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub generates them."""
    found: set[str] = set()
    for line in prose(page):
        if re.match(r"#{1,6} ", line):
            anchor = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
            again = sum(name == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", name) is not None for name in found)
            found.add(f"{anchor}-{again}" if again else anchor)
    return found
