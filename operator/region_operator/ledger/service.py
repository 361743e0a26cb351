"""The ledger beside the reconcile: what is in force is written down at the end of each, ticks are settled every minute.

Regions depend on neither, and whatever goes wrong is logged and counted, and done again from what the database says.
Ticks are settled up to when what is in force is known: that is in doubt from the moment at which a reconcile begins, a
CronJob is changed by another or the RegionScheduler is deleted, until a reconcile that began later has written it down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from kubernetes.aio.client import ApiException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from region_operator.kube.api import ERRORS
from region_operator.kube.api_errors import describe
from region_operator.ledger.finalize import Finalizer
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import read_versions
from region_operator.regions.source import Table
from region_operator.runtime import metrics
from region_operator.runtime.backoff import Backoffs
from region_operator.runtime.log_limiter import LogLimiter
from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

SAVE_SECONDS = 10
"""No reconcile waits longer until what is in force is written down."""

EVERY_SECONDS = 60.0
FINALIZE_SECONDS = 120
"""No settling takes longer: what was settled by then stays, what is left is done by the next."""

_OUTSIDE = (*ERRORS, SQLAlchemyError, TimeoutError)
"""What goes wrong outside of this process: a traceback would tell nothing."""


class LedgerService:
    """Keeps region_schedule and job_run true to what happened."""

    def __init__(self, api: Api, *, retention: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._clock = clock
        self._began = clock()
        self._stale_since: float | None = None
        self._stale_again = False
        self._finalizer: Finalizer | None = None
        self._saved = asyncio.Event()
        self._save_log, self._finalize_log = LogLimiter(), LogLimiter()
        self._delays = iter(Backoffs())
        self.job_watch = JobWatch(api)
        self._job_cleanup = JobCleanup(api, self.job_watch)

    def start_reconcile(self) -> None:
        """Note that a reconcile begins: what it reads from now on, and changes, it will have written down."""
        self.mark_stale()
        self._began, self._stale_again = self._clock(), False

    def mark_stale(self) -> None:
        """Note that from now on something else may be in force than is written down."""
        self._stale_again = True
        if self._stale_since is None:
            self._stale_since = self._clock()

    async def save_schedules(
        self, database: Database, scheduler: Scheduler, cronjobs: Collection[Mapping[str, Any]]
    ) -> None:
        """Write down what is in force, by all CronJobs of ours as a reconcile left them. Raises nothing but
        cancellation.
        """
        if not await _tried(_write(database, scheduler, cronjobs), self._save_log, seconds=SAVE_SECONDS):
            return
        if self._finalizer is None or not self._finalizer.is_for(database.engine, scheduler):
            self._finalizer = Finalizer(
                database.engine,
                scheduler,
                job_watch=self.job_watch,
                job_cleanup=self._job_cleanup,
                retention=self._retention,
            )
        self._stale_since = self._began if self._stale_again else None
        self._saved.set()

    @property
    def lag(self) -> timedelta:
        """The length of the time just past that must not be settled yet. A tick of its last few seconds is never due,
        and that its schedule has changed may not be known.
        """
        doubted = 0.0 if self._stale_since is None else self._clock() - self._stale_since
        return timedelta(seconds=LATENESS_TOLERANCE_SECONDS + doubted)

    async def run(self) -> NoReturn:
        """Settle again and again until cancelled, from when what is in force was written down for the first time.

        Cancelled, it leaves a settling to its own end, which is near: a database that hangs keeps one for 5 to 10 s.
        """
        await self._saved.wait()
        while True:
            finalizing = asyncio.ensure_future(self.finalize())
            try:
                seconds = await asyncio.shield(finalizing)
            finally:
                finalizing.cancel()
            await asyncio.sleep(seconds)

    async def finalize(self) -> float:
        """Settle what is due; return in how many seconds to do so again, sooner after a failure. Raises nothing but
        cancellation.
        """
        if self._finalizer is None:
            return EVERY_SECONDS
        if not await _tried(self._finalizer.finalize(self.lag), self._finalize_log, seconds=FINALIZE_SECONDS):
            return next(self._delays)
        self._delays = iter(Backoffs())
        return EVERY_SECONDS


async def _write(database: Database, scheduler: Scheduler, cronjobs: Collection[Mapping[str, Any]]) -> None:
    source = str(Table.parse(scheduler.spec.source.table, default_schema=database.schema))
    await save_versions(database.engine, read_versions(cronjobs), source=source, scheduler=scheduler.uid)


async def _tried(work: Awaitable[object], log_limiter: LogLimiter, *, seconds: float) -> bool:
    """Wait for some work, for so long; count and log what goes wrong. Return whether nothing did."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception as error:
        metrics.LEDGER_FAILURES.inc()
        if keys := log_limiter.note_failure(words := _in_words(error, seconds)):
            log.warning("not accounted", extra={"error": words, **keys}, exc_info=not isinstance(error, _OUTSIDE))
        return False
    if keys := log_limiter.note_success():
        log.info("accounted again", extra=keys)
    return True


def _in_words(error: Exception, seconds: float) -> str:
    """Say what went wrong, the same of the same: without a statement's values or an answer's headers, which differ."""
    if isinstance(error, ApiException):
        return describe(error)
    if isinstance(error, TimeoutError) and not str(error):
        return f"not done within {seconds:.0f} s"
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause) or type(cause).__name__
