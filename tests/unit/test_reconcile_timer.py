"""runtime/reconcile_timer.py, with a clock and a jitter that the test sets."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from region_operator.runtime.backoff import LAST_RETRY_SECONDS
from region_operator.runtime.reconcile_timer import (
    LONGEST_GATHERING_SECONDS,
    SHORTEST_GATHERING_SECONDS,
    ReconcileTimer,
)
from tests.harness.clock import Clock


def never() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_the_first_is_due_at_once() -> None:
    await asyncio.wait_for(ReconcileTimer(clock=Clock(1000.0)).wait(never()), 5)


async def test_nothing_is_due_before_the_interval_is_over() -> None:
    clock = Clock(1000.0)
    timer = ReconcileTimer(clock=clock)
    timer.schedule_after_success(timedelta(minutes=5))
    waiting = asyncio.ensure_future(timer.wait(never()))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    clock.now += 300
    await asyncio.wait_for(timer.wait(never()), 5)


async def test_a_wake_up_is_due_soon_and_once() -> None:
    timer = ReconcileTimer(clock=Clock(1000.0))
    timer.schedule_after_success(timedelta(minutes=5))
    timer.wake()
    await asyncio.wait_for(timer.wait(never()), 5)
    again = asyncio.ensure_future(timer.wait(never()))
    await asyncio.sleep(0)
    assert not again.done()
    timer.wake()
    await asyncio.wait_for(again, 5)


async def gather(timer: ReconcileTimer, clock: Clock, *, wakes: int) -> float:
    """Let so many wake-ups cause a reconcile; return the seconds that the next one waits for others."""
    for _ in range(wakes):
        timer.wake()
    clock.now += LONGEST_GATHERING_SECONDS
    await asyncio.wait_for(timer.wait(never()), 5)
    return timer.gathering


async def test_wake_ups_that_stream_in_are_gathered_longer_and_longer() -> None:
    clock = Clock(1000.0)
    timer = ReconcileTimer(clock=clock)
    timer.schedule_after_success(timedelta(minutes=5))
    assert [await gather(timer, clock, wakes=100) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, LONGEST_GATHERING_SECONDS]
    assert await gather(timer, clock, wakes=1) == SHORTEST_GATHERING_SECONDS


async def test_after_a_pause_a_wake_up_waits_no_longer_than_ever() -> None:
    clock = Clock(1000.0)
    timer = ReconcileTimer(clock=clock)
    timer.schedule_after_success(timedelta(minutes=5))
    await gather(timer, clock, wakes=100)
    clock.now += 2 * LONGEST_GATHERING_SECONDS
    timer.wake()
    assert timer.gathering == SHORTEST_GATHERING_SECONDS


async def test_a_retry_that_is_due_waits_for_no_wake_ups() -> None:
    clock = Clock(1000.0)
    timer = ReconcileTimer(clock=clock, uniform=lambda _, high: high)
    timer.schedule_after_failure()
    clock.now += 1
    timer.wake()
    timer.gathering = 3600
    await asyncio.wait_for(timer.wait(never()), 5)


async def is_due(timer: ReconcileTimer, clock: Clock) -> bool:
    """Return whether a wait is over once the wake-ups so far are gathered. No wait is left behind."""
    clock.now += SHORTEST_GATHERING_SECONDS
    waiting = asyncio.ensure_future(timer.wait(never()))
    for _ in range(30):  # more turns of the event loop than a wait needs that is over
        await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


def after_failures(clock: Clock, failures: int) -> ReconcileTimer:
    """Return a timer after so many failures. Its back-offs are as long as they may be."""
    timer = ReconcileTimer(clock=clock, uniform=lambda _, high: high)
    for _ in range(failures):
        timer.schedule_after_failure()
    return timer


async def test_a_wake_up_does_not_shorten_a_back_off() -> None:
    clock = Clock(1000.0)
    timer = after_failures(clock, 5)
    timer.wake()
    assert not await is_due(timer, clock)
    clock.now += 15.5
    timer.wake()
    assert not await is_due(timer, clock)
    clock.now += 0.4
    assert await is_due(timer, clock)


async def test_a_wake_up_during_an_attempt_that_fails_does_not_shorten_its_back_off() -> None:
    clock = Clock(1000.0)
    timer = after_failures(clock, 0)
    await timer.wait(never())
    timer.wake()
    timer.schedule_after_failure()
    assert not await is_due(timer, clock)


@pytest.mark.parametrize("edited", ["during the attempt", "during the back-off"])
async def test_an_edit_of_the_scheduler_ends_a_back_off(edited: str) -> None:
    clock = Clock(1000.0)
    timer = after_failures(clock, 0)
    await timer.wait(never())
    if edited == "during the attempt":
        timer.end_back_off()
    timer.schedule_after_failure()
    if edited == "during the back-off":
        assert not await is_due(timer, clock)
        timer.end_back_off()
    assert await is_due(timer, clock)


async def test_an_edit_of_the_scheduler_ends_one_back_off_only() -> None:
    clock = Clock(1000.0)
    timer = after_failures(clock, 1)
    timer.end_back_off()
    assert await is_due(timer, clock)
    timer.schedule_after_failure()
    timer.wake()
    assert not await is_due(timer, clock)


async def test_an_edit_of_the_scheduler_that_comes_during_the_wait_ends_it() -> None:
    timer = after_failures(Clock(1000.0), 5)
    waiting = asyncio.ensure_future(timer.wait(never()))
    await asyncio.sleep(0)
    assert not waiting.done()
    timer.end_back_off()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("end", ["success", "unfinished"])
async def test_after_any_other_end_a_wake_up_counts_again(end: str) -> None:
    """What is unfinished is no failure: a CronJob that is gone at last, or an edit, need not wait for a back-off."""
    clock = Clock(1000.0)
    timer = after_failures(clock, 5)
    if end == "success":
        timer.schedule_after_success(timedelta(minutes=5))
    else:
        assert timer.schedule_after_unfinished() == 1.6
    assert not await is_due(timer, clock)
    timer.wake()
    assert await is_due(timer, clock)


async def test_being_stopped_ends_the_wait() -> None:
    timer = ReconcileTimer(clock=Clock(1000.0))
    timer.schedule_after_success(timedelta(minutes=5))
    stopped = never()
    waiting = asyncio.ensure_future(timer.wait(stopped))
    await asyncio.sleep(0)
    stopped.set_result(None)
    await asyncio.wait_for(waiting, 5)


def test_failures_back_off_to_a_limit_and_a_success_forgets_them() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    timer = ReconcileTimer(clock=Clock(1000.0), uniform=uniform)
    delays = [timer.schedule_after_failure() for _ in range(8)]
    assert delays == [1, 2, 4, 8, 16, 30, 30, LAST_RETRY_SECONDS]
    assert asked[0] == (0.5, 1.0)
    timer.schedule_after_success(timedelta(seconds=1))
    assert timer.schedule_after_failure() == 1


def test_what_is_unfinished_is_due_at_once_and_cannot_spin() -> None:
    timer = ReconcileTimer(clock=Clock(1000.0), uniform=lambda _, high: high)
    delays = [timer.schedule_after_unfinished() for _ in range(11)]
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, LAST_RETRY_SECONDS]
    timer.schedule_after_success(timedelta(seconds=1))
    assert timer.schedule_after_unfinished() == SHORTEST_GATHERING_SECONDS


def test_failures_in_a_row_may_be_as_many_as_an_outage_of_days_has() -> None:
    timer = ReconcileTimer(clock=Clock(1000.0), uniform=lambda _, high: high)
    assert [timer.schedule_after_failure() for _ in range(3000)][-1] == LAST_RETRY_SECONDS
