"""Every link in the project's pages has a target."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.docs.markdown import PAGES, anchors, blocks, links, spans

# A file of the project, named in the text.
OURS = re.compile(r"(?:docs|configs|entry|experiments|container|benchmarks|tests)/[\w./-]*\.(?:md|py|yaml|txt|csv)")
# Files that the reader creates.
YOURS = {"configs/local/default.yaml", "configs/local/mode/remote.yaml"}
YOURS |= {block.file for page in PAGES for block in blocks(page)}


def wrong_links(page: Path) -> list[str]:
    """Return the links of a page without a target, and external links that are not https."""
    wrong = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if "://" in link:
            wrong += [] if link.startswith("https://") else [link]
        elif not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_have_a_target(page: Path) -> None:
    assert wrong_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = {name for span in spans(page) for name in OURS.findall(span)} - YOURS
    assert [name for name in sorted(named) if not (PROJECT / name).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), {PROJECT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link}
        ahead |= {target for target in targets if target.suffix == ".md"} - reached
    assert reached == set(PAGES)


PAGE = """\
# First: `one`
[there](#first-one) [twice](#again-1) [nowhere](#third) [gone](gone.md) ![a picture](a.png) [other](other.md#it)
## Again
## Again
[plain](http://example.com) [safe](https://example.com) `[code](none.md)`
```
[block](none.md)
```
"""


def test_a_wrong_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "other.md").write_text("# That\n")
    assert wrong_links(tmp_path / "page.md") == ["#third", "gone.md", "a.png", "other.md#it", "http://example.com"]
