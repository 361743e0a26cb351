"""database/upkeep.py on a real Postgres: once a day, beside the reconciles, and by the database's clock alone."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from region_operator.database.indexes import build_indexes, find_missing_indexes
from region_operator.database.partitions import ensure_partitions, list_days, partition_name
from region_operator.database.retention import DAYS_AT_ONCE
from region_operator.database.store import Store
from region_operator.database.upkeep import DAY_SECONDS, PASSING_FOR_SECONDS, TRUSTED_SKEW_SECONDS, Upkeep
from region_operator.runtime.remote_clock import RemoteClock, Skew
from tests.database.schema import run, value
from tests.harness.clock import Clock
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

RETENTION = timedelta(days=30)
CUTOFF = datetime.now(UTC).date() - RETENTION
TICK = (
    "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state)"
    " VALUES ('s', '{}', '2020-01-01', '', '', 'succeeded')"
)
BUILT = {"job_run_default_failed", "job_run_default_ended", "job_run_default_uncounted"}
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
UNDER_WAY = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"

OPEN = """
import asyncio, datetime as module, sys, time
ahead = module.timedelta(days=int(sys.argv[2]))

class Wrong(module.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + ahead

right = time.time
time.time = lambda: right() + ahead.total_seconds()
module.datetime = Wrong
from region_operator.database.store import Store

async def main():
    async with Store(lambda: sys.argv[1], may_migrate=True) as store:
        await store.open()
        await store._upkeep._working

asyncio.run(main())
"""
"""A program that opens a database while the clock of its own machine is so many days ahead."""

WRONG_CLOCK = """
CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql
AS $$ SELECT pg_catalog.clock_timestamp() + interval '{} days' $$
"""


def set_clock(database: str, *, days: int) -> None:
    """Have the database's new sessions read a clock that is so many days ahead."""
    run(database, "CREATE SCHEMA wrong", WRONG_CLOCK.format(days))
    name = value(database, "SELECT current_database()")
    run(database, f"ALTER DATABASE {name} SET search_path = wrong, pg_catalog, public")


async def partition(engine: AsyncEngine, day: date, days: int) -> None:
    async with engine.begin() as connection:
        await ensure_partitions(connection, day, days_ahead=days)


async def days_of(engine: AsyncEngine) -> set[date]:
    async with engine.begin() as connection:
        return set(await list_days(connection))


async def missing(engine: AsyncEngine) -> set[str]:
    return {index.name for index in await find_missing_indexes(engine)}


async def work(upkeep: Upkeep, engine: AsyncEngine, *, now: datetime | None = None, skew: Skew | None = None) -> None:
    """Begin, and wait for the end."""
    upkeep.begin(engine, now or datetime.now(UTC), skew)
    assert upkeep._working is not None
    await upkeep._working


def upkeep_with(clock: Clock, *, may_build: bool = False) -> Upkeep:
    return Upkeep(retention=RETENTION, may_build=may_build, clock=clock)


@pytest.mark.parametrize("ahead", [400, -400])
async def test_the_clock_of_the_operators_machine_decides_nothing(
    database: str, engine: AsyncEngine, ahead: int
) -> None:
    today = datetime.now(UTC).date()  # the import's day may be over
    old = today - RETENTION - timedelta(days=1)
    await partition(engine, old, 31)
    run(database, TICK.format(1).replace("2020-01-01", str(today)))
    before = await days_of(engine)
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", OPEN, database, str(ahead)], check=True, timeout=60, cwd="/"
    )
    assert await days_of(engine) == before - {old}
    assert value(database, "SELECT count(*) FROM region_tick.job_run") == 1


@pytest.mark.parametrize("days", [400, -400])
async def test_a_database_whose_clock_is_far_from_the_api_servers_forgets_nothing(
    database: str, engine: AsyncEngine, days: int, caplog: pytest.LogCaptureFixture
) -> None:
    await partition(engine, CUTOFF - timedelta(days=1), 31)
    before = await days_of(engine)
    set_clock(database, days=days)
    api_clock = RemoteClock()
    api_clock.observe(datetime.now(UTC), resolution=1, sent=api_clock.monotonic())
    async with Store(lambda: database, may_migrate=True, api_clock=api_clock) as store:
        await store.open()
        assert store.skew is not None
        assert store.skew.seconds == pytest.approx(days * DAY_SECONDS, abs=2)
        assert store.skew.error < 2
        said = lambda: "nothing forgotten" in [record.message for record in caplog.records]  # noqa: E731
        await asyncio.to_thread(eventually, said, what="it is told")
    assert before <= await days_of(engine)


async def test_a_database_whose_clock_jumps_while_nobody_can_tell_loses_two_days_a_day(
    engine: AsyncEngine,
) -> None:
    await partition(engine, CUTOFF, 30)
    standing, clock = await days_of(engine), Clock(1000)
    upkeep = upkeep_with(clock)
    for day in range(10):  # each time the database says that another year has passed
        await work(upkeep, engine, now=datetime.now(UTC) + timedelta(days=400 * day + 400))
        assert len(standing - await days_of(engine)) == DAYS_AT_ONCE
        clock.now += 8000
    clock.now = 1000 + DAY_SECONDS
    await work(upkeep, engine, now=datetime.now(UTC) + timedelta(days=400))
    assert len(standing - await days_of(engine)) == 2 * DAYS_AT_ONCE


