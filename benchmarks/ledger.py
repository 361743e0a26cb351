"""Measures how long the ledger takes for ten thousand regions, compared with a floor; then with a history of days.

The cases run in turn, ROUNDS times in one run, on a Postgres made for the run:

- all ticks of a quarter of an hour lack their row.
- all ticks of a quarter of an hour have their row, as nearly always.
- a minute passes while a tick of each region has hung for an hour; the process remembers the hanging ticks.
- the same after a restart: the process begins at the last moment up to which the ledger is complete.
- the floor: one plain INSERT statement writes the rows of a quarter of an hour. No program could be faster.

Times depend on the machine, so the benchmark judges ratios: each case's median may be LIMITS times the floor's at most.
The cases with a history are those of `ledger_history`, on the same server.

    .venv/bin/python -m benchmarks.ledger
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.ledger_history import measure_history
from devcluster.postgres import Postgres
from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import migrate
from region_operator.ledger.batches import Batches
from region_operator.ledger.causes import Evidence, judge
from region_operator.ledger.expected_ticks import SLICE, expected_ticks, recompute, slices
from region_operator.ledger.job_run_queries import find_long_runs, find_missing, write_final_rows
from region_operator.ledger.period_queries import read_periods
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
REGIONS = 10_000
ROUNDS = 5
TICKS = 3 * REGIONS
"""The number of ticks in a quarter of an hour, with the schedules of CRONS."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FLOOR_CASE = "floor: one INSERT"
LIMITS = {"all lost": 25, "none lost": 15, "minute, 10,000 hang": 10, "the same after a restart": 40}
CRONS = [f"{minute}-59/5 * * * *" for minute in range(5)]
FLOOR = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)
SELECT 'floor', n::text, now() - n % 15 * interval '1 minute', 'r', '* * * * *', 'missed'
FROM generate_series(1, CAST(:rows AS integer)) n
"""


def main() -> int:
    """Measure and print a table. Return 1 if the ledger takes too long."""
    with Postgres.temporary() as server:
        seconds = asyncio.run(measure(server.url()))
        server.create_database("history")
        figures = asyncio.run(measure_history(server.url("history")))
    medians = {case: statistics.median(each) for case, each in seconds.items()}
    ratios = {case: median / medians[FLOOR_CASE] for case, median in medians.items()}
    table = Table(f"{REGIONS:,} REGIONS, {TICKS:,} TICKS", "MEDIAN SECONDS", "RATIO", "AT MOST", box=None)
    for case, median in medians.items():
        table.add_row(case, f"{median:.2f}", f"{ratios[case]:.1f}", str(LIMITS.get(case, "")))
    Console().print(table)
    history = Table("WITH A HISTORY", "FIGURE", "AT MOST", box=None)
    for figure in figures:
        history.add_row(figure.what, f"{figure.value:,.2f} {figure.unit}", f"{figure.limit:,} {figure.unit}")
    Console().print(history)
    kept = all(ratios[case] <= limit for case, limit in LIMITS.items())
    return 0 if kept and all(figure.value <= figure.limit for figure in figures) else 1


async def measure(url: str) -> dict[str, list[float]]:
    """Return the seconds of each round by case. Raises RuntimeError if a case has an unexpected number of rows."""
    await migrate(DatabaseUrl.parse(url))
    engine = make_engine(DatabaseUrl.parse(url))
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    versions = {(SOURCE, row.region_id): row for row in (_schedule_version(number, now) for number in range(REGIONS))}
    cases: dict[str, tuple[Callable[[], Awaitable[int]], int]] = {
        "all lost": (lambda: finalize_missing(engine, now), TICKS),
        "none lost": (lambda: finalize_missing(engine, now), 0),
        "minute, 10,000 hang": (lambda: look_again(engine, now, MINUTE), REGIONS + REGIONS // 5),
        "the same after a restart": (lambda: look_again(engine, now, HOUR), REGIONS + 4 * TICKS),
        FLOOR_CASE: (lambda: insert(engine), TICKS),
    }
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    try:
        await save_versions(engine, versions, installation="uid")
        for _ in range(ROUNDS):
            async with transaction(engine) as connection:
                await connection.execute(text("TRUNCATE region_tick.job_run"))
            for case, (run, expected_rows) in cases.items():
                started = time.perf_counter()
                rows = await run()
                seconds[case].append(time.perf_counter() - started)
                if rows != expected_rows:
                    raise RuntimeError(f"{case}: {rows} instead of {expected_rows}")
    finally:
        await engine.dispose()
    return seconds


async def insert(engine: AsyncEngine) -> int:
    """Insert TICKS rows with one statement, and return the number of rows."""
    async with transaction(engine) as connection:
        return (await connection.execute(text(FLOOR), {"rows": TICKS})).rowcount


async def finalize_missing(engine: AsyncEngine, now: datetime) -> int:
    """Write the missing final rows of the last SLICE of time, and return how many rows were written."""
    _, [period] = await read_periods(engine, installation="uid", retention=timedelta(days=30))
    ticks = expected_ticks(period.versions, after=now - SLICE, until=now)
    missing = await find_missing(engine, SOURCE, ticks, Batches())
    await find_long_runs(engine, SOURCE, missing, Batches())
    evidence = Evidence(job=None, failure=None, overlapped=False, watched_since=now)
    verdicts = [(tick, verdict) for tick in missing if (verdict := judge(tick, evidence))]
    return len(await write_final_rows(engine, SOURCE, verdicts, Batches()))


async def look_again(engine: AsyncEngine, now: datetime, since: timedelta) -> int:
    """Look for the rows of ticks that have hung for an hour, and of ticks after `since`; return how many ticks.

    `since` is a span of time before `now`.
    """
    _, [period] = await read_periods(engine, installation="uid", retention=timedelta(days=30))
    hanging = expected_ticks(period.versions, after=now - HOUR, until=now - HOUR + 5 * MINUTE)
    ticks = recompute(period.versions, [tick.key for tick in hanging])
    await find_missing(engine, SOURCE, ticks, Batches())
    count = len(ticks)
    for start, end in slices(now - since, now):
        ticks = expected_ticks(period.versions, after=start, until=end)
        await find_missing(engine, SOURCE, ticks, Batches())
        count += len(ticks)
    return count


def _schedule_version(number: int, now: datetime) -> ScheduleVersion:
    spec = ScheduleSpec(
        cron=CRONS[number % len(CRONS)],
        code=f"r{number}",
        cronjob=f"r{number}-0123456789ab",
        start_deadline_seconds=100,
    )
    return ScheduleVersion(source=SOURCE, region_id=str(number), spec=spec, valid_from=now - timedelta(hours=1))


if __name__ == "__main__":
    sys.exit(main())
