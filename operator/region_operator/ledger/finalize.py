"""Finalizes the ledger: a pass gives every due tick of this installation a final row, by what the cluster shows.

A tick with a hanging Job stays pending for as long as the Job may live, up to a day. The ledger's `accounted_until`
cannot pass a pending tick. So the Finalizer remembers which later ticks are final: each pass looks at pending ticks and
at new ticks, and at no tick twice. The memory only saves work. A process without memory begins at `accounted_until`.

The ticks of suspended regions are counted first. The other ticks follow, one slice of time after the other; after a
pass that failed or was cut off, the slices are half as long. So a pass that takes too long ends further on each time.

The evidence is left to `evidence`, the verdicts to `causes`, the count to `suspensions`, the SQL to the modules that
end in `_queries`. When a pass runs is left to `service`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.ledger.batches import Batches
from region_operator.ledger.evidence import judge_open_runs, judge_ticks
from region_operator.ledger.expected_ticks import (
    SLICE,
    ExpectedTick,
    TickKey,
    expected_ticks,
    finalized_until,
    judged_until,
    recompute,
    slices,
)
from region_operator.ledger.job_run_queries import find_final, find_missing, write_final_rows
from region_operator.ledger.open_run_queries import close_runs, find_open_runs
from region_operator.ledger.period_queries import advance, read_periods
from region_operator.ledger.suspension_queries import count_ticks
from region_operator.ledger.suspensions import looked_at_from, ticks_to_count
from region_operator.runtime import metrics
from region_tick.contract import Reason, State, tick_at_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.cronjobs.job import Job
    from region_operator.ledger.job_cleanup import JobCleanup
    from region_operator.ledger.job_run_queries import WrittenRow
    from region_operator.ledger.job_watch import JobWatch
    from region_operator.ledger.period_queries import Period
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)

LONGEST_GAP = timedelta(minutes=4)
"""After a longer gap between two passes that knew the Jobs, a Job may have come and gone unseen.

A pass begins every minute and takes two minutes at most. One minute is to spare.
"""
JOBS_KEPT_FOR = timedelta(hours=1)
"""How long an ended Job is remembered beyond the oldest tick that is not final."""

SHORTEST_SLICE = timedelta(minutes=1)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the ticks of a source's slots are final.

    `finalized_until` is what the database's ledger says: all ticks up to then are final. `looked_until` is what the
    memory adds: all ticks up to then are final except the `pending` ticks.
    """

    finalized_until: datetime
    looked_until: datetime
    pending: frozenset[TickKey]


