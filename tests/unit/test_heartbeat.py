"""runtime/heartbeat.py: one request for each beat, to a real server, and nothing that waits for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from region_operator.runtime import heartbeat
from region_operator.runtime.heartbeat import Heartbeat
from tests.harness.upstream import Asked, Upstream, replying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "/ping/3f9c"


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("region_operator_heartbeats_total", {"result": result}) or 0.0


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Heartbeat]:
    heart = Heartbeat(url)
    task = asyncio.create_task(heart.run())
    yield heart
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def beat(heart: Heartbeat, result: str) -> None:
    """Beat, and wait until a request more has this result."""
    before = counted(result)
    heart.beat()
    async with asyncio.timeout(30):
        while counted(result) == before:  # noqa: ASYNC110 - the metric tells nobody
            await asyncio.sleep(0.01)


async def test_a_beat_is_a_get(server: Upstream) -> None:
    async with running(server.on(SECRET, replying(200))) as heart:
        await beat(heart, "sent")
        await beat(heart, "sent")
    assert [(asked.method, asked.path) for asked in server.asked] == [("GET", SECRET)] * 2


async def test_a_failure_is_logged_once_without_the_url_and_so_is_its_end(
    server: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=heartbeat.__name__)
    answers = [replying(503), replying(503), replying(200), replying(200)]
    async with running(server.on(SECRET, *answers)) as heart:
        for result in ("failed", "failed", "sent", "sent"):
            await beat(heart, result)
    assert [record.message for record in caplog.records] == ["heartbeat not sent", "heartbeat sent again"]
    assert [record.reason for record in caplog.records[:1]] == ["the answer is 503"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", [f"http://127.0.0.1:1{SECRET}", f"no-url{SECRET}", f"http://[{SECRET}"])
async def test_whatever_is_wrong_with_the_url_no_line_has_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(url) as heart:
        await beat(heart, "failed")
    assert [record.message for record in caplog.records] == ["heartbeat not sent"]
    assert SECRET not in str([vars(record) for record in caplog.records])


async def test_a_server_without_an_answer_holds_nobody_up(server: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "TIMEOUT_SECONDS", 0.2)

    def hang(asked: Asked) -> None:
        asked.closing.wait(30)

    async with running(server.on(SECRET, hang)) as heart:
        await beat(heart, "failed")
