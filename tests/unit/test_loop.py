"""loop.py: what the end of an attempt means for liveness, readiness, the log and the next attempt."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.reconcile import RECONCILE_LIMIT_SECONDS
from region_operator.runtime.health import PATIENCE_SECONDS
from tests.harness.clock import Clock
from tests.unit.standins import crash, fail, hang, leave_some, live_after, make_loop, succeed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from region_operator.loop import ReconcileLoop


async def attempt_when_due(loop: ReconcileLoop) -> None:
    await loop.timer.wait(asyncio.Event().wait())
    await loop.attempt("n", "default", "u")


@pytest.mark.parametrize(("act", "pause"), [(succeed, 300.0), (leave_some, 0.1), (fail, 1.0), (crash, 1.0)])
async def test_after_a_reconcile_the_next_is_expected_however_it_ended(
    act: Callable[[], Awaitable[Any]], pause: float
) -> None:
    clock = Clock()
    loop = make_loop(clock, act)
    await attempt_when_due(loop)
    assert await live_after(loop, clock, pause + PATIENCE_SECONDS)
    assert not await live_after(loop, clock, 1)


async def test_a_reconcile_that_outlasts_its_limit_is_no_progress() -> None:
    clock = Clock()
    loop = make_loop(clock, hang)
    task = asyncio.ensure_future(attempt_when_due(loop))
    await asyncio.sleep(0.01)
    assert await live_after(loop, clock, RECONCILE_LIMIT_SECONDS + PATIENCE_SECONDS)
    assert not await live_after(loop, clock, 1)
    task.cancel()


async def test_a_failure_that_lasts_is_logged_once_and_once_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    acts = [fail, fail, crash, crash, fail, succeed, succeed]
    loop = make_loop(Clock(), lambda: acts.pop(0)())
    while acts:
        await attempt_when_due(loop)
        loop.timer.end_back_off()
    lines = [(record.message, record.levelname, record.attempts, bool(record.exc_info)) for record in caplog.records]  # type: ignore[attr-defined]
    assert lines == [
        ("not reconciled", "WARNING", 1, False),
        ("not reconciled", "ERROR", 3, True),
        ("not reconciled", "WARNING", 5, False),
        ("reconciled again", "INFO", 5, False),
    ]


async def test_what_is_left_over_is_due_at_once_and_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    acts = [leave_some, leave_some, succeed]
    loop = make_loop(Clock(), lambda: acts.pop(0)())
    while acts:
        await attempt_when_due(loop)
        assert loop.health.answer("/readyz")[0] == 200
        loop.timer.wake()
    lines = [(record.message, record.levelname, record.attempts) for record in caplog.records]  # type: ignore[attr-defined]
    assert lines == [("not finished", "INFO", 1), ("reconciled again", "INFO", 2)]


async def test_what_others_change_is_in_force_unknown_to_the_ledger_and_wakes_the_timer() -> None:
    clock = Clock()
    loop = make_loop(clock, succeed)
    await loop.attempt("n", "default", "u")
    await loop.timer.wait(asyncio.sleep(0))
    before = loop.reconciler.ledger.lag
    loop.hear_of_change()
    clock.now += 100
    assert loop.reconciler.ledger.lag == before + timedelta(seconds=100)
    await asyncio.wait_for(loop.timer.wait(asyncio.Event().wait()), 5)
