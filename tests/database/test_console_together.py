"""Many people look at the overview at once: they cost one question, and each gets the form that was asked for."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.harness.console import KnownCluster, console, fill, scheduler_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Browser = TestClient[web.Request, web.Application]

LAST = datetime.now(UTC).replace(second=0, microsecond=0)
HTML, JSON = "text/html", "application/json"


@pytest.fixture
async def browser(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Browser]:
    monkeypatch.setattr("region_operator.console.server.OVERVIEW_SECONDS", 60.0)  # however slowly all are answered
    fill(database, 30, first=LAST - timedelta(hours=1), last=LAST)
    async with console(database, KnownCluster(scheduler_body())) as browser:
        yield browser


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """All statements that engines of this process send."""
    sent: list[str] = []

    def note(*arguments: object) -> None:
        sent.append(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


async def look(browser: Browser, query: str = "", *, accept: str, encoding: str = "gzip") -> str:
    """Return the overview as its bytes came, unpacked if they were packed."""
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    async with browser.get(f"/{query}", headers=headers, auto_decompress=False) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        assert answer.content_type == accept
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        return (gzip.decompress(body) if encoding == "gzip" else body).decode()


async def test_twenty_who_look_at_once_ask_the_database_once(browser: Browser, statements: list[str]) -> None:
    pages = await asyncio.gather(*(look(browser, accept=HTML) for _ in range(20)))
    assert len(set(pages)) == 1
    counting = [statement for statement in statements if "tick_hour" in statement]
    assert len(counting) == 1


async def test_nobody_gets_what_another_asked_for(browser: Browser) -> None:
    first, plain, wanted, said, other = await asyncio.gather(
        look(browser, accept=HTML),
        look(browser, accept=HTML, encoding="identity"),
        look(browser, "?format=html", accept=HTML),
        look(browser, accept=JSON),
        look(browser, "?v=7", accept=HTML),
    )
    assert first == plain == wanted
    assert json.loads(said)["kind"] == "Overview"
    assert "?v=7&amp;format=json" in other
    assert "v=7" not in first
    assert json.loads(await look(browser, "?v=7&format=json", accept=JSON)) == json.loads(said)
