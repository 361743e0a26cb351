"""The ledger's step of a reconcile: what was in force, and what became of the ticks that were expected.

It comes after all that regions depend on; only the status waits for it, LIMIT_SECONDS at most. Whatever goes wrong here
is logged and counted, and the next reconcile does it again from what the database says. Ticks are settled at a
reconcile or not at all: where none is woken, that is once per refresh interval.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from region_operator import metrics
from region_operator.api import ERRORS
from region_operator.causes import Evidence, Verdict, judge, judge_open
from region_operator.cronjob import region_key
from region_operator.database.in_force import write_in_force
from region_operator.database.ledger import begin, close, missing, open_rows, settle
from region_operator.in_force import look, sources_of
from region_operator.ledger import Tick, accounted_until, expected, slices
from region_operator.refusal import in_words
from region_operator.source import Table
from region_operator.streak import Streak
from region_operator.witness import Witness
from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.api import Api
    from region_operator.crd import Scheduler
    from region_operator.database.ledger import Written
    from region_operator.database.store import Database
    from region_operator.jobs import Job

log = logging.getLogger(__name__)

LIMIT_SECONDS = 20
"""No reconcile waits longer for its ledger; what was settled by then stays, what is left is done by the next."""

EVERY_SECONDS = 60
BLINK = timedelta(minutes=2)
"""How much longer than its interval a refresh may be away before nobody can be said to have looked meanwhile."""
REMEMBERED = timedelta(hours=1)

_OUTSIDE = (*ERRORS, SQLAlchemyError, TimeoutError)
"""What goes wrong outside of this process: a traceback would tell nothing."""


class Ledger:
    """Keeps region_schedule and job_run true to what happened."""

    def __init__(self, api: Api, *, retention: timedelta) -> None:
        self._retention = retention
        self._began: float | None = None
        self._looked: datetime | None = None
        self._watched_since: datetime | None = None
        self._streak = Streak()
        self.witness = Witness(api)

    async def account(
        self,
        database: Database,
        scheduler: Scheduler,
        *,
        before: Collection[Mapping[str, Any]],
        after: Collection[Mapping[str, Any]],
    ) -> None:
        """Account for what was and is: our CronJobs `before` and `after` an apply. Raises nothing but cancellation."""
        source = str(Table.parse(scheduler.spec.source.table, default_schema=database.schema))
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await write_in_force(database.engine, look(after), sources={source, *sources_of(before)})
                if self._began is not None and time.monotonic() - self._began < EVERY_SECONDS:
                    return
                self._began = time.monotonic()
                await self._settle(database.engine, scheduler, source)
        except Exception as error:
            metrics.LEDGER_FAILURES.inc()
            if keys := self._streak.failed(words := _in_words(error)):
                log.warning("not accounted", extra={"error": words, **keys}, exc_info=not isinstance(error, _OUTSIDE))
        else:
            if keys := self._streak.ended():
                log.info("accounted again", extra=keys)

    async def _settle(self, engine: AsyncEngine, scheduler: Scheduler, source: str) -> None:
        period = await begin(engine, source, retention=self._retention)
        if period is None:
            return
        now, namespace = period.now, scheduler.namespace
        await self.witness.look(namespace, now)
        watched_since = self._watching(now, scheduler.spec.refresh_interval)
        await self.witness.delete_overdue(namespace, now)
        await self._close(engine, source, namespace)
        pending: list[Tick] = []
        # a tick of the last few seconds is never due, and its schedule may not be written down yet
        for start, end in slices(period.after, now - timedelta(seconds=LATENESS_TOLERANCE_SECONDS)):
            ticks = await asyncio.to_thread(expected, period.intervals, after=start, until=end)
            without = await missing(engine, source, ticks)
            due = [(tick, overlapped) for tick, overlapped in without if not tick.may_be_claimed(now)]
            verdicts = await self._judge(due, namespace, watched_since)
            settled = {(tick.region_id, tick.tick_at) for tick, _ in verdicts}
            pending += [tick for tick, _ in without if (tick.region_id, tick.tick_at) not in settled]
            until = accounted_until(pending, end)
            written = await settle(engine, source, verdicts, until=until)
            _count(written)
            self.witness.final(row.job for row in written)
            metrics.LEDGER_UNTIL.set(until.timestamp())
        await self.witness.delete_waiting(namespace)
        oldest = min((tick.tick_at for tick in pending), default=now)
        self.witness.jobs.forget(oldest - REMEMBERED)

    async def _judge(
        self, due: Sequence[tuple[Tick, bool]], namespace: str, watched_since: datetime
    ) -> list[tuple[Tick, Verdict]]:
        if not due:
            return []
        jobs = await self.witness.find([tick.job for tick, _ in due], namespace)
        await self.witness.look_for_trouble(jobs.values(), namespace)
        others = self.witness.jobs.by_region()
        verdicts = []
        for tick, overlapped in due:
            evidence = Evidence(
                job=jobs.get(tick.job),
                trouble=self.witness.jobs.trouble_of(tick.job),
                overlapped=overlapped or _blocked(tick, others.get(region_key(tick.region_id), ())),
                watched_since=watched_since,
            )
            if verdict := judge(tick, evidence):
                verdicts.append((tick, verdict))
        return verdicts

    async def _close(self, engine: AsyncEngine, source: str, namespace: str) -> None:
        """Close the rows whose attempts ended without a word, and will not be tried again."""
        rows = await open_rows(engine, source)
        if not rows:
            return
        jobs = await self.witness.find({row.job for row in rows}, namespace)
        await self.witness.look_at_pods([job for job in jobs.values() if job.failing], namespace)
        verdicts = []
        for row in rows:
            verdict = judge_open(jobs.get(row.job), self.witness.jobs.trouble_of(row.job), row.said)
            if verdict:
                verdicts.append((row, verdict))
        if verdicts:
            _count(await close(engine, source, verdicts))

    def _watching(self, now: datetime, refresh_interval: timedelta) -> datetime:
        """Return since when Jobs have been looked at without a gap in which one could come and go unseen."""
        gap = self._looked is None or now - self._looked > max(refresh_interval, timedelta(minutes=1)) + BLINK
        if self._watched_since is None or gap:
            self._watched_since = now
        self._looked = now
        return self._watched_since


def _in_words(error: Exception) -> str:
    """Say what went wrong, the same of the same: without a statement's values or an answer's headers, which differ."""
    if isinstance(error, ApiException):
        return in_words(error)
    if isinstance(error, TimeoutError) and not str(error):
        return f"not done within {LIMIT_SECONDS} s"
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause) or type(cause).__name__


def _blocked(tick: Tick, others: Sequence[Job]) -> bool:
    return any(job.name != tick.job and job.was_active(tick.tick_at, tick.latest_start) for job in others)


def _count(written: Sequence[Written]) -> None:
    if not written:
        return
    counts = Counter((row.state, row.reason) for row in written)
    for (state, reason), count in counts.items():
        metrics.LEDGER_ROWS.labels(state, reason).inc(count)
    told = {f"{state}: {reason}": count for (state, reason), count in sorted(counts.items())}
    log.info("accounted", extra={"rows": told})
