"""The console on a database that holds what seldom happens: unknown causes, foreign reasons, missing rights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.database.schema import run
from tests.harness.console import KnownCluster, console, fill, scheduler_body

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
