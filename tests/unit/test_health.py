"""health.py: what a kubelet and a Prometheus are told, over a real socket."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import pytest

from region_operator import metrics  # noqa: F401 - registers what is served
from region_operator.health import SILENCE_SECONDS, Health, serve


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_live_as_long_as_the_loop_turns() -> None:
    clock = Clock()
    health = Health(clock=clock)
    clock.now = SILENCE_SECONDS
    assert health.answer("/healthz")[0] == 200
    clock.now += 1
    code, _, text = health.answer("/healthz")
    assert (code, text) == (503, b"the event loop has not turned for 31 s\n")


async def test_a_beat_is_seen() -> None:
    clock = Clock()
    health = Health(clock=clock)
    clock.now = 1000
    beating = asyncio.ensure_future(health.beat())
    await asyncio.sleep(0)
    beating.cancel()
    assert health.answer("/healthz")[0] == 200


def test_ready_after_a_reconcile_and_never_without_a_reason_why_not() -> None:
    health = Health()
    assert health.answer("/readyz")[::2] == (503, b"no reconcile has ended yet\n")
    health.ready()
    assert health.answer("/readyz")[0] == 200
    health.unready("the database cannot be reached")
    assert health.answer("/readyz")[::2] == (503, b"the database cannot be reached\n")


def test_a_standby_is_ready_and_says_what_it_is() -> None:
    health = Health()
    health.standby()
    assert health.answer("/readyz")[::2] == (200, b"standby\n")
    health.unready("the Lease cannot be had")
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
