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

from region_operator import metrics
from region_operator.api import ERRORS
from region_operator.database.in_force import write_in_force
from region_operator.in_force import look
from region_operator.pace import Backoffs
from region_operator.refusal import in_words
from region_operator.settling import Settling
from region_operator.source import Table
from region_operator.streak import Streak
from region_operator.witness import Witness
from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from region_operator.api import Api
    from region_operator.crd import Scheduler
    from region_operator.database.store import Database

log = logging.getLogger(__name__)

NOTE_SECONDS = 10
"""No reconcile waits longer until what is in force is written down."""

EVERY_SECONDS = 60.0
SETTLE_SECONDS = 120
"""No settling takes longer: what was settled by then stays, what is left is done by the next."""

_OUTSIDE = (*ERRORS, SQLAlchemyError, TimeoutError)
"""What goes wrong outside of this process: a traceback would tell nothing."""


class Ledger:
    """Keeps region_schedule and job_run true to what happened."""

    def __init__(self, api: Api, *, retention: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._clock = clock
        self._began = clock()
        self._doubted: float | None = None
        self._news = False
        self._settling: Settling | None = None
        self._noted = asyncio.Event()
        self._notes, self._settlings = Streak(), Streak()
        self._delays = iter(Backoffs())
        self.witness = Witness(api)

    def begin(self) -> None:
        """Note that a reconcile begins: what it reads from now on, and changes, it will have written down."""
        self.doubt()
        self._began, self._news = self._clock(), False

    def doubt(self) -> None:
        """Note that from now on something else may be in force than is written down."""
        self._news = True
        if self._doubted is None:
            self._doubted = self._clock()

    async def note(self, database: Database, scheduler: Scheduler, cronjobs: Collection[Mapping[str, Any]]) -> None:
        """Write down what is in force, by all CronJobs of ours as a reconcile left them. Raises nothing but
        cancellation.
        """
        if not await _tried(_write(database, scheduler, cronjobs), self._notes, seconds=NOTE_SECONDS):
            return
        if self._settling is None or not self._settling.is_for(database.engine, scheduler):
            self._settling = Settling(database.engine, scheduler, self.witness, retention=self._retention)
        self._doubted = self._began if self._news else None
        self._noted.set()

    @property
    def unsettled(self) -> timedelta:
        """The length of the time just past that must not be settled yet. A tick of its last few seconds is never due,
        and that its schedule has changed may not be known.
        """
        doubted = 0.0 if self._doubted is None else self._clock() - self._doubted
        return timedelta(seconds=LATENESS_TOLERANCE_SECONDS + doubted)

    async def run(self) -> NoReturn:
        """Settle again and again until cancelled, from when what is in force was written down for the first time.

        Cancelled, it leaves a settling to its own end, which is near: a database that hangs keeps one for 5 to 10 s.
        """
        await self._noted.wait()
        while True:
            settling = asyncio.ensure_future(self.settle())
            try:
                seconds = await asyncio.shield(settling)
            finally:
                settling.cancel()
            await asyncio.sleep(seconds)

    async def settle(self) -> float:
        """Settle what is due; return in how many seconds to do so again, sooner after a failure. Raises nothing but
        cancellation.
        """
        if self._settling is None:
            return EVERY_SECONDS
        if not await _tried(self._settling.settle(self.unsettled), self._settlings, seconds=SETTLE_SECONDS):
            return next(self._delays)
        self._delays = iter(Backoffs())
        return EVERY_SECONDS


async def _write(database: Database, scheduler: Scheduler, cronjobs: Collection[Mapping[str, Any]]) -> None:
    source = str(Table.parse(scheduler.spec.source.table, default_schema=database.schema))
    await write_in_force(database.engine, look(cronjobs), source=source, scheduler=scheduler.uid)


async def _tried(work: Awaitable[object], streak: Streak, *, seconds: float) -> bool:
    """Wait for some work, for so long; count and log what goes wrong. Return whether nothing did."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception as error:
        metrics.LEDGER_FAILURES.inc()
        if keys := streak.failed(words := _in_words(error, seconds)):
            log.warning("not accounted", extra={"error": words, **keys}, exc_info=not isinstance(error, _OUTSIDE))
        return False
    if keys := streak.ended():
        log.info("accounted again", extra=keys)
    return True


def _in_words(error: Exception, seconds: float) -> str:
    """Say what went wrong, the same of the same: without a statement's values or an answer's headers, which differ."""
    if isinstance(error, ApiException):
        return in_words(error)
    if isinstance(error, TimeoutError) and not str(error):
        return f"not done within {seconds:.0f} s"
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause) or type(cause).__name__