async def test_partitions_are_made_for_the_databases_days(engine: AsyncEngine) -> None:
    upkeep, day = upkeep_with(Clock()), date(2040, 2, 28)
    await upkeep.make_partitions(engine, day)
    assert {day, day + timedelta(days=14)} <= await days_of(engine)
    await upkeep.make_partitions(engine, day + timedelta(days=1))
    assert day + timedelta(days=15) in await days_of(engine)


@pytest.mark.parametrize(("seconds", "forgets"), [(TRUSTED_SKEW_SECONDS, True), (-TRUSTED_SKEW_SECONDS - 2, False)])
async def test_a_small_skew_stops_nothing(engine: AsyncEngine, seconds: float, forgets: bool) -> None:
    await partition(engine, CUTOFF - timedelta(days=1), 0)
    clock = Clock(1000)
    upkeep = upkeep_with(clock)
    await work(upkeep, engine, skew=Skew(seconds, 1.0))
    assert (CUTOFF - timedelta(days=1) not in await days_of(engine)) is forgets
    clock.now += 12 * PASSING_FOR_SECONDS
    await work(upkeep, engine, skew=Skew(0.1, 0.5))
    assert CUTOFF - timedelta(days=1) not in await days_of(engine)


async def test_it_tries_again_soon_after_a_long_reader_and_no_sooner(engine: AsyncEngine) -> None:
    await partition(engine, CUTOFF - timedelta(days=1), 0)
    clock = Clock(1000)
    upkeep = upkeep_with(clock)
    async with engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM region_tick.job_run"))
        await work(upkeep, engine)
    clock.now += PASSING_FOR_SECONDS - 1
    await work(upkeep, engine)
    assert CUTOFF - timedelta(days=1) in await days_of(engine)  # ticks would queue up for nothing, again and again
    clock.now += 1
    await work(upkeep, engine)
    assert CUTOFF - timedelta(days=1) not in await days_of(engine)


async def test_it_says_what_went_what_stayed_and_what_waits(
    engine: AsyncEngine, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "region_operator.database.upkeep")
    await partition(engine, CUTOFF - timedelta(days=4), 3)
    days = [CUTOFF - timedelta(days=number) for number in (4, 3, 2, 1)]
    run(database, TICK.format(1).replace("2020-01-01", f"{days[0]} 12:00Z"))
    await work(upkeep_with(Clock(1000)), engine)
    (line,) = caplog.records
    told = vars(line)
    assert (line.message, told["kept"]) == ("forgotten", [str(days[0])])
    assert (told["dropped"], told["waiting"]) == ([str(days[1]), str(days[2])], [str(days[3])])


async def test_indexes_are_built_once_a_day(
    engine: AsyncEngine, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "region_operator.database.upkeep")
    async with Store(lambda: database, may_migrate=False) as store:
        await store.open()
    assert await missing(engine) == BUILT
    upkeep = upkeep_with(Clock(1000), may_build=True)
    await work(upkeep, engine)
    assert value(database, INVALID) == 0
    async with engine.begin() as connection:
        await connection.execute(text("DROP INDEX region_tick.job_run_ended"))
        await connection.execute(text("CREATE INDEX job_run_ended ON ONLY region_tick.job_run (finished_at)"))
    await work(upkeep, engine)
    assert [record.message for record in caplog.records] == ["indexes built"]
    assert await missing(engine)


async def test_a_build_that_is_refused_is_told(
    stranger: Callable[[str], str], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = stranger(database)
    role = url.removeprefix("postgresql://").partition(":")[0]
    run(
        database,
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA region_tick TO {role}",
    )
    async with Store(lambda: url, may_migrate=True) as store:
        await store.open()
        said = lambda: "indexes not built" in [record.message for record in caplog.records]  # noqa: E731
        await asyncio.to_thread(eventually, said, what="it is told")
    assert "nothing forgotten" in [record.message for record in caplog.records]
    run(database, f"DROP OWNED BY {role}")


async def test_a_day_that_the_role_may_not_make_is_told_and_stops_nothing(
    stranger: Callable[[str], str], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The role of somebody who installed yesterday, with all rights but those of the owner."""
    run(database, f"DROP TABLE IF EXISTS region_tick.{partition_name(datetime.now(UTC).date() + timedelta(days=14))}")
    url = stranger(database)
    role = url.removeprefix("postgresql://").partition(":")[0]
    run(
        database,
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA region_tick TO {role}",
    )
    async with Store(lambda: url, may_migrate=True) as store:
        await store.open()
    assert "no partitions" in [record.message for record in caplog.records]
    run(database, f"DROP OWNED BY {role}")


async def test_a_store_that_is_closed_leaves_no_build_behind(engine: AsyncEngine, database: str) -> None:
    with psycopg.connect(database) as writer:
        writer.execute(TICK.format(1).encode())
        async with asyncio.timeout(90):
            async with Store(lambda: database, may_migrate=True) as store:
                await store.open()
                await asyncio.to_thread(eventually, lambda: value(database, UNDER_WAY) == 1, what="it builds")
        writer.commit()
    await build_indexes(engine)
    assert value(database, INVALID) == 0
