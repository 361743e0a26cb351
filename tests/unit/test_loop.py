"""loop.py: what the end of an attempt means for liveness, readiness, the log and the next attempt."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from region_operator.kube.scheduler_presence import Presence
from region_operator.loop import NONE_YET
from region_operator.reconcile import RECONCILE_LIMIT_SECONDS, ReconcileResult
from region_operator.runtime import metrics
from region_operator.runtime.health import NOT_RECONCILED, PATIENCE_SECONDS
from region_operator.runtime.reconcile_timer import SHORTEST_GATHERING_SECONDS
from tests.harness.clock import Clock
from tests.unit.standins import StandInPresence, crash, fail, hanging, leave_some, live_after, make_loop, succeed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from region_operator.loop import ReconcileLoop


async def attempt_when_due(loop: ReconcileLoop) -> None:
    await loop.timer.wait(asyncio.Event().wait())
    await loop.attempt("n", "default", "u")


@pytest.mark.parametrize(
    ("act", "pause"), [(succeed, 300.0), (leave_some, SHORTEST_GATHERING_SECONDS), (fail, 1.0), (crash, 1.0)]
)
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
    begun = asyncio.Event()
    loop = make_loop(clock, hanging(begun))
    task = asyncio.ensure_future(attempt_when_due(loop))
    await begun.wait()
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


async def test_readiness_tells_the_public_message_and_the_log_the_whole(caplog: pytest.LogCaptureFixture) -> None:
    loop = make_loop(Clock(), fail)
    await attempt_when_due(loop)
    assert loop.health.answer("/readyz")[::2] == (503, b"no answer\n")
    assert [record.reason for record in caplog.records] == ["no answer from 10.0.0.1"]  # type: ignore[attr-defined]


def test_a_reason_that_alerts_ask_for_is_served_before_it_comes() -> None:
    metrics.RECONCILES.clear()
    make_loop(Clock(), succeed)
    for reason in ("Succeeded", "Unfinished", "ApiUnavailable"):
        assert REGISTRY.get_sample_value("region_operator_reconciles_total", {"reason": reason}) == 0


async def find_taken() -> ReconcileResult:
    return ReconcileResult(timedelta(seconds=7), "", "theirs is the owner")


async def test_a_table_that_another_installation_owns_is_no_readiness_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    acts, clock = [find_taken, find_taken, succeed], Clock()
    loop = make_loop(clock, lambda: acts.pop(0)())
    await attempt_when_due(loop)
    assert loop.health.answer("/readyz")[::2] == (503, b"theirs is the owner\n")
    assert await live_after(loop, clock, 7 + PATIENCE_SECONDS)
    await attempt_when_due(loop)
    await attempt_when_due(loop)
    assert loop.health.answer("/readyz")[0] == 200
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["source taken"]
    assert REGISTRY.get_sample_value("region_operator_reconciles_total", {"reason": "SourceTaken"}) is not None


async def gone() -> None:
    return None


def told_of_loss(loop: ReconcileLoop, caplog: pytest.LogCaptureFixture) -> int:
    """Check what readiness and metrics say of a RegionScheduler that is gone, and return how often the log told it."""
    code, _, text = loop.health.answer("/readyz")
    assert (code, text.decode()) == (503, f"{StandInPresence.loss}\n")
    assert REGISTRY.get_sample_value("region_operator_regions", {"state": "scheduled"}) == 0
    assert REGISTRY.get_sample_value("region_operator_forecast_ticks", {"outcome": "lost"}) == 0
    assert REGISTRY.get_sample_value("region_operator_held_deletions") == 0
    return [record.message for record in caplog.records].count("scheduler gone")


@pytest.fixture
def _busy_metrics() -> None:
    metrics.REGIONS.labels("scheduled").set(7)
    metrics.FORECAST_TICKS.labels("lost").set(7)
    metrics.HELD_DELETIONS.set(7)


@pytest.mark.usefixtures("_busy_metrics")
async def test_a_scheduler_that_is_gone_is_told_of_once_and_a_new_one_makes_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    acts: list[Callable[[], Awaitable[Any]]] = [succeed, gone, succeed]
    loop = make_loop(Clock(), lambda: acts.pop(0)())
    await loop.attempt("n", "default", "old")
    assert loop.health.answer("/readyz")[0] == 200
    await loop.attempt("n", "default", "old")  # being deleted
    assert told_of_loss(loop, caplog) == 1
    loop.forget("old")
    assert told_of_loss(loop, caplog) == 1
    await loop.attempt("n", "default", "new")
    assert loop.health.answer("/readyz")[0] == 200
    loop.forget("new")
    assert told_of_loss(loop, caplog) == 2
    acts.append(fail)
    await loop.attempt("n", "default", "third")
    loop.forget("third")
    assert told_of_loss(loop, caplog) == 3


async def test_without_a_scheduler_the_ledger_serves_no_freshness(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, told = make_loop(Clock(), succeed), []
    monkeypatch.setattr(loop.reconciler.ledger, "show_no_freshness", lambda: told.append(True))
    await loop.attempt("n", "default", "u")
    assert not told
    loop.forget("u")
    assert told


@pytest.mark.usefixtures("_busy_metrics")
@pytest.mark.parametrize("act", [succeed, leave_some, fail, crash, gone])
async def test_a_reconcile_that_ends_after_the_deletion_changes_nothing_of_it(
    act: Callable[[], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    loop = make_loop(Clock(), act)
    loop.forget("u")
    await loop.attempt("n", "default", "u")
    assert told_of_loss(loop, caplog) == 1


async def test_where_none_ever_was_it_is_ready_until_the_first_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    presence = StandInPresence(Presence.NEVER)
    loop = make_loop(Clock(), fail, presence)
    await loop.begin()
    assert loop.health.answer("/readyz")[::2] == (200, f"ok\n{NONE_YET}\n".encode())
    assert [record.message for record in caplog.records] == ["no scheduler yet"]
    loop.expect_progress("u", RECONCILE_LIMIT_SECONDS)
    assert loop.health.answer("/readyz")[::2] == (503, f"{NOT_RECONCILED}\n".encode())
    await loop.attempt("n", "default", "u")
    assert loop.health.answer("/readyz")[::2] == (503, b"no answer\n")
    assert presence.remembered == ["u"]


@pytest.mark.usefixtures("_busy_metrics")
async def test_where_one_was_before_this_process_began_its_loss_is_told_of_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = make_loop(Clock(), succeed, StandInPresence(Presence.GONE))
    await loop.begin()
    assert told_of_loss(loop, caplog) == 1
    await loop.attempt("n", "default", "new")
    assert loop.health.answer("/readyz")[0] == 200
    loop.forget("new")
    assert told_of_loss(loop, caplog) == 2


async def test_where_one_stands_nothing_is_said_before_its_reconcile(caplog: pytest.LogCaptureFixture) -> None:
    loop = make_loop(Clock(), succeed)
    await loop.begin()
    assert loop.health.answer("/readyz")[::2] == (503, f"{NOT_RECONCILED}\n".encode())
    assert not caplog.records


async def test_a_deletion_that_is_heard_of_late_takes_nothing_from_the_new_scheduler() -> None:
    loop = make_loop(Clock(), succeed)
    await loop.attempt("n", "default", "old")
    await loop.attempt("n", "default", "new")
    loop.forget("old")
    assert loop.health.answer("/readyz")[0] == 200


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


async def test_a_full_look_that_came_to_its_end_is_told_of_once() -> None:
    clock, told = Clock(), []
    acts = [succeed, succeed, fail, find_taken, leave_some, succeed]
    loop = make_loop(clock, lambda: acts.pop(0)())
    loop.on_full_look = lambda: told.append(len(acts))
    for looks in (1, 1, 2, 2, 2, 2):
        loop.reconciler.observer.looks = looks
        await attempt_when_due(loop)
        loop.timer.end_back_off()
    assert told == [5, 0], "after the first, and after the last, which ends what the look of the failure began"
