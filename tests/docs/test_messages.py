"""Every message that ``docs/troubleshooting.md`` quotes is in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PROJECT
from tests.docs.markdown import prose

PAGE = PROJECT / "docs" / "troubleshooting.md"
CODE = (
    PROJECT / "run.py",
    *(file for name in ("experiments", "entry", "container") for file in (PROJECT / name).rglob("*.py")),
)
ANY = "…"
FEWEST_MESSAGES = 40


def templates(file: Path) -> Iterator[str]:
    """Yield the strings of a module, with three dots for the values of f-strings."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else ANY for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def quoted() -> list[str]:
    """Return the messages that the page quotes, which are code in bold."""
    text = "\n".join(prose(PAGE))
    return [" ".join(message.split()) for message in re.findall(r"\*\*`([^`]+)`\*\*", text)]


def test_every_quoted_message_is_in_the_code() -> None:
    known = {" ".join(template.split()) for file in CODE for template in templates(file)}
    # The command line prints this before a message.
    searched = {message: message.removeprefix("error: ") for message in quoted()}
    assert [message for message, text in searched.items() if not any(text in template for template in known)] == []


def test_quotes_are_long_enough_to_identify_a_message() -> None:
    assert len(quoted()) >= FEWEST_MESSAGES
    assert [message for message in quoted() if len(message.replace(ANY, "")) < 15] == []
    assert len(set(quoted())) == len(quoted())


def test_a_template_has_dots_for_its_values(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('a = f"no {key!r} in " f"{place}: fix " "it"\nb = "plain"\n')
    assert set(templates(tmp_path / "module.py")) >= {f"no {ANY} in {ANY}: fix it", "plain"}
