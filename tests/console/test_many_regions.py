"""The real console with 10,000 regions in a real Postgres, seen in a real browser.

tests/database has the same console without a browser, tests/cluster beside a real API server.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.database.migrate import migrate
from region_operator.plan.status import status_after_success
from region_operator.plan.summary import ReconcileSummary
from region_operator.scheduler import Scheduler
from region_tick.database_url import DatabaseUrl
from tests.conftest import new_database
from tests.harness.console import KnownCluster, console, fill, scheduler_body
from tests.harness.in_thread import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from devcluster.server import Server

pytestmark = pytest.mark.browser

REGIONS = 10_000
LAST = datetime.now(UTC).replace(second=0, microsecond=0)
LAST -= timedelta(minutes=LAST.minute % 5)
FIRST = LAST - timedelta(minutes=90)
TICK = f"regions/R00001/ticks/{LAST.isoformat().replace('+00:00', 'Z')}"
PAGES = {
    "Overview": "",
    "RegionList": "regions?sort=trouble",
    "Ledger": "ledger?from=2h",
    "FailedTicks": "ledger?from=2h&state=failed",
    "Region": "regions/R00001",
    "TickList": "regions/R00001/ticks?state=failed",
    "Tick": TICK,
    "NextTicks": "next",
}


@pytest.fixture(scope="module")
def address(postgres: Server) -> Iterator[str]:
    """The address of the console. Its pages need no API server but for its RegionScheduler.

    The browser's driver has this thread's event loop, so the database is migrated in another thread.
    """
    cluster = KnownCluster(scheduler_body(**_status()))
    with new_database(postgres) as name, ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(DatabaseUrl.parse(postgres.url(name)))).result()
        fill(postgres.url(name), REGIONS, first=FIRST, last=LAST)
        with in_thread(console(postgres.url(name), cluster)) as client:
            yield str(client.make_url("/"))


def _status() -> dict[str, Any]:
    """Return what the operator writes of the regions that `fill` makes, before it knows of bad rows."""
    known = Scheduler.from_object(scheduler_body())
    paused = REGIONS // 50
    summary = ReconcileSummary(
        active=REGIONS, quarantined=(), held={}, changed=False, scheduled=REGIONS - paused, paused=paused
    )
    return status_after_success(known, summary, now=FIRST)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_real_console(page: Page, address: str, pictures: Path, name: str) -> None:
    answer = page.goto(address + PAGES[name])
    assert answer
    assert answer.status == 200, page.locator("body").text_content()
    assert len(gzip.compress(answer.body())) < 200_000
    page.screenshot(path=pictures / f"{name}-{REGIONS}.png")


@pytest.mark.tab(bypass_csp=True)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_on_a_page_of_the_real_console(page: Page, address: str, axe: str, name: str) -> None:
    page.goto(address + PAGES[name])
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    assert not found, json.dumps([[each["id"], [node["html"][:200] for node in each["nodes"][:3]]] for each in found])


def test_from_the_overview_by_clicks_to_why_a_tick_failed(page: Page, address: str) -> None:
    page.goto(address)
    tile = page.locator("ul.tiles a", has_text="failing")
    failing = tile.locator("strong").text_content()
    tile.click()
    page.wait_for_url("**/regions?state=failing")
    assert page.locator("main").get_by_text(f"{failing} regions match").count() == 1
    page.get_by_role("link", name="R00001", exact=True).click()
    page.locator("table.cards tbody th a").first.click()
    assert page.locator("ol.chain li").count() > 1
    assert "ValueError" in str(page.locator("main").text_content())
    assert "<b>no</b>" in str(page.locator("main").text_content())


def test_a_filter_that_cannot_be_is_answered_by_a_page_that_says_what_can(page: Page, address: str) -> None:
    page.goto(f"{address}regions")
    page.goto(f"{address}ledger?from=yesterday")
    assert page.locator("h1").text_content() == "Bad Request"
    assert "2026-11-30T01:05:00Z" in str(page.locator("main").text_content())


def test_codes_are_found_by_their_beginning(page: Page, address: str) -> None:
    page.goto(f"{address}regions")
    page.get_by_role("textbox", name="Code").fill("r0999*")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/regions?*")
    assert page.locator("table.cards tbody tr").count() == 10
