"""console/static/console.js: a page changes by itself, and a reader is not disturbed. Without it every page works."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from region_operator.console.request_views import Error, ErrorReason
from tests.harness import console_regions as regions
from tests.harness import console_values as made

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.harness.pages_server import Pages

pytestmark = pytest.mark.browser

HEADLINE = f"{made.overview().attention_total} regions need a look"
SOON = 15_000
"""In milliseconds: longer than the pages wait before they ask again."""


def change(pages: Pages) -> None:
    """Change the overview's message."""
    view = made.overview()
    pages.views[""] = replace(view, ready=replace(view.ready, message="changed meanwhile"))


def test_a_page_shows_what_changed(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    change(pages)
    page.get_by_text("changed meanwhile").wait_for(timeout=SOON)


def test_focus_scroll_and_opened_details_stay(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    page.locator("#hold-deletion summary").click()
    link = page.locator("main tbody a", has_text="KE-30")
    link.focus()
    page.evaluate("scrollTo(0, 300)")
    change(pages)
    page.get_by_text("changed meanwhile").wait_for(timeout=SOON, state="attached")
    assert page.evaluate("document.activeElement.textContent") == "KE-30"
    assert page.evaluate("scrollY") == 300
    assert page.locator("#hold-deletion").evaluate("details => details.open")


def test_a_field_that_is_being_filled_stays(page: Page, pages: Pages) -> None:
    page.goto(f"{pages.url}regions")
    page.locator("input[name=code]").fill("FR-")
    asked = len(pages.asked)
    page.wait_for_timeout(7_000)
    assert page.locator("input[name=code]").input_value() == "FR-"
    assert len(pages.asked) == asked


def test_the_button_pauses_and_resumes(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    button = page.get_by_role("button", name="Pause refreshing")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    change(pages)
    page.wait_for_timeout(7_000)
    assert page.get_by_text("changed meanwhile").count() == 0
    button.click()
    page.get_by_text("changed meanwhile").wait_for(timeout=SOON)


def test_a_hidden_tab_asks_nothing(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    asked = len(pages.asked)
    page.wait_for_timeout(7_000)
    assert len(pages.asked) == asked
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(1_000)
    assert len(pages.asked) > asked


def test_a_console_that_is_away_leaves_the_page_and_says_so(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    pages.broken = True
    page.get_by_text("Not refreshed").wait_for(timeout=SOON)
    assert page.get_by_role("heading", level=1).text_content() == HEADLINE
    pages.broken = False
    page.locator("#refresh-note:empty").wait_for(timeout=2 * SOON, state="attached")


def test_a_page_that_is_not_refreshed_says_why(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    away = Error(reason=ErrorReason.DATABASE_UNAVAILABLE, message="the database cannot be reached", remedy="wait")
    pages.views[""] = away
    page.get_by_text("Not refreshed: the database cannot be reached. What you see may be old.").wait_for(timeout=SOON)
    assert page.get_by_role("heading", level=1).text_content() == HEADLINE


def test_a_page_of_what_is_away_shows_all_when_it_is_back(page: Page, pages: Pages) -> None:
    pages.views[""] = Error(reason=ErrorReason.DATABASE_UNAVAILABLE, message="it is away", remedy="wait")
    page.goto(pages.url)
    assert page.get_by_role("heading", level=1).text_content() == "No answer from the database"
    pages.views[""] = made.overview()
    page.get_by_role("heading", name=HEADLINE).wait_for(timeout=SOON)


def test_a_click_into_the_ledger_leads_to_the_ticks_of_that_time(page: Page, pages: Pages) -> None:
    pages.views[f"regions/{regions.ledger().rows[0].code}/ticks"] = regions.tick_list()
    page.goto(f"{pages.url}ledger")
    plot = page.locator("svg.heat").bounding_box()
    assert plot
    page.mouse.click(plot["x"] + plot["width"] * 0.5 + 1, plot["y"] + 10)
    page.wait_for_url("**/ticks?*")
    assert "since=2026-11-29T21%3A10%3A00.000Z" in page.url
    assert "before=2026-11-29T21%3A20%3A00.000Z" in page.url


def test_a_bar_of_the_ledger_opens_in_a_tab_of_its_own_as_any_link_does(page: Page, pages: Pages) -> None:
    pages.views["regions/DE-BE/ticks"] = regions.tick_list()
    page.goto(f"{pages.url}ledger")
    plot = page.locator("svg.heat").bounding_box()
    assert plot
    bar = plot["x"] + plot["width"] * 0.5 + 1, plot["y"] + 10
    with page.context.expect_page() as by_button:
        page.mouse.click(*bar, button="middle")
    page.keyboard.down("Control")
    with page.context.expect_page() as by_key:
        page.mouse.click(*bar)
    page.keyboard.up("Control")
    assert "since=2026-11-29T21%3A10%3A00.000Z" in by_key.value.url
    assert by_button.value.url == by_key.value.url
    assert page.url.endswith("/ledger")


@pytest.mark.tab(java_script_enabled=False)
def test_without_javascript_every_page_is_reached_by_links(page: Page, pages: Pages) -> None:
    page.goto(pages.url)
    for section in ("Regions", "Ledger", "Plan", "Forecast", "Overview"):
        page.get_by_role("navigation", name="Console").get_by_role("link", name=section).click()
        assert page.locator("h1").count() == 1
    assert page.get_by_role("button", name="Pause refreshing").count() == 0
    page.locator("main tbody a", has_text="FR-IDF").click()
    assert page.locator("h1").text_content() == "FR-IDF"
    page.locator("main tbody a").first.click()
    assert page.locator("ol.chain li").count() == len(made.tick().chain)
