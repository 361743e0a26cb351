"""Whether a worker is live, and what it serves."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http import HTTPStatus

import pytest
from prometheus_client import REGISTRY

from region_worker import health, metrics
from region_worker.health import Health, serve


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def turn(probed: Health) -> None:
    """Let the event loop turn once."""
    beating = asyncio.create_task(probed.beat())
    await asyncio.sleep(0)
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


async def test_live_while_the_loop_turns_and_tasks_are_looked_for() -> None:
    clock = Clock()
    probed = Health(look_seconds=120, clock=clock)
    assert probed.answer("/healthz")[0] is HTTPStatus.OK
    clock.now += 100
    assert probed.answer("/healthz") == (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "text/plain; charset=utf-8",
        b"the event loop has not turned for 100 s\n",
    )
    await turn(probed)
    assert probed.answer("/healthz")[0] is HTTPStatus.OK
    clock.now += 25
    assert probed.answer("/healthz")[2] == b"the worker has not looked for a task for 125 s\n"
    probed.looked()
    assert probed.answer("/healthz")[0] is HTTPStatus.OK


async def test_a_loop_that_hangs_fails_the_probe_although_it_cannot_answer_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "SILENCE_SECONDS", 0.2)
    probed = Health(look_seconds=120)
    server = serve(probed, 0)
    url = f"http://127.0.0.1:{server.server_port}/healthz"
    try:
        beating = asyncio.create_task(probed.beat())
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - the loop hangs
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, timeout=10)  # noqa: ASYNC210
        caught.value.close()
        assert caught.value.code == HTTPStatus.SERVICE_UNAVAILABLE
        beating.cancel()
    finally:
        server.shutdown()
        server.server_close()


def test_metrics_are_served_and_other_paths_are_not() -> None:
    probed = Health(look_seconds=120)
    metrics.show_depth({"due": 3, "held": 2, "later": 1, "running": 4, "failed": 0, "oldest_seconds": 7.5})
    metrics.count_requests([200, 304, 404, 503, None, None])
    code, _, body = probed.answer("/metrics")
    assert code is HTTPStatus.OK
    assert b'region_worker_queue_tasks{state="due"} 3.0' in body
    assert b"region_worker_oldest_due_task_seconds 7.5" in body
    assert REGISTRY.get_sample_value("region_worker_requests_total", {"answer": "none"}) == 2
    assert REGISTRY.get_sample_value("region_worker_requests_total", {"answer": "304"}) == 1
    asked_for = "application/openmetrics-text;version=1.0.0"
    assert probed.answer("/metrics", asked_for)[1].startswith("application/openmetrics-text")
    assert probed.answer("/elsewhere")[0] is HTTPStatus.NOT_FOUND
