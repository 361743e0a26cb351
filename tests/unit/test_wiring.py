"""wiring.py: what each reconcile's begin and end mean for liveness. A reconcile that hangs in spite of every timeout
cannot be had for real, so the reconciler here is a stand-in.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from kopf import Body, OperatorSettings
from kopf._core.actions.loggers import LocalObjectLogger
from kubernetes.aio import client

from region_operator import wiring
from region_operator.cronjobs.echo_filter import EchoFilter
from region_operator.errors import ReconcileError
from region_operator.kube.api import Api
from region_operator.kube.nudge import Nudger
from region_operator.ledger.service import LedgerService
from region_operator.loop import ReconcileLoop
from region_operator.plan.status import ReadyReason
from region_operator.reconcile import LIMIT_SECONDS, ReconcileResult
from region_operator.runtime.health import PATIENCE_SECONDS, Health
from region_operator.runtime.reconcile_timer import ReconcileTimer
from region_tick.logs import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


RAW: Any = {"metadata": {"generation": 1}}
META = Body(RAW).meta
CRONJOB: Any = {"name": "a-0123456789ab", "uid": "u", "generation": 1}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class StandIn:
    database = "database: here"
    echo_filter = EchoFilter()

    def __init__(self, act: Callable[[], Awaitable[ReconcileResult | None]], clock: Clock) -> None:
        self._act = act
        api = Api(client.ApiClient(client.Configuration()))
        self.ledger = LedgerService(api, retention=timedelta(days=30), clock=clock)

    async def reconcile(self, _namespace: str, _name: str) -> ReconcileResult | None:
        return await self._act()


class Stopped(asyncio.Event):
    """As kopf's, which is also true or false."""

    def __bool__(self) -> bool:
        return self.is_set()


async def hang() -> None:
    await asyncio.Event().wait()


async def succeed() -> ReconcileResult:
    return ReconcileResult(timedelta(seconds=300), "")


async def leave_some() -> ReconcileResult:
    return ReconcileResult(timedelta(seconds=300), "1 had changed meanwhile")


async def fail() -> None:
    raise ReconcileError(ReadyReason.DATABASE_UNAVAILABLE, "the database cannot be reached")


async def crash() -> None:
    raise ZeroDivisionError


def memo(clock: Clock, act: Callable[[], Awaitable[ReconcileResult | None]]) -> wiring.Memo:
    timer = ReconcileTimer(clock=clock, uniform=lambda _low, high: high)
    loop = ReconcileLoop(StandIn(act, clock), timer, Health(clock=clock))  # type: ignore[arg-type]
    return wiring.Memo(loop, Nudger())


async def reconcile(memo: wiring.Memo) -> None:
    await wiring._reconcile(namespace="n", name="default", uid="u", memo=memo, stopped=Stopped())


async def live_after(memo: wiring.Memo, clock: Clock, seconds: float) -> bool:
    clock.now += seconds
    beating = asyncio.ensure_future(memo.loop.health.beat())
    await asyncio.sleep(0)
    beating.cancel()
    return memo.loop.health.answer("/healthz")[0] == 200


@pytest.mark.parametrize(("act", "pause"), [(succeed, 300.0), (leave_some, 0.1), (fail, 1.0), (crash, 1.0)])
async def test_after_a_reconcile_the_next_is_expected_however_it_ended(
    act: Callable[[], Awaitable[Any]], pause: float
) -> None:
    clock = Clock()
    ended = memo(clock, act)
    await reconcile(ended)
    assert await live_after(ended, clock, pause + PATIENCE_SECONDS)
    assert not await live_after(ended, clock, 1)


async def test_a_reconcile_that_outlasts_its_limit_is_no_progress() -> None:
    clock = Clock()
    hanging = memo(clock, hang)
    task = asyncio.ensure_future(reconcile(hanging))
    await asyncio.sleep(0.01)
    assert await live_after(hanging, clock, LIMIT_SECONDS + PATIENCE_SECONDS)
    assert not await live_after(hanging, clock, 1)
    task.cancel()


