"""A stand-in for the Reconciler, because a reconcile that outlasts every timeout cannot be caused for real.

What the stand-in's reconcile does is one of the functions below.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

from kubernetes.aio import client

from region_operator.database.triggers import Triggers
from region_operator.errors import ReconcileError
from region_operator.kube.api import Api
from region_operator.kube.scheduler_presence import Presence
from region_operator.ledger.service import LedgerService
from region_operator.loop import ReconcileLoop
from region_operator.plan.conditions import ReadyReason
from region_operator.reconcile import ReconcileResult
from region_operator.regions.hearing import Hearing
from region_operator.runtime.health import Health
from region_operator.runtime.reconcile_timer import ReconcileTimer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.harness.clock import Clock


class StandInPresence:
    """What is known of the namespace's RegionScheduler. `remembered` are the uids that were written to the mark."""

    loss = "it is gone: create it again"

    def __init__(self, found: Presence = Presence.THERE) -> None:
        self.found = found
        self.remembered: list[str] = []

    async def look(self) -> Presence:
        return self.found

    async def remember(self, uid: str) -> None:
        self.remembered.append(uid)


class StandInReconciler:
    schema = "schema revision: 1"

    def __init__(self, act: Callable[[], Awaitable[ReconcileResult | None]], clock: Clock) -> None:
        self._act = act
        self.hearing = Hearing(Triggers(may_make=False), clock=clock)
        self.observer = SimpleNamespace(looks=0)
        api = Api(client.ApiClient(client.Configuration()))
        self.ledger = LedgerService(api, retention=timedelta(days=30), clock=clock)

    async def reconcile(self, _namespace: str, _name: str) -> ReconcileResult | None:
        return await self._act()


def hanging(begun: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """Return what tells that it has begun, and never ends."""

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    return hang


async def succeed() -> ReconcileResult:
    return ReconcileResult(timedelta(seconds=300), "")


async def leave_some() -> ReconcileResult:
    return ReconcileResult(timedelta(seconds=300), "1 had changed meanwhile")


async def fail() -> None:
    raise ReconcileError(ReadyReason.DATABASE_UNAVAILABLE, "no answer from 10.0.0.1", public="no answer")


async def crash() -> None:
    raise ZeroDivisionError


def make_loop(
    clock: Clock, act: Callable[[], Awaitable[ReconcileResult | None]], presence: StandInPresence | None = None
) -> ReconcileLoop:
    """Return a loop around a reconciler that does `act`, with back-offs as long as their jitter allows."""
    timer = ReconcileTimer(clock=clock, uniform=lambda _low, high: high)
    return ReconcileLoop(
        StandInReconciler(act, clock),  # type: ignore[arg-type]
        timer,
        Health(clock=clock),
        presence or StandInPresence(),  # type: ignore[arg-type]
    )


async def live_after(loop: ReconcileLoop, clock: Clock, seconds: float) -> bool:
    """Let `seconds` pass; return whether the process then counts as live."""
    clock.now += seconds
    beating = asyncio.ensure_future(loop.health.beat())
    await asyncio.sleep(0)
    beating.cancel()
    return loop.health.answer("/healthz")[0] == 200
