"""How long the ledger takes for ten thousand regions, beside the least that any program could take.

On a Postgres of the run's own: every tick of a quarter of an hour has its row, as nearly always; none has; and a minute
in which a tick of each region hangs since an hour ago, who remembers that, and who begins where the account was left.
The floor is one plain INSERT of as many rows by one statement. What counts is the ratio: times depend on the
machine.

    .venv/bin/python -m benchmarks.ledger
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from devcluster.postgres import Postgres
from region_operator.causes import Evidence, judge
from region_operator.database.engine import make_engine, transaction
from region_operator.database.in_force import write_in_force
from region_operator.database.ledger import begin, missing, settle
from region_operator.database.migrate import migrate
from region_operator.in_force import Interval, Terms
from region_operator.ledger import SLICE, again, expected, slices
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
REGIONS = 10_000
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CRONS = [f"{minute}-59/5 * * * *" for minute in range(5)]
FLOOR = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)
SELECT 'floor', n::text, now() - n % 15 * interval '1 minute', 'r', '* * * * *', 'missed'
FROM generate_series(1, CAST(:rows AS integer)) n
"""


def main() -> None:
    """Measure and print."""
    with Postgres.temporary() as server:
        figures = asyncio.run(measure(server.url()))
    table = Table("LEDGER", "ROWS", "SECONDS", box=None)
    for name, (rows, seconds) in figures.items():
        table.add_row(name, str(rows), f"{seconds:.2f}")
    floor = figures["floor: one INSERT"][1]
    table.add_row("ratio, all lost to floor", "", f"{figures['all lost'][1] / floor:.1f}")
    Console().print(table)


async def measure(url: str) -> dict[str, tuple[int, float]]:
    """Return rows and seconds by case."""
    await migrate(DatabaseUrl.parse(url))
    engine = make_engine(DatabaseUrl.parse(url))
    now = datetime.now(UTC)
    intervals = {(SOURCE, row.region_id): row for row in (_interval(number, now) for number in range(REGIONS))}
    figures: dict[str, tuple[int, float]] = {}
    try:
        for case in ("schedules written", "schedules unchanged"):
            started = time.perf_counter()
            rows = await write_in_force(engine, intervals, source=SOURCE, scheduler="uid")
            figures[case] = rows, time.perf_counter() - started
        for case in ("all lost", "none lost"):
            started = time.perf_counter()
            figures[case] = await account(engine, now), time.perf_counter() - started
        for case, since in (("minute, 10,000 hang", MINUTE), ("the same after a restart", HOUR)):
            started = time.perf_counter()
            figures[case] = await look_again(engine, now, since), time.perf_counter() - started
        started = time.perf_counter()
        async with transaction(engine) as connection:
            rows = (await connection.execute(text(FLOOR), {"rows": figures["all lost"][0]})).rowcount
        figures["floor: one INSERT"] = rows, time.perf_counter() - started
    finally:
        await engine.dispose()
    return figures


async def account(engine: AsyncEngine, now: datetime) -> int:
    """Account for a quarter of an hour; return how many rows that took."""
    _, [period] = await begin(engine, scheduler="uid", retention=timedelta(days=30))
    ticks = expected(period.intervals, after=now - SLICE, until=now)
    evidence = Evidence(job=None, trouble=None, overlapped=False, watched_since=now)
    verdicts = [
        (tick, verdict) for tick, _ in await missing(engine, SOURCE, ticks) if (verdict := judge(tick, evidence))
    ]
    return len(await settle(engine, SOURCE, verdicts, until=now - SLICE))


async def look_again(engine: AsyncEngine, now: datetime, since: timedelta) -> int:
    """Look at what is new and what hangs since an hour; return how many ticks those are."""
    _, [period] = await begin(engine, scheduler="uid", retention=timedelta(days=30))
    hanging = expected(period.intervals, after=now - HOUR, until=now - HOUR + 5 * MINUTE)
    ticks = again(period.intervals, [tick.key for tick in hanging])
    await missing(engine, SOURCE, ticks)
    count = len(ticks)
    for start, end in slices(now - since, now):
        ticks = expected(period.intervals, after=start, until=end)
        await missing(engine, SOURCE, ticks)
        count += len(ticks)
    return count


def _interval(number: int, now: datetime) -> Interval:
    terms = Terms(
        cron=CRONS[number % len(CRONS)],
        code=f"r{number}",
        cronjob=f"r{number}-0123456789ab",
        start_deadline_seconds=100,
    )
    return Interval(source=SOURCE, region_id=str(number), terms=terms, valid_from=now - timedelta(hours=1))


if __name__ == "__main__":
    main()
