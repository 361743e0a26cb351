"""The pages for people who use a keyboard, a screen reader, a narrow screen or a dark one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.console.region_views import View
from tests.harness import console_regions as regions
from tests.harness.console_values import all_views, overview

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.harness.pages_server import Pages

pytestmark = pytest.mark.browser

PATHS = list(all_views())
NAMES = [type(view).__name__ for view in all_views().values()]
every_page = pytest.mark.parametrize("path", PATHS, ids=NAMES)
SERIOUS = ("serious", "critical")


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing(browser: Browser, pages: Pages, axe: str, path: str, scheme: Any, width: int) -> None:
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    tab.goto(pages.url + path)
    tab.evaluate(axe)
    found = tab.evaluate("async () => (await axe.run()).violations")
    tab.close()
    assert not found, json.dumps(
        [[each["id"], each["impact"], [node["html"][:200] for node in each["nodes"][:3]]] for each in found], indent=1
    )


def widest(tab: Page) -> tuple[int, int]:
    """Return how wide the page's content is, and how wide the window."""
    found: list[int] = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return found[0], found[1]


@every_page
@pytest.mark.tab(viewport={"width": 400, "height": 800})
def test_a_narrow_screen_needs_no_scrolling_to_the_side(page: Page, pages: Pages, path: str) -> None:
    page.goto(pages.url + path)
    content, window = widest(page)
    assert content <= window


@pytest.mark.tab(viewport={"width": 400, "height": 800})
def test_a_number_is_not_broken_in_two(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    found = page.evaluate(
        "[...document.querySelectorAll('.tiles strong')].filter(number => number.scrollWidth > number.clientWidth"
        " || number.offsetHeight > 1.5 * parseFloat(getComputedStyle(number).lineHeight)).map(each => each.textContent)"
    )
    assert found == []


@pytest.mark.tab(viewport={"width": 400, "height": 800})
def test_not_even_a_long_word_makes_a_page_wider(page: Page, pages: Pages) -> None:
    long = "x" * 300
    pages.views["regions/FR-IDF"] = regions.region(code=long, name=long, why=long, words=long, written=long)
    page.goto(f"{pages.url}regions/FR-IDF")
    content, window = widest(page)
    assert content <= window


def test_the_first_tab_skips_to_the_content(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


@every_page
def test_the_keyboard_sees_where_it_is_and_reaches_the_end(page: Page, pages: Pages, path: str) -> None:
    page.goto(pages.url + path)
    page.emulate_media(reduced_motion="reduce")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        there = page.evaluate(
            "(e => e === document.body ? null : [e.outerHTML.slice(0, 200), getComputedStyle(e).outlineStyle])"
            "(document.activeElement)"
        )
        if there is None:
            break
        assert there[1] != "none", there[0]
        reached.add(there[0])
    assert len(reached) > 5


def test_a_screen_reader_hears_the_structure(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    heard = page.locator("body").aria_snapshot()
    for line in (
        "- banner:",
        '- navigation "Console":',
        "- main:",
        "- contentinfo:",
        f'heading "{overview().attention_total} regions need a look" [level=1]',
    ):
        assert line in heard, heard
    page.goto(f"{pages.url}ledger")
    heard = page.locator("ul.names").aria_snapshot()
    assert "failed in" in heard
    page.goto(f"{pages.url}regions")
    heard = page.locator("tbody tr").first.aria_snapshot()
    assert "last 10 ticks" in heard


def test_views_have_a_page_each() -> None:
    assert set(NAMES) == {kind.__name__ for kind in View.__args__}
