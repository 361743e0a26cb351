"""Pictures of every page for people to judge: light, dark and narrow. CI keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import console_regions as regions
from tests.harness import console_values as made
from tests.harness.console_values import all_views

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.harness.pages_server import Pages

pytestmark = pytest.mark.browser

IN_DOCS = {
    "overview": ("", "light", "main > .columns", 8),
    "tick-dark": (made.TICK, "dark", "section[aria-labelledby=logs]", 8),
    "ledger": ("ledger", "light", ".names li:nth-child(25)", 0),
}
"""The pictures of docs/pictures that are of made-up values: each page and look, and how far below what it ends."""
PAGES = {type(view).__name__: path for path, view in all_views().items()}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("look", "scheme", "width"), [("light", "light", 1280), ("dark", "dark", 1280), ("narrow", "light", 400)]
)
def test_picture_of(
    browser: Browser, pages: Pages, pictures: Path, name: str, look: str, scheme: Any, width: int
) -> None:
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    tab.goto(pages.url + PAGES[name])
    tab.screenshot(
        path=pictures / f"{name}-{look}.png", clip={"x": 0, "y": 0, "width": width, "height": 2000}, full_page=True
    )
    tab.close()
    assert (pictures / f"{name}-{look}.png").stat().st_size > 5_000


@pytest.mark.parametrize("look", ["light", "dark"])
def test_picture_of_a_paused_region_of_one_that_is_gone_and_of_a_quiet_day(
    browser: Browser, pages: Pages, pictures: Path, look: Any
) -> None:
    pages.views |= {
        "regions/FR-IDF": regions.paused_region(),
        "regions/GONE": regions.gone_region(),
        "": made.overview(troubles=False),
        "forecast": made.forecast(crowded=False),
    }
    tab = browser.new_page(color_scheme=look, viewport={"width": 1280, "height": 900})
    for path, name in (("regions/FR-IDF", "PausedRegion"), ("regions/GONE", "GoneRegion"), ("", "QuietOverview")):
        tab.goto(pages.url + path)
        tab.screenshot(path=pictures / f"{name}-{look}.png")
    tab.close()


@pytest.mark.parametrize("name", IN_DOCS)
def test_picture_of_the_docs(browser: Browser, pages: Pages, pictures: Path, name: str) -> None:
    look: Any
    path, look, last, margin = IN_DOCS[name]
    tab = browser.new_page(color_scheme=look, viewport={"width": 1280, "height": 900})
    tab.goto(pages.url + path, wait_until="networkidle")
    end = tab.locator(last).bounding_box()
    assert end
    height = end["y"] + end["height"] + margin
    tab.screenshot(
        path=pictures / f"docs-{name}.png", clip={"x": 0, "y": 0, "width": 1280, "height": height}, full_page=True
    )
    tab.close()
