"""The pages: what they link to exists, and so does the heading that an anchor names."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")
_BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> set[tuple[Path, str]]:
    """Return the files and anchors that a page links to. An anchor may be empty."""
    found = _LINK.findall(page.read_text())
    return {(page.parent / target.replace("\\_", "_") if target else page, anchor) for target, anchor in found}


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub makes them: a heading that comes again gets a number."""
    seen: Counter[str] = Counter()
    made = set()
    for heading in re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        made.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return frozenset(made)


def test_there_are_pages() -> None:
    assert CHECKOUT / "docs/architecture.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_all_that_a_page_links_to_exists(page: Path) -> None:
    assert [str(target) for target, _ in links(page) if not target.exists()] == []
    named = [(target, anchor) for target, anchor in links(page) if anchor and target.suffix == ".md"]
    assert [f"{target}#{anchor}" for target, anchor in named if anchor not in anchors(target.resolve())] == []


def test_a_heading_has_the_anchor_that_github_gives_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# `spec.tick` and [more](x.md)\n```\n# no heading\n```\n## Why?\n## Why?\n")
    assert anchors(page) == {"spectick-and-more", "why", "why-1"}
