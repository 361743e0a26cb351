"""What is done once, by a command: say what a reconcile would do, or do one.

Neither runs beside another writer: the first writes nothing, the second leads while it writes, as the operator does.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.api import connect
from region_operator.bootstrap import bootstrap
from region_operator.crd import DEFAULT_NAME, Scheduler, scheduler_path
from region_operator.database.store import Store, look_at
from region_operator.failures import ReconcileError
from region_operator.health import Health
from region_operator.leader import Leader, new_identity
from region_operator.observe import observe
from region_operator.reconcile import Reconciler
from region_operator.report import Report, make_report
from region_operator.status import ReadyReason
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from region_operator.api import Api
    from region_operator.settings import Settings


class MissingSchedulerError(Exception):
    """There is no RegionScheduler to follow; the message says what to create."""

    def __init__(self, namespace: str) -> None:
        super().__init__(
            f"namespace {namespace} has no RegionScheduler {DEFAULT_NAME}: create it, or run the operator, which does"
        )


async def plan(settings: Settings) -> Report:
    """Look at table and cluster and say what a reconcile would do. Changes nothing, neither there nor here.

    Raises MissingSchedulerError, and what `failures.explain` and `api.ERRORS` know.
    """
    async with connect(new_identity()) as api:
        body = await api.get(scheduler_path(settings.namespace, DEFAULT_NAME))
        if body is None:
            raise MissingSchedulerError(settings.namespace)
        scheduler = Scheduler.from_object(body)
        async with look_at(DatabaseUrl.parse(settings.read_database_url())) as database:
            seen = await observe(api, database, scheduler, tick_image=settings.tick_image, now=datetime.now(UTC))
    quota = seen.quota.concurrency if seen.quota.drifted else None
    outcome = seen.outcome
    return make_report(seen.decision, outcome.quarantined, scheduler, quota=quota, problem=outcome.quota_taken)


async def reconcile(settings: Settings) -> None:
    """Reconcile once, as the namespace's leader.

    Raises NotLeadingError where another leads, MissingSchedulerError, ReconcileError and what `api.ERRORS` lists.
    """
    identity = new_identity()
    async with connect(identity) as api:
        leader = Leader(api, Health(), namespace=settings.namespace, identity=identity)
        async with leader.leading(patient=False), working(settings, leader) as (_, reconciler):
            ended = await reconciler.reconcile(settings.namespace, DEFAULT_NAME)
            await reconciler.ledger.settle()
    if ended is None:
        raise MissingSchedulerError(settings.namespace)
    if ended.unfinished:
        raise ReconcileError(ReadyReason.APPLY_FAILED, f"not finished: {ended.unfinished}; run it again")


@asynccontextmanager
async def working(settings: Settings, leader: Leader) -> AsyncIterator[tuple[Api, Reconciler]]:
    """Have what a leader needs to write, and a RegionScheduler from the knobs."""
    async with (
        connect(leader.identity, time_left=leader.time_left) as api,
        Store(
            settings.read_database_url,
            may_migrate=settings.migrate,
            retention=timedelta(days=settings.retention_days),
        ) as store,
    ):
        if settings.bootstrap:
            await bootstrap(api, settings.namespace, settings.bootstrap_spec())
        yield api, Reconciler(api, store, tick_image=settings.tick_image)
