"""The pages: what they link to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def test_there_are_pages() -> None:
    assert CHECKOUT / "docs/architecture.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    targets = {target.replace("\\_", "_") for target in _LINK.findall(page.read_text())}
    assert [target for target in targets if not (page.parent / target).exists()] == []
