"""One settling of the ledger: what is due of each source gets its rows, from what the cluster still tells.

A tick whose Job hangs holds its source's account back for as long as that Job may live, which can be a day. What was
settled after it is remembered here, so that meanwhile each settling looks at what is pending and at what is new, and at
nothing twice. That memory is an economy: a process that has none begins where the database's account ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.ledger.causes import Evidence, Verdict, judge, judge_open
from region_operator.ledger.expected_ticks import (
    ExpectedTick,
    TickKey,
    accounted_until,
    expected_ticks,
    recompute,
    slices,
)
from region_operator.ledger.job_run_queries import find_final, find_missing, read_periods, write_final_rows
from region_operator.ledger.open_run_queries import close_runs, find_open_runs
from region_operator.runtime import metrics
from region_tick.contract import tick_at_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.ledger.job_cache import Job
    from region_operator.ledger.job_cleanup import JobCleanup
    from region_operator.ledger.job_run_queries import Period, Written
    from region_operator.ledger.job_watch import JobWatch
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

LOOKED_EVERY = timedelta(minutes=4)
"""How long Jobs may not have been looked at before one can have come and gone unseen: a settling a minute, which takes
two at most, and one to spare.
"""
REMEMBERED = timedelta(hours=1)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source is settled: up to `until`, but for `pending`. `accounted` is what the database was told."""

    accounted: datetime
    until: datetime
    pending: frozenset[TickKey]


@dataclass(frozen=True, slots=True)
class JudgingLimits:
    """When a tick is to be judged: when nothing can claim it any more, and what was in force is known up to the last
    moment in which its Job can have been made.
    """

    now: datetime
    known_until: datetime

    def has(self, tick: ExpectedTick) -> bool:
        return not tick.may_be_claimed(self.now) and tick.latest_start <= self.known_until