class Finalizer:
    """Finalizes the ticks of the slots that one installation owns in one database, pass by pass.

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
        self._installation = scheduler.installation
        self._job_watch = job_watch
        self._job_cleanup = job_cleanup
        self._retention = retention
        self._progress: dict[tuple[str, tuple[int, ...]], Progress] = {}
        self._caught_up_at = self._watched_since = _LONG_AGO
        self._batches = Batches()
        self.slice_length = SLICE

    def is_for(self, engine: AsyncEngine, scheduler: Scheduler) -> bool:
        """Whether this Finalizer works with this database for this RegionScheduler."""
        wanted = engine, scheduler.namespace, scheduler.installation
        return wanted == (self._engine, self._namespace, self._installation)

    async def finalize(self, lag: timedelta) -> None:
        """Run one pass. Leave out the last `lag` before now, for which region_schedule may be stale.

        Raises sqlalchemy.exc.SQLAlchemyError, TimeoutError and what `api.ERRORS` lists. Rows written before an error
        stay.
        """
        try:
            await self._finalize(lag)
        except BaseException:
            self.slice_length = max(self.slice_length / 2, SHORTEST_SLICE)
            raise
        self.slice_length = min(self.slice_length * 2, SLICE)

    async def _finalize(self, lag: timedelta) -> None:
        started = time.monotonic()
        now, periods = await read_periods(self._engine, installation=self._installation, retention=self._retention)
        until = judged_until(now, lag + timedelta(seconds=time.monotonic() - started))
        caught_up_at = await self._job_watch.catch_up(self._namespace)
        if caught_up_at - self._caught_up_at > LONGEST_GAP:
            self._watched_since = caught_up_at
        self._caught_up_at = caught_up_at
        await self._job_cleanup.delete_overdue(self._namespace)
        await self._close_open_runs()
        self._progress = {period.key: self._progress_of(period) for period in periods}
        for period in periods:
            await self._count_suspended(period, until)
            await self._finalize_source(period, until)
        await self._delete_waiting(periods)
        all_progress = self._progress.values()
        metrics.LEDGER_UNTIL.set(min((each.finalized_until for each in all_progress), default=until).timestamp())
        metrics.LEDGER_LOOKED_UNTIL.set(min((each.looked_until for each in all_progress), default=until).timestamp())
        oldest = min([until, *(tick_at for each in all_progress for _, tick_at in each.pending)])
        self._job_watch.jobs.forget(oldest - JOBS_KEPT_FOR)

    def _progress_of(self, period: Period) -> Progress:
        """Return the remembered progress; start anew if another process advanced the slots, or other slots joined."""
        progress = self._progress.get(period.key)
        if progress is None or progress.finalized_until != period.finalized_until:
            return Progress(period.finalized_until, period.after, frozenset())
        return progress

    async def _count_suspended(self, period: Period, until: datetime) -> None:
        """Count the ticks of suspensions up to `until`, before the ledger may pass the ticks."""
        suspended = await asyncio.to_thread(
            ticks_to_count, period.versions, period.suspensions, after=period.after, judged_until=until
        )
        count = await count_ticks(self._engine, period.source, suspended, installation=self._installation)
        _report({(State.SKIPPED, Reason.SUSPENDED): count} if count else {})

    async def _finalize_source(self, period: Period, until: datetime) -> None:
        """Finalize a source's pending ticks, then the source's new ticks up to `until`, slice by slice."""
        progress = self._progress[period.key]
        one_by_one = looked_at_from(period.versions, period.suspensions, after=period.after, judged_until=until)
        pending_before = [key for key in progress.pending if key[1] > period.after]
        ticks = await asyncio.to_thread(recompute, period.versions, pending_before, one_by_one)
        pending = await self._finalize_ticks(period, ticks, frozenset(), until, progress.looked_until)
        length = self.slice_length if period.versions else until - progress.looked_until
        for start, end in slices(progress.looked_until, until, length):
            ticks = await asyncio.to_thread(
                expected_ticks, period.versions, after=start, until=end, looked_at_from=one_by_one
            )
            pending = await self._finalize_ticks(period, ticks, pending, until, end)

    async def _finalize_ticks(
        self,
        period: Period,
        ticks: Sequence[ExpectedTick],
        pending: frozenset[TickKey],
        until: datetime,
        looked_until: datetime,
    ) -> frozenset[TickKey]:
        """Finalize the due ones of `ticks`, save the progress up to `looked_until`, and return all pending ticks.

        `pending` are the pending ticks before `ticks`.
        """
        missing = await find_missing(self._engine, period.source, ticks, self._batches)
        verdicts = await judge_ticks(
            self._engine,
            period.source,
            [tick for tick in missing if tick.is_due(until)],
            job_watch=self._job_watch,
            namespace=self._namespace,
            watched_since=self._watched_since,
            taken_over_at=period.taken_over_at,
            batches=self._batches,
        )
        pending |= {tick.key for tick in missing} - {tick.key for tick, _ in verdicts}
        final_until = finalized_until(pending, looked_until)
        _report(_count(await write_final_rows(self._engine, period.source, verdicts, self._batches)))
        await advance(self._engine, period, final_until, installation=self._installation)
        self._progress[period.key] = Progress(max(final_until, period.finalized_until), looked_until, pending)
        return pending

    async def _close_open_runs(self) -> None:
        """Close the rows of attempts that ended without recording an end, unless the Job may still try again."""
        rows = await find_open_runs(self._engine, installation=self._installation)
        verdicts = await judge_open_runs(rows, job_watch=self._job_watch, namespace=self._namespace)
        if verdicts:
            _report(_count(await close_runs(self._engine, verdicts)))

    async def _delete_waiting(self, periods: Sequence[Period]) -> None:
        """Delete the Jobs that wait for their first pod although their ticks are final, whoever wrote the final rows.

        A rerun is none of these, whatever its name: its tick is final before it begins.

        No period has the schedule version of a CronJob that is gone and final to the end. The CronJob's Jobs stay, and
        block no region.
        """
        waiting: defaultdict[str, list[tuple[datetime, Job]]] = defaultdict(list)
        for job in self._job_watch.jobs.waiting():
            cronjob = job.name.rpartition("-")[0]
            if not job.rerun and (tick_at := tick_at_of(job.name, cronjob=cronjob)):
                waiting[cronjob].append((tick_at, job))
        jobs = {
            (*version.key, tick_at): job
            for period in periods
            for version in period.versions
            for tick_at, job in waiting.get(version.spec.cronjob, ())
        }
        final = await find_final(self._engine, list(jobs), self._batches)
        await self._job_cleanup.delete_waiting({jobs[tick] for tick in final}, self._namespace)


def _count(written: Sequence[WrittenRow]) -> Counter[tuple[str, str]]:
    return Counter((row.state, row.reason) for row in written)


def _report(counts: Mapping[tuple[str, str], int]) -> None:
    """Count and log ticks by state and reason."""
    if not counts:
        return
    for (state, reason), count in counts.items():
        metrics.LEDGER_ROWS.labels(state, reason).inc(count)
    rows = {f"{state}: {reason}": count for (state, reason), count in sorted(counts.items())}
    log.info("accounted", extra={"rows": rows})
