"""Puts the parts together for each command: run the operator, reconcile once, or plan once.

A process writes only while the process leads, so two processes never write at the same time. A plan writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from region_operator.database.store import Store, look_at
from region_operator.errors import ReconcileError
from region_operator.kube.bootstrap import bootstrap, give_back
from region_operator.kube.connect import connect
from region_operator.kube.election_thread import ElectionThread
from region_operator.kube.leader_election import new_identity
from region_operator.kube.nudge import Nudger
from region_operator.kube.scheduler_presence import SchedulerPresence
from region_operator.loop import ReconcileLoop
from region_operator.plan.conditions import ReadyReason
from region_operator.planning import MissingSchedulerError, make_plan
from region_operator.reconcile import Reconciler
from region_operator.regions.listen import listen
from region_operator.runtime.garbage import freeze_memory
from region_operator.runtime.health import Health, serve
from region_operator.runtime.heartbeat import Heartbeat
from region_operator.runtime.reconcile_timer import ReconcileTimer
from region_operator.runtime.shutdown import exit_now
from region_operator.scheduler import DEFAULT_NAME
from region_operator.wiring import Memo, make_registry, run_kopf
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kopf import OperatorRegistry

    from region_operator.kube.api import Api
    from region_operator.plan.report import Report
    from region_operator.settings import Settings


log = logging.getLogger(__name__)


async def plan_once(settings: Settings) -> Report:
    """Read the table and the cluster and report what a reconcile would do. Change nothing.

    Raises MissingSchedulerError, the errors that `errors.explain` knows, and the errors in `api.ERRORS`.
    """
    async with connect(new_identity()) as api, look_at(DatabaseUrl.parse(settings.read_database_url())) as database:
        return await make_plan(api, database, settings)


async def reconcile_once(settings: Settings) -> None:
    """Reconcile once, as the namespace's leader.

    Raises NotLeadingError if another process leads, MissingSchedulerError, ReconcileError, and the errors in
    `api.ERRORS`.
    """
    identity = new_identity()
    health = Health()
    beating = asyncio.create_task(health.beat())
    leader = ElectionThread(health, namespace=settings.namespace, identity=identity)
    async with leader.leading(patient=False), open_reconciler(settings, leader) as (api, reconciler):
        result = await reconciler.reconcile(settings.namespace, DEFAULT_NAME)
        await reconciler.ledger.finalize()
        if result:
            presence = SchedulerPresence(api, settings.namespace)
            await presence.remember(await presence.uid())
    beating.cancel()
    if result is None:
        raise MissingSchedulerError(settings.namespace)
    if result.taken:
        raise ReconcileError(ReadyReason.SOURCE_TAKEN, result.taken)
    if result.unfinished:
        raise ReconcileError(ReadyReason.APPLY_FAILED, f"not finished: {result.unfinished}; run it again")


@asynccontextmanager
async def open_reconciler(settings: Settings, leader: ElectionThread) -> AsyncIterator[tuple[Api, Reconciler]]:
    """Open a leader's API connection and Reconciler. If `bootstrap` is set, make the first RegionScheduler before; or
    else give it back to Git.
    """
    async with (
        connect(leader.identity, time_left=leader.time_left) as api,
        Store(
            settings.read_database_url,
            may_migrate=settings.migrate,
            retention=timedelta(days=settings.retention_days),
            item_retention=settings.item_retention,
            api_clock=api.clock,
        ) as store,
    ):
        await (bootstrap if settings.bootstrap else give_back)(api, settings.namespace, settings.bootstrap_spec())
        yield api, Reconciler(api, store, tick_image=settings.tick_image, installation=settings.installation)


async def run_operator(settings: Settings) -> NoReturn:
    """Run the operator until SIGTERM or SIGINT, then end the process.

    Raises UnknownKopfError at once, and the errors in `api.ERRORS`.
    """
    registry = make_registry()
    health = Health()
    server = serve(health, settings.health_port)
    identity = new_identity()
    log.info(
        "starting",
        extra={
            "namespace": settings.namespace,
            "identity": identity,
            "tick_image": settings.tick_image,
            "health_port": server.server_port,
        },
    )
    beating = asyncio.create_task(health.beat())
    cancel_on_signals()
    with suppress(asyncio.CancelledError):
        leader = ElectionThread(health, namespace=settings.namespace, identity=identity)
        async with leader.leading():
            await _lead(settings, health, leader, registry)
    beating.cancel()
    server.shutdown()
    log.info("stopped")
    exit_now()


async def _lead(settings: Settings, health: Health, leader: ElectionThread, registry: OperatorRegistry) -> None:
    """Run kopf and the background tasks of a leader, until SIGTERM or SIGINT."""
    freeze_memory()  # what was imported stays
    timer = ReconcileTimer()
    async with open_reconciler(settings, leader) as (api, reconciler):
        loop = ReconcileLoop(reconciler, timer, health, SchedulerPresence(api, settings.namespace))
        await loop.begin()
        reconciler.watch.on_news = loop.hear_of_change
        nudger = Nudger(last_success=reconciler.watch.cache.last_success, wall_clock=lambda: api.now().timestamp())
        reconciler.ledger.job_watch.on_job = nudger.observe_job
        heartbeat = Heartbeat(settings.heartbeat_url.get_secret_value())
        loop.on_full_look = heartbeat.beat
        background = [
            asyncio.create_task(listen(settings.read_direct_url, timer.wake, reconciler.hearing), name="listen"),
            asyncio.create_task(reconciler.watch.run(settings.namespace), name="cronjob_watch"),
            asyncio.create_task(nudger.run(api, settings.namespace), name="nudge"),
            asyncio.create_task(reconciler.ledger.run(), name="ledger"),
            asyncio.create_task(reconciler.ledger.job_watch.run(settings.namespace), name="job_watch"),
            asyncio.create_task(reconciler.ledger.job_cleanup.run(settings.namespace), name="job_cleanup"),
            asyncio.create_task(heartbeat.run(), name="heartbeat"),
        ]
        for task in background:
            task.add_done_callback(_log_early_end)
        try:
            await run_kopf(settings.namespace, Memo(loop, nudger), registry)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


def _log_early_end(task: asyncio.Task[None]) -> None:
    """Log why a background task ended by itself. Reconciles go on without the task."""
    if not task.cancelled() and (error := task.exception()):
        log.error("ended", extra={"task": task.get_name()}, exc_info=error)


def cancel_on_signals() -> None:
    """Let SIGTERM and SIGINT cancel the current task, until kopf takes over both signals."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - every caller is a task
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