class Finalizer:
    """Settles the sources of one RegionScheduler in one database, again and again. One at a time: its caller sees to
    that.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        scheduler: Scheduler,
        *,
        job_watch: JobWatch,
        job_cleanup: JobCleanup,
        retention: timedelta,
    ) -> None:
        self._engine = engine
        self._namespace = scheduler.namespace
        self._uid = scheduler.uid
        self._job_watch = job_watch
        self._job_cleanup = job_cleanup
        self._retention = retention
        self._progress: dict[str, Progress] = {}
        self._listed_at = self._watched_since = _LONG_AGO

    def is_for(self, engine: AsyncEngine, scheduler: Scheduler) -> bool:
        """Whether it settles for them."""
        return (engine, scheduler.namespace, scheduler.uid) == (self._engine, self._namespace, self._uid)

    async def finalize(self, lag: timedelta) -> None:
        """Settle what is due, but for the time just past of such a length: what was in force then is not known yet.

        Raises sqlalchemy.exc.SQLAlchemyError, TimeoutError and what `api.ERRORS` lists; what was settled stays.
        """
        asked = time.monotonic()
        now, periods = await read_periods(self._engine, scheduler=self._uid, retention=self._retention)
        until = now - lag - timedelta(seconds=time.monotonic() - asked)
        await self._job_watch.look(self._namespace, now)
        if now - self._listed_at > LOOKED_EVERY:
            self._watched_since = now
        self._listed_at = now
        await self._job_cleanup.delete_overdue(self._namespace, now)
        await self._close()
        self._progress = {period.source: self._known(period) for period in periods}
        for period in periods:
            await self._advance(period, now, until)
        await self._delete_waiting(periods)
        progress = self._progress.values()
        metrics.LEDGER_UNTIL.set(min((known.accounted for known in progress), default=until).timestamp())
        oldest = min([until, *(tick_at for known in progress for _, tick_at in known.pending)])
        self._job_watch.jobs.forget(oldest - REMEMBERED)

    def _known(self, period: Period) -> Progress:
        """Return what is known of a source, unless somebody else has settled it meanwhile."""
        known = self._progress.get(period.source)
        if known is None or known.accounted != period.accounted_until:
            return Progress(period.accounted_until, period.after, frozenset())
        return known

    async def _advance(self, period: Period, now: datetime, until: datetime) -> None:
        """Settle a source: what was pending, then what is new."""
        known = self._progress[period.source]
        before = [key for key in known.pending if key[1] > period.after]
        ticks = await asyncio.to_thread(recompute, period.versions, before)
        due = JudgingLimits(now, until)
        pending = await self._finalize_ticks(period, ticks, frozenset(), due, known.until)
        for start, end in slices(known.until, until):
            ticks = await asyncio.to_thread(expected_ticks, period.versions, after=start, until=end)
            pending = await self._finalize_ticks(period, ticks, pending, due, end)

    async def _finalize_ticks(
        self,
        period: Period,
        ticks: Sequence[ExpectedTick],
        pending: frozenset[TickKey],
        due: JudgingLimits,
        until: datetime,
    ) -> frozenset[TickKey]:
        """Settle ticks, the last that there were up to `until`; return those that are `pending` with them."""
        without = await find_missing(self._engine, period.source, ticks)
        verdicts = await self._judge([(tick, overlapped) for tick, overlapped in without if due.has(tick)])
        pending |= {tick.key for tick, _ in without} - {tick.key for tick, _ in verdicts}
        accounted = accounted_until(pending, until)
        written = await write_final_rows(self._engine, period.source, verdicts, until=accounted)
        self._progress[period.source] = Progress(max(accounted, period.accounted_until), until, pending)
        _count(written)
        return pending

    async def _judge(self, due: Sequence[tuple[ExpectedTick, bool]]) -> list[tuple[ExpectedTick, Verdict]]:
        jobs = await self._job_watch.find([tick.job for tick, _ in due if tick.may_have_job], self._namespace)
        await self._job_watch.look_for_failures(jobs.values(), self._namespace)
        others = self._job_watch.jobs.by_region()
        verdicts = []
        for tick, overlapped in due:
            evidence = Evidence(
                job=jobs.get(tick.job),
                trouble=self._job_watch.jobs.failure_of(tick.job),
                overlapped=overlapped or _blocked(tick, others.get(region_key(tick.region_id), ())),
                watched_since=self._watched_since,
            )
            if verdict := judge(tick, evidence):
                verdicts.append((tick, verdict))
        return verdicts

    async def _close(self) -> None:
        """Close the rows whose attempts ended without a word, and will not be tried again."""
        rows = await find_open_runs(self._engine, scheduler=self._uid)
        if not rows:
            return
        jobs = await self._job_watch.find({row.job for row in rows if row.job}, self._namespace)
        await self._job_watch.look_at_pods([job for job in jobs.values() if job.failing], self._namespace)
        verdicts = []
        for row in rows:
            verdict = judge_open(jobs.get(row.job), self._job_watch.jobs.failure_of(row.job), row.said)
            if verdict:
                verdicts.append((row, verdict))
        if verdicts:
            _count(await close_runs(self._engine, verdicts))

    async def _delete_waiting(self, periods: Sequence[Period]) -> None:
        """Delete the Jobs that wait for their first pod and whose ticks are final, whoever wrote that and when. A
        CronJob that is gone and settled to its end is in no period any more: its Jobs hold no region.
        """
        waiting: defaultdict[str, list[tuple[datetime, Job]]] = defaultdict(list)
        for job in self._job_watch.jobs.waiting():
            cronjob = job.name.rpartition("-")[0]
            if tick_at := tick_at_of(job.name, cronjob=cronjob):
                waiting[cronjob].append((tick_at, job))
        jobs = {
            (*interval.key, tick_at): job
            for period in periods
            for interval in period.versions
            for tick_at, job in waiting.get(interval.spec.cronjob, ())
        }
        found = await find_final(self._engine, list(jobs))
        await self._job_cleanup.delete_waiting({jobs[tick] for tick in found}, self._namespace)


def _blocked(tick: ExpectedTick, others: Sequence[Job]) -> bool:
    return any(job.name != tick.job and job.was_active(tick.tick_at, tick.latest_start) for job in others)


def _count(written: Sequence[Written]) -> None:
    if not written:
        return
    counts = Counter((row.state, row.reason) for row in written)
    for (state, reason), count in counts.items():
        metrics.LEDGER_ROWS.labels(state, reason).inc(count)
    told = {f"{state}: {reason}": count for (state, reason), count in sorted(counts.items())}
    log.info("accounted", extra={"rows": told})
