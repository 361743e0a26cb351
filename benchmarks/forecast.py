"""Measures what the forecast of ten thousand regions costs, compared with parsing their schedules once.

Every start of the operator parses each schedule, so the forecast may cost a few times that. Four tables are measured:
one that fits, one with a herd, one that is busy all day, and one with many kinds of schedules. Times depend on the
machine, so the CPU ratio is judged: LIMIT. The benchmark also prints for how long the event loop stood still, at most,
while the operator's Forecaster computed in its thread.

    .venv/bin/python -m benchmarks.forecast
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from region_operator.database.engine import make_engine
from region_operator.database.store import Database
from region_operator.forecaster import Forecaster
from region_operator.plan.demand import group_regions
from region_operator.plan.forecast import ASSUMED_TICK_TIME, make_forecast
from region_operator.plan.forecast_report import summarize
from region_operator.regions.cron_field import parse_field
from region_operator.regions.region import RegionRow
from region_operator.regions.schedule import Schedule, parse_schedule
from region_operator.scheduler import Spec
from region_tick.database_url import DatabaseUrl
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    T = TypeVar("T")

REGIONS = 10_000
LIMIT = 4.0
ROUNDS = 3
TABLES = {
    "spread over the hour": ["H * * * *"],
    "all in one minute": ["0 * * * *"],
    "busy all day": ["H/5 * * * *"],
    "many kinds": ["H/5 * * * *", "* * * * *", "0 * * * *", "*/15 * * * *", "H(0-29),H(30-59) H/3 * * *"],
}


def main() -> int:
    """Measure and print. Return 1 if a forecast costs more than LIMIT times the parsing."""
    table = Table("10,000 REGIONS", "PARSED, CPU S", "FORECAST, CPU S", "RATIO", "LOOP HELD, S", "", box=None)
    worst = 0.0
    for name, texts in TABLES.items():
        parsed, schedules = quickest(partial(parse, texts))
        forecast, found = quickest(partial(forecast_of, schedules))
        held = asyncio.run(longest_stop([region(number, texts) for number in range(REGIONS)]))
        worst = max(worst, forecast / parsed)
        table.add_row(name, f"{parsed:.3f}", f"{forecast:.3f}", f"{forecast / parsed:.1f}", f"{held:.3f}", found)
    Console(width=160).print(table)
    print(f"worst ratio {worst:.1f}, limit {LIMIT}")
    return int(worst > LIMIT)


def quickest(work: Callable[[], T]) -> tuple[float, T]:
    """Return the CPU seconds of the quickest of a few rounds, and the result."""
    seconds = []
    for _ in range(ROUNDS):
        before = time.process_time()
        result = work()
        seconds.append(time.process_time() - before)
    return min(seconds), result


def parse(texts: Sequence[str]) -> list[Schedule]:
    """Parse one schedule for each region, as at the operator's start."""
    parse_field.cache_clear()
    rows = (region(number, texts) for number in range(REGIONS))
    return [parse_schedule(row.cron_schedule, code=row.code) for row in rows]


def region(number: int, texts: Sequence[str]) -> RegionRow:
    """Return a row with one of the schedules."""
    code = f"region-{number:05}"
    return RegionRow("public.region_index", code, code, code, None, texts[number % len(texts)])


def forecast_of(schedules: Sequence[Schedule]) -> str:
    """Forecast once. Return the result in a line."""
    groups = group_regions(schedules, start_deadline=None)
    start = datetime(2026, 11, 24, 10, tzinfo=UTC)
    return summarize(make_forecast(groups, Spec(), tick_time=ASSUMED_TICK_TIME, start=start))


async def longest_stop(rows: Sequence[RegionRow]) -> float:
    """Return for how many seconds the event loop stood still, at most, while a Forecaster computed."""
    longest = 0.0

    async def turn() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    engine = make_engine(DatabaseUrl.parse("postgresql://127.0.0.1:1/none"))
    turning = asyncio.create_task(turn())
    await asyncio.sleep(0)
    await Forecaster().explain_overcommitment(Database(engine, "public", "left alone"), scheduler(), rows)
    turning.cancel()
    await engine.dispose()
    return longest


if __name__ == "__main__":
    sys.exit(main())
