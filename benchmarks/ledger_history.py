"""Measures the ledger on a database with the history of days: the cases of `benchmarks.ledger` that need one.

10,000 regions that tick every five minutes have 5 million rows, 2.88 million of them of the last day. 700 regions that
tick every minute have a day of rows. The real Finalizer works on it, with an API server that knows no Job.

- a settling: nearly all ticks of the last minutes have their row; and the same when no tick of the last five has one.
- an outage: no tick of the 700 regions has its row for 15 minutes.
- a weekend: all 10,000 regions are suspended for 64 hours, and settled 64 times. Compared with the time that the ledger
  takes to give as many ticks a row each.
- the questions that people ask of the ledger.

The limits in seconds are promises. A machine with two busy cores keeps them by far.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from kubernetes.aio import client
from sqlalchemy import text

from benchmarks.ledger_rows import CURSORS, FILL
from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import migrate
from region_operator.database.partitions import ensure_partitions
from region_operator.kube.api import Api
from region_operator.ledger.finalize import Finalizer
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_operator.ledger.suspension_queries import count_ticks
from region_operator.ledger.suspensions import Suspension, ticks_to_count
from region_operator.scheduler import Scheduler
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.ledger.suspensions import VersionKey

EVERY_FIVE, EVERY_MINUTE, SUSPENDED = "public.region_index", "public.every_minute", "public.suspended"
REGIONS, BUSY_REGIONS = 10_000, 700
HOURS, DAY = 42, timedelta(days=1)
WEEKEND_HOURS = 64
SETTLED, OUTAGE = timedelta(minutes=8), timedelta(minutes=15)
ROUNDS = 5
"""How often a thing is measured. The fastest round counts: what else the machine does is not the ledger's."""

