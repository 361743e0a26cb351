"""Finalizes the ledger: one pass gives every due tick of every source a final row, judged by what the cluster shows.

A tick with a hanging Job stays pending for as long as the Job may live, up to a day. The ledger's `accounted_until`
cannot pass a pending tick. So the Finalizer remembers which later ticks are final: each pass looks at pending ticks and
at new ticks, and at no tick twice. The memory only saves work. A process without memory begins at `accounted_until`.

The verdicts are left to `causes`, the SQL to `job_run_queries` and `open_run_queries`. When a pass runs is left to
`service`.
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
    expected_ticks,
    finalized_until,
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
    from region_operator.ledger.job_run_queries import Period, WrittenRow
    from region_operator.ledger.job_watch import JobWatch
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

MAX_LIST_GAP = timedelta(minutes=4)
"""After a longer gap between two lists of the Jobs, a Job may have come and gone unseen.

A pass begins every minute and takes two minutes at most. One minute is to spare.
"""
JOBS_KEPT_FOR = timedelta(hours=1)
"""How long an ended Job is remembered beyond the oldest tick that is not final."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the ticks of a source are final.

    `finalized_until` is what the database's ledger says: all ticks up to then are final. `looked_until` is what the
    memory adds: all ticks up to then are final except the `pending` ticks.
    """

    finalized_until: datetime
    looked_until: datetime
    pending: frozenset[TickKey]


@dataclass(frozen=True, slots=True)
class JudgingLimits:
    """Which ticks may be judged. `now` is the database's time.

    Ticks are judged only up to `known_until`, the last moment for which region_schedule is known to be current.
    """

    now: datetime
    known_until: datetime

    def is_due(self, tick: ExpectedTick) -> bool:
        """Whether no claim can come any more, and the schedule is known for the whole time in which the tick's Job can
        have been created.
        """
        return not tick.may_be_claimed(self.now) and tick.latest_start <= self.known_until


class Finalizer:
    """Finalizes the ticks of all sources of one RegionScheduler in one database, pass by pass.

    The caller runs one pass at a time.
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
        """Whether this Finalizer works with this database for this RegionScheduler."""
        return (engine, scheduler.namespace, scheduler.uid) == (self._engine, self._namespace, self._uid)

    async def finalize(self, lag: timedelta) -> None:
        """Run one pass. Leave out the last `lag` before now, for which region_schedule may be stale.

        Raises sqlalchemy.exc.SQLAlchemyError, TimeoutError and what `api.ERRORS` lists. Rows written before an error
        stay.
        """
        started = time.monotonic()
        now, periods = await read_periods(self._engine, scheduler=self._uid, retention=self._retention)
        until = now - lag - timedelta(seconds=time.monotonic() - started)
        await self._job_watch.refresh(self._namespace, now)
        if now - self._listed_at > MAX_LIST_GAP:
            self._watched_since = now
        self._listed_at = now
        await self._job_cleanup.delete_overdue(self._namespace, now)
        await self._close_open_runs()
        self._progress = {period.source: self._progress_of(period) for period in periods}
        for period in periods:
            await self._finalize_source(period, JudgingLimits(now, until))
        await self._delete_waiting(periods)
        all_progress = self._progress.values()
        metrics.LEDGER_UNTIL.set(min((each.finalized_until for each in all_progress), default=until).timestamp())
        oldest = min([until, *(tick_at for each in all_progress for _, tick_at in each.pending)])
        self._job_watch.jobs.forget(oldest - JOBS_KEPT_FOR)

    def _progress_of(self, period: Period) -> Progress:
        """Return the remembered progress of a source; start anew if another process has advanced the source."""
        progress = self._progress.get(period.source)
        if progress is None or progress.finalized_until != period.finalized_until:
            return Progress(period.finalized_until, period.after, frozenset())
        return progress

    async def _finalize_source(self, period: Period, limits: JudgingLimits) -> None:
        """Finalize a source's pending ticks, then the source's new ticks, slice by slice."""
        progress = self._progress[period.source]
        pending_before = [key for key in progress.pending if key[1] > period.after]
        ticks = await asyncio.to_thread(recompute, period.versions, pending_before)
        pending = await self._finalize_ticks(period, ticks, frozenset(), limits, progress.looked_until)
        for start, end in slices(progress.looked_until, limits.known_until):
            ticks = await asyncio.to_thread(expected_ticks, period.versions, after=start, until=end)
            pending = await self._finalize_ticks(period, ticks, pending, limits, end)

    async def _finalize_ticks(
        self,
        period: Period,
        ticks: Sequence[ExpectedTick],
        pending: frozenset[TickKey],
        limits: JudgingLimits,
        until: datetime,
    ) -> frozenset[TickKey]:
        """Finalize `ticks`, save the progress up to `until`, and return all pending ticks up to `until`.

        `pending` are the pending ticks before `ticks`.
        """
        missing = await find_missing(self._engine, period.source, ticks)
        verdicts = await self._judge([(tick, overlapped) for tick, overlapped in missing if limits.is_due(tick)])
        pending |= {tick.key for tick, _ in missing} - {tick.key for tick, _ in verdicts}
        final_until = finalized_until(pending, until)
        written = await write_final_rows(self._engine, period.source, verdicts, until=final_until)
        self._progress[period.source] = Progress(max(final_until, period.finalized_until), until, pending)
        _report(written)
        return pending

    async def _judge(self, due: Sequence[tuple[ExpectedTick, bool]]) -> list[tuple[ExpectedTick, Verdict]]:
        """Judge due ticks, given with whether an earlier tick overlapped; leave out the ticks without a verdict."""
        jobs = await self._job_watch.find([tick.job for tick, _ in due if tick.may_have_job], self._namespace)
        await self._job_watch.find_failures(jobs.values(), self._namespace)
        jobs_by_region = self._job_watch.jobs.by_region()
        verdicts = []
        for tick, overlapped in due:
            region_jobs = jobs_by_region.get(region_key(tick.region_id), ())
            evidence = Evidence(
                job=jobs.get(tick.job),
                failure=self._job_watch.jobs.failure_of(tick.job),
                overlapped=overlapped or _was_blocked(tick, region_jobs),
                watched_since=self._watched_since,
            )
            if verdict := judge(tick, evidence):
                verdicts.append((tick, verdict))
        return verdicts

    async def _close_open_runs(self) -> None:
        """Close the rows of attempts that ended without recording an end, unless the Job may still try again."""
        rows = await find_open_runs(self._engine, scheduler=self._uid)
        if not rows:
            return
        jobs = await self._job_watch.find({row.job for row in rows if row.job}, self._namespace)
        await self._job_watch.find_failures_in_pods([job for job in jobs.values() if job.failing], self._namespace)
        verdicts = []
        for row in rows:
            verdict = judge_open(jobs.get(row.job), self._job_watch.jobs.failure_of(row.job), row.recorded_reason)
            if verdict:
                verdicts.append((row, verdict))
        if verdicts:
            _report(await close_runs(self._engine, verdicts))

    async def _delete_waiting(self, periods: Sequence[Period]) -> None:
        """Delete the Jobs that wait for their first pod although their ticks are final, whoever wrote the final rows.

        No period has the schedule version of a CronJob that is gone and final to the end. The CronJob's Jobs stay, and
        block no region.
        """
        waiting: defaultdict[str, list[tuple[datetime, Job]]] = defaultdict(list)
        for job in self._job_watch.jobs.waiting():
            cronjob = job.name.rpartition("-")[0]
            if tick_at := tick_at_of(job.name, cronjob=cronjob):
                waiting[cronjob].append((tick_at, job))
        jobs = {
            (*version.key, tick_at): job
            for period in periods
            for version in period.versions
            for tick_at, job in waiting.get(version.spec.cronjob, ())
        }
        final = await find_final(self._engine, list(jobs))
        await self._job_cleanup.delete_waiting({jobs[tick] for tick in final}, self._namespace)


def _was_blocked(tick: ExpectedTick, region_jobs: Sequence[Job]) -> bool:
    """Whether another Job of the region was active while the controller could create the tick's Job."""
    return any(job.name != tick.job and job.was_active(tick.tick_at, tick.latest_start) for job in region_jobs)


def _report(written: Sequence[WrittenRow]) -> None:
    """Count and log the rows by state and reason."""
    if not written:
        return
    counts = Counter((row.state, row.reason) for row in written)
    for (state, reason), count in counts.items():
        metrics.LEDGER_ROWS.labels(state, reason).inc(count)
    rows = {f"{state}: {reason}": count for (state, reason), count in sorted(counts.items())}
    log.info("accounted", extra={"rows": rows})
