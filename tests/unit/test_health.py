"""runtime/health.py: what a kubelet and a Prometheus get over a real socket."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import pytest

from region_operator.runtime import metrics  # noqa: F401 - registers what is served
from region_operator.runtime.health import PATIENCE_SECONDS, SILENCE_SECONDS, Health, serve
from tests.harness.clock import Clock


async def beat(health: Health) -> None:
    beating = asyncio.ensure_future(health.beat())
    await asyncio.sleep(0)
    beating.cancel()


def test_live_as_long_as_the_loop_turns() -> None:
    clock = Clock()
    health = Health(clock=clock)
    clock.now = SILENCE_SECONDS
    assert health.answer("/healthz")[0] == 200
    clock.now += 1
    code, _, text = health.answer("/healthz")
    assert (code, text) == (503, b"the event loop has not turned for 31 s\n")


@pytest.mark.parametrize(
    ("expected", "passed", "live"),
    [
        (600, 600 + PATIENCE_SECONDS, True),  # a reconcile that takes long has a limit of its own
        (600, 601 + PATIENCE_SECONDS, False),  # and this one has outlasted it
        (1, 1 + PATIENCE_SECONDS, True),
        (1, 2 + PATIENCE_SECONDS, False),  # the timer is dead
        (None, 1e9, True),  # a standby, or no RegionScheduler
    ],
)
async def test_live_as_long_as_reconciles_begin_and_end(expected: float | None, passed: float, live: bool) -> None:
    clock = Clock()
    health = Health(clock=clock)
    if expected is not None:
        health.expect_progress(expected)
    clock.now = passed
    await beat(health)
    code, _, text = health.answer("/healthz")
    assert code == (200 if live else 503)
    assert text.startswith(b"ok" if live else b"reconciles make no progress: one should have begun or ended 61 s ago")


async def test_failures_are_progress_and_a_scheduler_that_is_gone_needs_none() -> None:
    clock = Clock()
    health = Health(clock=clock)
    for _ in range(100):
        health.expect_progress(30)
        health.mark_unready("the database cannot be reached")
        clock.now += 30
        await beat(health)
        assert (health.answer("/healthz")[0], health.answer("/readyz")[0]) == (200, 503)
    health.expect_nothing()
    clock.now += 1e6
    await beat(health)
    assert health.answer("/healthz")[0] == 200


async def test_a_beat_is_seen() -> None:
    clock = Clock()
    health = Health(clock=clock)
    clock.now = 1000
    await beat(health)
    assert health.answer("/healthz")[0] == 200


def test_ready_after_a_reconcile_and_never_without_a_reason_why_not() -> None:
    health = Health()
    assert health.answer("/readyz")[::2] == (503, b"no reconcile has ended yet\n")
    health.mark_ready()
    assert health.answer("/readyz")[::2] == (200, b"ok\n")
    health.mark_ready("schema revision: 0001")
    assert health.answer("/readyz")[::2] == (200, b"ok\nschema revision: 0001\n")
    health.mark_unready("the database cannot be reached")
    assert health.answer("/readyz")[::2] == (503, b"the database cannot be reached\n")


def test_a_standby_is_ready_and_says_what_it_is() -> None:
    health = Health()
    health.mark_standby()
    assert health.answer("/readyz")[::2] == (200, b"standby\n")
    health.mark_unready("the Lease cannot be had")
    assert health.answer("/readyz")[::2] == (503, b"the Lease cannot be had\n")


def test_it_is_served() -> None:
    server = serve(Health(), 0)
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(f"{base}/metrics", timeout=5) as answer:
            assert b"region_operator_reconciles_total" in answer.read()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{base}/other", timeout=5)
        caught.value.close()
        assert caught.value.code == 404
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text", b"# EOF\n"),
    ],
)
def test_metrics_come_in_the_format_that_is_asked_for(accept: str, content_type: str, end: bytes) -> None:
    server = serve(Health(), 0)
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith(content_type)
        assert answer.read().endswith(end)
    server.shutdown()
    server.server_close()