QUESTIONS = {
    "last success of each region": "SELECT * FROM region_tick.last_success",
    "failures of the last hour": "SELECT * FROM region_tick.recent_failures",
    "p95 of durations a day": "SELECT * FROM region_tick.durations_by_day",
    "missed by cause": "SELECT * FROM region_tick.missed_by_cause",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its unit, and the limit that it may reach."""

    what: str
    value: float
    unit: str
    limit: float


class NoJobs(Api):
    """An API server that knows no object."""

    def __init__(self) -> None:
        super().__init__(client.ApiClient(client.Configuration()))

    async def get(self, path: str) -> dict[str, Any] | None:
        del path
        return None

    async def items(self, path: str) -> AsyncIterator[dict[str, Any]]:
        for item in path[:0]:
            yield {"name": item}


async def measure_history(url: str) -> list[Figure]:
    """Fill the empty database at `url` and return all figures. Raises RuntimeError if rows are missing afterwards."""
    await migrate(DatabaseUrl.parse(url))
    engine = make_engine(DatabaseUrl.parse(url))
    try:
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        figures = await fill(engine, now) + await questions(engine) + await settle(engine, now)
        seconds_a_row = figures[-1].value / await count(engine, EVERY_FIVE, now - SETTLED)
        return figures + await outage(engine, now) + await weekend(engine, now, seconds_a_row)
    finally:
        await engine.dispose()


async def fill(engine: AsyncEngine, now: datetime) -> list[Figure]:
    """Make the history, and vacuum it as autovacuum would."""
    async with transaction(engine) as connection:
        await ensure_partitions(connection, (now - timedelta(days=3)).date())
    five = timedelta(minutes=5)
    since = now - timedelta(minutes=now.minute % 5, hours=HOURS) + five
    await execute(engine, FILL, source=EVERY_FIVE, regions=REGIONS, since=since, until=now, every=five)
    busy = {"source": EVERY_MINUTE, "regions": BUSY_REGIONS, "every": timedelta(minutes=1)}
    await execute(engine, FILL, since=now - DAY, until=now - OUTAGE - timedelta(minutes=1), **busy)
    await execute(engine, CURSORS)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM (ANALYZE) region_tick.job_run"))
    for source, count, cron in ((EVERY_FIVE, REGIONS, "*/5 * * * *"), (EVERY_MINUTE, BUSY_REGIONS, "* * * * *")):
        versions = [version(source, number, cron, since=now - 3 * DAY) for number in range(1, count + 1)]
        await save_versions(engine, {row.key: row for row in versions}, installation=source)
    rows = await value(engine, "SELECT count(*) FROM region_tick.job_run")
    return [Figure("rows of history, in millions", rows / 1e6, "", 6.5)]


async def settle(engine: AsyncEngine, now: datetime) -> list[Figure]:
    """Measure a pass of the Finalizer when all is well, and when the ticks of the last minutes left no row."""
    since = now - SETTLED
    well = await fastest(partial(account_from, engine, EVERY_FIVE, since), partial(finalize, engine, EVERY_FIVE))
    lost = await fastest(partial(lose, engine, EVERY_FIVE, since), partial(finalize, engine, EVERY_FIVE))
    written = await count(engine, EVERY_FIVE, since)
    if written < REGIONS:
        raise RuntimeError(f"{written} rows were written")
    return [
        Figure("a settling of 10,000 regions, all is well", well, "s", 3),
        Figure(f"a settling that writes {written:,} rows", lost, "s", 3),
    ]


async def outage(engine: AsyncEngine, now: datetime) -> list[Figure]:
    """Measure the pass after 15 minutes in which 700 regions of every minute left no row."""
    since = now - OUTAGE - timedelta(minutes=1)
    seconds = await fastest(partial(lose, engine, EVERY_MINUTE, since), partial(finalize, engine, EVERY_MINUTE))
    written = await count(engine, EVERY_MINUTE, since)
    if written < BUSY_REGIONS * 15:
        raise RuntimeError(f"{written} rows were written")
    return [Figure(f"an outage of 15 min of 700 regions, {written:,} rows", seconds, "s", 3)]


async def questions(engine: AsyncEngine) -> list[Figure]:
    """Measure each question."""
    times = {question: await fastest(nothing, partial(execute, engine, query)) for question, query in QUESTIONS.items()}
    return [Figure(f"question: {question}", 1000 * seconds, "ms", 200) for question, seconds in times.items()]


async def weekend(engine: AsyncEngine, now: datetime, seconds_a_row: float) -> list[Figure]:
    """Settle 64 hours of suspension of all regions, an hour at a time.

    `seconds_a_row` is how long the ledger takes for a tick that gets a row of its own.
    """
    start = now - timedelta(hours=WEEKEND_HOURS)
    versions = [version(SUSPENDED, number, "*/5 * * * *", since=start, suspended=True) for number in range(REGIONS)]
    rows: dict[VersionKey, Suspension] = {}
    ticks, settling = 0, 0.0
    for hour in range(1, WEEKEND_HOURS + 1):
        began = time.perf_counter()
        until = start + timedelta(hours=hour, minutes=3)
        counted = ticks_to_count(versions, rows, after=start, judged_until=until)
        ticks += await count_ticks(engine, SUSPENDED, counted, installation="bench")
        settling += time.perf_counter() - began
        rows |= {(row.version.region_id, row.version.valid_from): Suspension(row.until, ended=False) for row in counted}
    until += timedelta(minutes=1)
    idle = await timed(
        lambda: count_ticks(
            engine,
            SUSPENDED,
            ticks_to_count(versions, rows, after=until, judged_until=until),
            installation="bench",
        )
    )
    if ticks < REGIONS * 12 * WEEKEND_HOURS:
        raise RuntimeError(f"{ticks:,} ticks were counted")
    written = await value(engine, "SELECT count(*) FROM region_tick.suspension")
    return [
        Figure(f"a weekend of 10,000 suspended regions, {ticks:,} ticks: rows", written, "", REGIONS),
        Figure(
            f"its settlings, {settling:.0f} s, over those with a row a tick", settling / ticks / seconds_a_row, "", 0.3
        ),
        Figure("a settling amid it that has nothing to carry on", idle, "s", 0.5),
    ]


def finalizer(engine: AsyncEngine, source: str) -> Finalizer:
    """Return a Finalizer without memory, as after a restart. Its RegionScheduler's uid is the source."""
    metadata = {"name": "default", "namespace": "n", "uid": source, "generation": 1, "resourceVersion": "1"}
    scheduler = Scheduler.from_object({"metadata": metadata, "spec": {}, "status": {}})
    api = NoJobs()
    watch = JobWatch(api)
    return Finalizer(engine, scheduler, job_watch=watch, job_cleanup=JobCleanup(api, watch), retention=30 * DAY)


def version(source: str, number: int, cron: str, *, since: datetime, suspended: bool = False) -> ScheduleVersion:
    name = f"code-{number}-0123456789ab"
    spec = ScheduleSpec(cron=cron, code="code", cronjob=name, start_deadline_seconds=20, suspended=suspended)
    return ScheduleVersion(source=source, region_id=str(number), spec=spec, valid_from=since)


async def finalize(engine: AsyncEngine, source: str) -> None:
    await finalizer(engine, source).finalize(timedelta(seconds=15))


async def lose(engine: AsyncEngine, source: str, since: datetime) -> None:
    """Delete the rows of the ticks after `since`, and have them settled anew."""
    gone = "DELETE FROM region_tick.job_run WHERE source = :source AND tick_at > :since"
    await execute(engine, gone, source=source, since=since)
    await account_from(engine, source, since)


async def account_from(engine: AsyncEngine, source: str, since: datetime) -> None:
    statement = "UPDATE region_tick.installation SET accounted_until = :since WHERE source = :source"
    await execute(engine, statement, source=source, since=since)


async def count(engine: AsyncEngine, source: str, since: datetime) -> int:
    query = "SELECT count(*) FROM region_tick.job_run WHERE source = :source AND tick_at > :since"
    return int(await value(engine, query, source=source, since=since))


async def value(engine: AsyncEngine, query: str, **values: Any) -> Any:
    return (await execute(engine, query, **values))[0][0]


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with transaction(engine, timeout_seconds=600) as connection:
        result = await connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


async def fastest(prepare: Callable[[], Awaitable[object]], work: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds of the fastest of ROUNDS rounds of `work`, each after `prepare`."""
    times = []
    for _ in range(ROUNDS):
        await prepare()
        times.append(await timed(work))
    return min(times)


async def nothing() -> None:
    """Prepare nothing."""


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that `work` takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
