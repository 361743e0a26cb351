"""forecaster.py on a real Postgres: the forecast goes by how long ticks took, and goes on without the ledger."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import text

from region_operator.database.engine import make_engine
from region_operator.database.store import Database
from region_operator.forecaster import MEASURE_EVERY_SECONDS, Forecaster, forecast_now
from region_operator.plan.forecast import ASSUMED_TICK_TIME
from region_tick.database_url import DatabaseUrl
from tests.database.test_tick_time import add_region, add_runs
from tests.harness.clock import Clock
from tests.harness.examples import PARIS, scheduler

if TYPE_CHECKING:
    import pytest
    from sqlalchemy.ext.asyncio import AsyncEngine

HERD = [replace(PARIS, id=str(number), cron_schedule="0 * * * *") for number in range(500)]


async def explain(forecaster: Forecaster, engine: AsyncEngine) -> str:
    return await forecaster.explain_overcommitment(Database(engine, "public"), scheduler(), HERD)


async def set_durations(engine: AsyncEngine, seconds: float) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE region_tick.job_run SET finished_at = started_at + :seconds * interval '1 second'"),
            {"seconds": seconds},
        )


async def test_what_ticks_take_is_measured_and_a_small_change_changes_no_word(engine: AsyncEngine) -> None:
    clock = Clock()
    forecaster = Forecaster(clock=clock)
    assert "5 s (an assumption" in await explain(forecaster, engine)
    await add_region(engine, "1")
    await add_runs(engine, "1", 20, seconds=5)
    assert "5 s (an assumption" in await explain(forecaster, engine), "it is not yet time to look"

    clock.now += MEASURE_EVERY_SECONDS
    measured = await explain(forecaster, engine)
    assert "a tick holds its slot for 8 s (the mean of the last day)" in measured

    for seconds, same in ((6.5, True), (3.6, True), (8.1, False)):
        await set_durations(engine, seconds)
        clock.now += MEASURE_EVERY_SECONDS
        assert (await explain(forecaster, engine) == measured) is same, seconds


async def test_a_database_that_is_away_changes_nothing_and_is_logged_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await add_region(engine, "1")
    await add_runs(engine, "1", 20, seconds=5)
    clock = Clock()
    forecaster = Forecaster(clock=clock)
    measured = await explain(forecaster, engine)
    away = make_engine(DatabaseUrl.parse("postgresql://nobody@127.0.0.1:1/none"))
    with caplog.at_level(logging.INFO, logger="region_operator.forecaster"):
        for _ in range(3):
            clock.now += MEASURE_EVERY_SECONDS
            assert await explain(forecaster, away) == measured
    assert [line.message for line in caplog.records] == ["not measured"]
    await away.dispose()


async def test_a_command_needs_no_schema_of_ours(empty_database: str) -> None:
    engine = make_engine(DatabaseUrl.parse(empty_database))
    found = await forecast_now(Database(engine, "public"), scheduler(), HERD)
    assert found.tick_time == ASSUMED_TICK_TIME
    assert found.start.second == 0
    assert found.due == 500 * 24
    await engine.dispose()
