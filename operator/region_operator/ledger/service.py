"""Runs the ledger beside the reconciles: saves schedule versions after each reconcile, finalizes ticks every minute.

No region's ticks depend on the ledger. An error is logged and counted, and the work is done again from what the
database says.

Ticks are judged only up to the last moment for which region_schedule is known to be current. region_schedule is stale
from the moment when a reconcile begins, somebody else changes a CronJob, or the RegionScheduler is deleted. A reconcile
that begins later, and saves the schedule versions, makes region_schedule current again. How a pass works is left to
`finalize`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from kubernetes.aio.client import ApiException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from region_operator.kube.api import ERRORS
from region_operator.kube.api_errors import describe
from region_operator.ledger.finalize import Finalizer
from region_operator.ledger.freshness_report import report_freshness
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.schedule_saver import ScheduleSaver
from region_operator.ledger.tick_totals import TickCounter
from region_operator.runtime import metrics
from region_operator.runtime.backoff import Backoffs
from region_operator.runtime.freshness_metrics import FRESHNESS
from region_operator.runtime.log_limiter import LogLimiter
from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.database.store import Database
    from region_operator.kube.api import Api
    from region_operator.regions.slots import Slots
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

SAVE_LIMIT_SECONDS = 10
"""The longest wait of a reconcile for saving the schedule versions."""

FINALIZE_EVERY_SECONDS = 60.0
FINALIZE_LIMIT_SECONDS = 120
"""The longest time of one pass. The rows of a pass that is cut off stay, and the next pass does the rest."""

_OUTSIDE_ERRORS = (*ERRORS, SQLAlchemyError, TimeoutError)
"""Errors from outside of this process. A traceback would tell nothing."""


class LedgerService:
    """Keeps region_schedule and job_run true to what happened. `clock` returns seconds."""

    def __init__(self, api: Api, *, retention: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._clock = clock
        self._reconcile_began = clock()
        self._stale_since: float | None = None
        self._stale_again = False
        self._finalizer: Finalizer | None = None
        self._counter: TickCounter | None = None
        self._for: tuple[AsyncEngine, Scheduler] | None = None
        self._saved = asyncio.Event()
        self._save_log, self._finalize_log, self._count_log, self._report_log = (LogLimiter() for _ in range(4))
        self._delays = iter(Backoffs())
        self._saver = ScheduleSaver()
        self.job_watch = JobWatch(api)
        self.job_cleanup = JobCleanup(api, self.job_watch)

    def start_reconcile(self) -> None:
        """Record that a reconcile begins. Until the reconcile's `save_schedules`, region_schedule is stale.

        This reconcile reads all changes made before this moment. A change made later is left to the next reconcile.
        """
        self.mark_stale()
        self._reconcile_began, self._stale_again = self._clock(), False

    def mark_stale(self) -> None:
        """Record that region_schedule is stale: from now on a CronJob may differ from the saved schedule version."""
        self._stale_again = True
        if self._stale_since is None:
            self._stale_since = self._clock()

    def show_no_freshness(self) -> None:
        """Serve no freshness until the next `save_schedules`: nobody wants ticks now. Past ticks are still judged."""
        self._for = None
        FRESHNESS.show_nothing()

    def remember_deletion(self, cronjob: str, deleted_at: datetime) -> None:
        """Record when a CronJob without a successor was deleted (the API server's clock), for `save_schedules`."""
        self._saver.remember_deletion(cronjob, deleted_at)

    async def save_schedules(
        self,
        database: Database,
        scheduler: Scheduler,
        cronjobs: Collection[LiveCronJob],
        *,
        slots: Slots,
        look: int,
    ) -> None:
        """Save the current schedule versions, by all CronJobs as the reconcile left the CronJobs.

        The ledger is kept in the `slots` that this installation owns.

        After another full look (`look` is its number) all versions are compared with the database, otherwise those that
        changed since the last save.

        Raises nothing but cancellation. After an error region_schedule stays stale. While our tables are to be left
        alone, nothing is saved and nothing is finalized.
        """
        if database.schema_conflict:
            self._finalizer = self._counter = None
            self.show_no_freshness()
            return
        saving = self._saver.save(database, scheduler, cronjobs, slots=slots, look=look)
        if not await _attempt(saving, self._save_log, seconds=SAVE_LIMIT_SECONDS):
            return
        if self._finalizer is None or not self._finalizer.is_for(database.engine, scheduler):
            self._finalizer = Finalizer(
                database.engine,
                scheduler,
                job_watch=self.job_watch,
                job_cleanup=self.job_cleanup,
                retention=self._retention,
            )
            self._counter = TickCounter(database.engine, installation=scheduler.installation)
        self._for = database.engine, scheduler
        self._stale_since = self._reconcile_began if self._stale_again else None
        self._saved.set()

    @property
    def lag(self) -> timedelta:
        """The length of the time before now that must not be judged yet.

        The lag is the time for which region_schedule has been stale, plus LATENESS_TOLERANCE_SECONDS. No tick of the
        last few seconds is due anyway, and the news of a changed schedule may not have arrived yet.
        """
        stale_for = 0.0 if self._stale_since is None else self._clock() - self._stale_since
        return timedelta(seconds=LATENESS_TOLERANCE_SECONDS + stale_for)

    async def run(self) -> NoReturn:
        """Finalize again and again until cancelled, beginning after the first `save_schedules`.

        A cancellation cancels a running pass but does not wait for the end of the pass. A database that hangs delays
        the end for 5 to 10 s.
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
        """Run one pass; return the seconds until the next pass, fewer after an error.

        Does nothing before the first `save_schedules`. Raises nothing but cancellation.
        """
        if self._finalizer is None:
            return FINALIZE_EVERY_SECONDS
        counter, served = self._counter, self._for
        finalizing = self._finalizer.finalize(self.lag)
        finalized = await _attempt(finalizing, self._finalize_log, seconds=FINALIZE_LIMIT_SECONDS)
        if counter is not None:
            await _attempt(counter.count(), self._count_log, seconds=FINALIZE_LIMIT_SECONDS)
        if served is not None:
            engine, scheduler = served
            reporting = report_freshness(
                engine,
                installation=scheduler.installation,
                objective=scheduler.spec.objective,
                is_wanted=lambda: self._for is not None,
            )
            await _attempt(reporting, self._report_log, seconds=FINALIZE_LIMIT_SECONDS)
        if not finalized:
            return next(self._delays)
        self._delays = iter(Backoffs())
        return FINALIZE_EVERY_SECONDS


async def _attempt(work: Awaitable[object], log_limiter: LogLimiter, *, seconds: float) -> bool:
    """Wait for `work`, at most `seconds`. Count and log an error. Return whether the work succeeded."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception as error:
        metrics.LEDGER_FAILURES.inc()
        if keys := log_limiter.record_failure(words := _describe(error, seconds)):
            outside = isinstance(error, _OUTSIDE_ERRORS)
            log.warning("not accounted", extra={"error": words, **keys}, exc_info=not outside)
        return False
    if keys := log_limiter.record_success():
        log.info("accounted again", extra=keys)
    return True


def _describe(error: Exception, seconds: float) -> str:
    """Return a message that is the same for the same error.

    The message leaves out a statement's values and an answer's headers, because both differ each time.
    """
    if isinstance(error, ApiException):
        return describe(error)
    if isinstance(error, TimeoutError) and not str(error):
        return f"not done within {seconds:.0f} s"
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause) or type(cause).__name__