async def test_nothing_is_expected_of_a_scheduler_that_is_gone() -> None:
    clock = Clock()
    gone = memo(clock, succeed)
    event: dict[str, Any] = {"uid": "u", "meta": META, "memo": gone}
    await wiring._on_event(type="ADDED", **event)
    await wiring._on_event(type="DELETED", **event)
    await reconcile(gone)  # one that was under way
    assert await live_after(gone, clock, 1e9)


@pytest.mark.parametrize(
    ("on", "event"),
    [
        (wiring._on_event, {"type": "DELETED", "uid": "u", "meta": META}),
        (wiring._on_cronjob, {"type": "MODIFIED", "body": {"metadata": CRONJOB}}),
    ],
)
async def test_what_others_change_is_in_force_unknown_to_the_ledger(on: Any, event: dict[str, Any]) -> None:
    clock = Clock()
    doubting = memo(clock, succeed)
    before = doubting.loop.reconciler.ledger.lag
    await on(**event, memo=doubting)
    clock.now += 100
    assert doubting.loop.reconciler.ledger.lag == before + timedelta(seconds=100)


async def test_a_scheduler_whose_timer_never_begins_is_noticed() -> None:
    clock = Clock()
    seen = memo(clock, succeed)
    assert await live_after(seen, clock, 1e9)
    await wiring._on_event(type="ADDED", uid="u", meta=META, memo=seen)
    assert not await live_after(seen, clock, LIMIT_SECONDS + PATIENCE_SECONDS + 1)


async def test_a_failure_that_lasts_is_logged_once_and_once_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    act = [fail, fail, crash, crash, fail, succeed, succeed]
    ill = memo(Clock(), lambda: act.pop(0)())
    while act:
        await reconcile(ill)
        ill.loop.timer.wake()
    lines = [(record.message, record.levelname, record.attempts, bool(record.exc_info)) for record in caplog.records]  # type: ignore[attr-defined]
    assert lines == [
        ("not reconciled", "WARNING", 1, False),
        ("not reconciled", "ERROR", 3, True),
        ("not reconciled", "WARNING", 5, False),
        ("reconciled again", "INFO", 5, False),
    ]


async def test_what_is_left_over_is_due_at_once_and_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    act = [leave_some, leave_some, succeed]
    some = memo(Clock(), lambda: act.pop(0)())
    while act:
        await reconcile(some)
        assert some.loop.health.answer("/readyz")[0] == 200
        some.loop.timer.wake()
    lines = [(record.message, record.levelname, record.attempts) for record in caplog.records]  # type: ignore[attr-defined]
    assert lines == [("not finished", "INFO", 1), ("reconciled again", "INFO", 2)]


async def test_told_to_stop_it_stops_in_the_middle() -> None:
    stopped, ill = Stopped(), memo(Clock(), hang)
    task = asyncio.ensure_future(wiring._reconcile(namespace="n", name="default", uid="u", memo=ill, stopped=stopped))
    await asyncio.sleep(0.01)
    others = asyncio.all_tasks()
    stopped.set()
    await asyncio.wait_for(task, 5)
    assert task.exception() is None
    assert len(others) > 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_line_of_kopfs_names_its_object_and_carries_no_settings() -> None:
    logger = logging.getLogger("kopf.objects")
    body = Body({"kind": "RegionScheduler", "metadata": {"name": "default"}})
    lines: list[dict[str, object]] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(JsonFormatter({}).format(record)))  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.addFilter(wiring.slim)
    try:
        LocalObjectLogger(body=body, settings=OperatorSettings()).warning("did not exit")
    finally:
        logger.removeFilter(wiring.slim)
        logger.removeHandler(handler)
    [line] = lines
    assert line.keys() == {"ts", "level", "event", "object"}
    assert line["object"] == "RegionScheduler/default"


@pytest.mark.parametrize(
    ("name", "message", "level"),
    [
        ("kopf._cogs.clients.watching", "Request attempt #1 failed; will retry: GET x", "WARNING"),
        ("kopf._cogs.clients.watching", "Request attempt #9 failed; escalating: GET x", "ERROR"),
        ("region_operator.kube.apply", "will retry", "ERROR"),
    ],
)
def test_what_kopf_will_retry_is_no_error(name: str, message: str, level: str) -> None:
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, None, None)
    assert wiring._calm(record)
    assert (record.levelname, record.levelno) == (level, logging.getLevelNamesMapping()[level])
