"""The console on a database that holds what seldom happens: unknown causes, foreign reasons, missing rights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.database.schema import run
from tests.harness.console import KnownCluster, console, fill, scheduler_body
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Browser = TestClient[web.Request, web.Application]

FIRST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
WHOLE = {"from": "2d"}


@pytest.fixture
def cluster() -> KnownCluster:
    return KnownCluster(scheduler_body())


@pytest.fixture
async def browser(database: str, cluster: KnownCluster) -> AsyncIterator[Browser]:
    fill(database, 60, first=FIRST, last=FIRST + timedelta(hours=3))
    async with console(database, cluster) as browser:
        yield browser


async def get(browser: Browser, path: str, query: dict[str, str] | None = None, *, status: int = 200) -> Any:
    async with browser.get(f"/{path}", params={"format": "json", **(query or {})}) as answer:
        found = await answer.json()
        assert answer.status == status, found
        return found


async def test_a_pause_of_which_nobody_knows_the_author_has_a_page(browser: Browser, database: str) -> None:
    run(database, "UPDATE region_tick.region_schedule SET suspended_by = NULL WHERE code = 'R00050'")
    page = await get(browser, "regions/R00050")
    assert page["state"] == "paused"
    assert page["pause"]["by"] is None


async def test_the_ledger_finds_regions_whose_ticks_a_suspension_counts(browser: Browser, database: str) -> None:
    run(
        database,
        "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, suspended_by,"
        f" first_tick_at, last_tick_at, ticks, counted_until) SELECT '{SOURCE}', id::text, '{FIRST}', code, '',"
        f" 'paused by kubectl', '{FIRST}', '{FIRST}', 1, '{FIRST}' FROM region_index WHERE code = 'R00050'",
    )
    for query in ({"state": "skipped"}, {"reason": "suspended"}, {"state": "skipped,failed", "reason": "suspended"}):
        page = await get(browser, "ledger", WHOLE | query)
        assert [row["code"] for row in page["rows"]] == ["R00050"], query
        assert "skipped" in page["rows"][0]["buckets"]
    assert (await get(browser, "ledger", WHOLE | {"state": "skipped", "reason": "capacity"}))["total"] == 0
