"""How long the ledger takes for ten thousand regions, beside the least that any program could take.

On a Postgres of the run's own: none of a quarter of an hour's ticks has its row; each has, as nearly always; and a
minute in which a tick of each region hangs since an hour ago, for one who remembers that, and for one who begins where
the account was left. The floor is one plain INSERT of a quarter of an hour's rows by one statement. All in turn, ROUNDS
times in one run. What counts are the ratios of the medians to the floor's, which are to be LIMITS at most: times depend
on the machine.

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

from devcluster.postgres import Postgres
from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import migrate
from region_operator.ledger.causes import Evidence, judge
from region_operator.ledger.expected_ticks import SLICE, expected_ticks, recompute, slices
from region_operator.ledger.job_run_queries import find_missing, read_periods, write_final_rows
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
"""Of a quarter of an hour, by CRONS."""
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
    """Measure and print; 1 where the ledger takes too long."""
    with Postgres.temporary() as server:
        seconds = asyncio.run(measure(server.url()))
    medians = {case: statistics.median(each) for case, each in seconds.items()}
    ratios = {case: median / medians[FLOOR_CASE] for case, median in medians.items()}
    table = Table(f"{REGIONS:,} REGIONS, {TICKS:,} TICKS", "MEDIAN SECONDS", "RATIO", "AT MOST", box=None)
    for case, median in medians.items():
        table.add_row(case, f"{median:.2f}", f"{ratios[case]:.1f}", str(LIMITS.get(case, "")))
    Console().print(table)
    return 0 if all(ratios[case] <= limit for case, limit in LIMITS.items()) else 1


async def measure(url: str) -> dict[str, list[float]]:
    """Return the seconds of each round by case. Raises RuntimeError where a case does not do what it shall."""
    await migrate(DatabaseUrl.parse(url))
    engine = make_engine(DatabaseUrl.parse(url))
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    intervals = {(SOURCE, row.region_id): row for row in (_interval(number, now) for number in range(REGIONS))}
    cases: dict[str, tuple[Callable[[], Awaitable[int]], int]] = {
        "all lost": (lambda: account(engine, now), TICKS),
        "none lost": (lambda: account(engine, now), 0),
        "minute, 10,000 hang": (lambda: look_again(engine, now, MINUTE), REGIONS + REGIONS // 5),
        "the same after a restart": (lambda: look_again(engine, now, HOUR), REGIONS + 4 * TICKS),
        FLOOR_CASE: (lambda: insert(engine), TICKS),
    }
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    try:
        await save_versions(engine, intervals, source=SOURCE, scheduler="uid")
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
    """Insert as many rows; return how many."""
    async with transaction(engine) as connection:
        return (await connection.execute(text(FLOOR), {"rows": TICKS})).rowcount


async def account(engine: AsyncEngine, now: datetime) -> int:
    """Account for a quarter of an hour; return how many rows that took."""
    _, [period] = await read_periods(engine, scheduler="uid", retention=timedelta(days=30))
    ticks = expected_ticks(period.versions, after=now - SLICE, until=now)
    evidence = Evidence(job=None, trouble=None, overlapped=False, watched_since=now)
    verdicts = [
        (tick, verdict) for tick, _ in await find_missing(engine, SOURCE, ticks) if (verdict := judge(tick, evidence))
    ]
    return len(await write_final_rows(engine, SOURCE, verdicts, until=now - SLICE))


async def look_again(engine: AsyncEngine, now: datetime, since: timedelta) -> int:
    """Look at what is new and what hangs since an hour; return how many ticks those are."""
    _, [period] = await read_periods(engine, scheduler="uid", retention=timedelta(days=30))
    hanging = expected_ticks(period.versions, after=now - HOUR, until=now - HOUR + 5 * MINUTE)
    ticks = recompute(period.versions, [tick.key for tick in hanging])
    await find_missing(engine, SOURCE, ticks)
    count = len(ticks)
    for start, end in slices(now - since, now):
        ticks = expected_ticks(period.versions, after=start, until=end)
        await find_missing(engine, SOURCE, ticks)
        count += len(ticks)
    return count


def _interval(number: int, now: datetime) -> ScheduleVersion:
    terms = ScheduleSpec(
        cron=CRONS[number % len(CRONS)],
        code=f"r{number}",
        cronjob=f"r{number}-0123456789ab",
        start_deadline_seconds=100,
    )
    return ScheduleVersion(source=SOURCE, region_id=str(number), spec=terms, valid_from=now - timedelta(hours=1))


if __name__ == "__main__":
    sys.exit(main())
