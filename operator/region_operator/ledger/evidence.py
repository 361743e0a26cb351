"""Gathers what is known of ticks without a row and of open runs, and has `causes` judge.

The Jobs come from `job_watch`, the earlier ticks of a region from the database. Each is asked only for the ticks where
the answer can matter. Writing the verdicts is left to `finalize`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.ledger.causes import Evidence, Verdict, judge, judge_open
from region_operator.ledger.job_run_queries import find_long_runs
from region_operator.regions.slots import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.cronjobs.job import Job
    from region_operator.ledger.batches import Batches
    from region_operator.ledger.causes import LongRun
    from region_operator.ledger.expected_ticks import ExpectedTick
    from region_operator.ledger.job_watch import JobWatch
    from region_operator.ledger.open_run_queries import OpenRun


async def judge_ticks(
    engine: AsyncEngine,
    source: str,
    due: Sequence[ExpectedTick],
    *,
    job_watch: JobWatch,
    namespace: str,
    watched_since: datetime,
    taken_over_at: Mapping[int, datetime],
    batches: Batches,
) -> list[tuple[ExpectedTick, Verdict]]:
    """Judge due ticks without a row; leave out the ticks without a verdict. `taken_over_at` is by slot.

    Raises sqlalchemy.exc.DBAPIError and what `api.ERRORS` lists.
    """
    jobs = await job_watch.find([tick.job for tick in due if tick.may_have_job], namespace)
    await job_watch.find_failures(jobs.values(), namespace)
    region_jobs = job_watch.jobs.by_region()
    without_job = [tick for tick in due if tick.job not in jobs and not tick.spec.suspended]
    long_runs: defaultdict[str, list[LongRun]] = defaultdict(list)
    for run in await find_long_runs(engine, source, without_job, batches):
        long_runs[run.region_id].append(run)

    def judge_all() -> list[tuple[ExpectedTick, Verdict]]:
        verdicts = []
        for tick in due:
            others = region_jobs.get(region_key(tick.region_id), ())
            runs = long_runs.get(tick.region_id, ())
            evidence = Evidence(
                job=jobs.get(tick.job),
                failure=job_watch.jobs.failure_of(tick.job),
                overlapped=any(run.was_in_the_way_of(tick) for run in runs) or _was_blocked(tick, others),
                watched_since=watched_since,
                taken_over_at=taken_over_at.get(slot_of(tick.region_id)) if taken_over_at else None,
            )
            if verdict := judge(tick, evidence):
                verdicts.append((tick, verdict))
        return verdicts

    return await asyncio.to_thread(judge_all)  # of ten thousand ticks, the event loop would stand still meanwhile


async def judge_open_runs(
    rows: Sequence[OpenRun], *, job_watch: JobWatch, namespace: str
) -> list[tuple[OpenRun, Verdict]]:
    """Judge open runs; leave out the runs whose Job may still try again. Raises what `api.ERRORS` lists.

    A verdict has the exit code of the attempt's own pod, if that pod was seen to fail.
    """
    if not rows:
        return []
    jobs = await job_watch.find({row.job for row in rows if row.job}, namespace)
    await job_watch.find_failures_in_pods([job for job in jobs.values() if job.failing], namespace)
    verdicts = []
    for row in rows:
        failure = job_watch.jobs.failure_of(row.job, pod=row.pod)
        if verdict := judge_open(jobs.get(row.job), failure, row.recorded_reason):
            of_its_pod = failure is not None and failure.pod == row.pod
            verdicts.append((row, replace(verdict, exit_code=failure.exit_code) if failure and of_its_pod else verdict))
    return verdicts


def _was_blocked(tick: ExpectedTick, region_jobs: Sequence[Job]) -> bool:
    """Whether another Job of the region was active while the controller could create the tick's Job.

    A rerun is in nobody's way: the controller does not count it.
    """
    others = (job for job in region_jobs if job.name != tick.job and not job.rerun)
    return any(job.was_active(tick.tick_at, tick.latest_start) for job in others)
