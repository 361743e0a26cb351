"""ledger/last_success_queries.py: who ticks, and since when nobody heard a success of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from region_operator.ledger.freshness import InForce, KnownRegion, sum_up
from region_operator.ledger.freshness_report import report_freshness
from region_operator.ledger.last_success_queries import read_ticking_regions
from region_operator.runtime.freshness_metrics import FRESHNESS
from region_operator.scheduler import Objective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE, OURS = "public.region_index", "ours"
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
"""The minute in which the test began."""

OWN = """
INSERT INTO region_tick.slot_owner (source, slot, installation)
SELECT :source, slot, :installation FROM generate_series(0, 255) AS slot
"""
SCHEDULE = """
INSERT INTO region_tick.region_schedule
    (source, region_id, cron, code, valid_from, valid_to, cronjob, start_deadline_seconds, suspended)
SELECT :source, region::text, :cron, 'R' || region, :valid_from, :valid_to, 'c', 20, :suspended
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS region
"""
SUCCEED = """
INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end, tick_at)
SELECT :source, region::text, :handler, :window_end, :tick_at
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS region
"""


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute of the import may be long ago, and every region late by now."""
    monkeypatch.setattr(f"{__name__}.NOW", datetime.now(UTC).replace(second=0, microsecond=0))


def ago(**units: float) -> datetime:
    return NOW - timedelta(**units)


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement), {"source": SOURCE, "first": 1, "last": 1} | values)


async def schedule(engine: AsyncEngine, since: datetime, until: datetime | None = None, **changes: Any) -> None:
    values = {"cron": "* * * * *", "suspended": False} | changes
    await execute(engine, SCHEDULE, valid_from=since, valid_to=until, **values)


async def succeed(engine: AsyncEngine, tick_at: datetime | None, **changes: Any) -> None:
    await execute(engine, SUCCEED, **({"handler": "poke", "tick_at": tick_at, "window_end": tick_at} | changes))


@pytest.fixture(autouse=True)
async def _owned(engine: AsyncEngine) -> None:
    await execute(engine, OWN, installation=OURS)


async def read(engine: AsyncEngine, installation: str = OURS) -> list[KnownRegion]:
    _, regions = await read_ticking_regions(engine, installation=installation)
    return sorted(regions, key=lambda region: region.code)


async def test_a_region_has_its_latest_success_of_any_handler(engine: AsyncEngine) -> None:
    await schedule(engine, ago(days=1))
    await succeed(engine, ago(minutes=9))
    await succeed(engine, None, handler="poll", window_end=ago(minutes=5))
    assert await read(engine) == [
        KnownRegion(code="R1", schedules=(InForce("* * * * *", ago(days=1)),), last_success=ago(minutes=5))
    ]


async def test_a_tick_that_fetches_an_old_window_is_a_success_of_its_own_minute(engine: AsyncEngine) -> None:
    await schedule(engine, ago(days=1))
    await succeed(engine, ago(minutes=1), window_end=ago(hours=7))
    [region] = await read(engine)
    assert region.last_success == ago(minutes=1)


async def test_suspended_regions_and_those_without_a_schedule_are_left_out(engine: AsyncEngine) -> None:
    await schedule(engine, ago(days=1), suspended=True)
    await schedule(engine, ago(days=1), ago(hours=1), first=2, last=2)
    await schedule(engine, ago(days=1), first=3, last=3)
    assert [region.code for region in await read(engine)] == ["R3"]


async def test_earlier_schedules_come_with_a_region_that_has_not_succeeded_since(engine: AsyncEngine) -> None:
    await schedule(engine, ago(days=3), ago(days=2), cron="1 * * * *")
    await schedule(engine, ago(days=2), ago(days=1), cron="2 * * * *", suspended=True)
    await schedule(engine, ago(days=1), cron="3 * * * *")
    [never] = await read(engine)
    assert never.schedules == (
        InForce("1 * * * *", ago(days=3), ago(days=2)),
        InForce("2 * * * *", ago(days=2), ago(days=1), suspended=True),
        InForce("3 * * * *", ago(days=1)),
    )
    await succeed(engine, ago(hours=30))
    [since] = await read(engine)
    assert since.schedules == never.schedules[1:]
    await execute(engine, "UPDATE region_tick.region_cursor SET window_end = :at, tick_at = :at", at=ago(hours=1))
    [fresh] = await read(engine)
    assert fresh.schedules == never.schedules[2:]


async def test_an_installation_reads_the_regions_of_its_own_slots(engine: AsyncEngine) -> None:
    await schedule(engine, ago(days=1), last=50)
    await execute(engine, "UPDATE region_tick.slot_owner SET installation = 'theirs' WHERE slot < 128")
    mine, others = await read(engine), await read(engine, "theirs")
    assert len(mine) + len(others) == 50
    assert len(mine) > 0 < len(others)


@pytest.fixture
def _nothing_served() -> Iterator[None]:
    FRESHNESS.show_nothing()
    yield
    FRESHNESS.show_nothing()


def served() -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in FRESHNESS.collect()
        for sample in family.samples
    }


@pytest.mark.usefixtures("_nothing_served")
async def test_what_was_read_is_served(engine: AsyncEngine) -> None:
    assert served() == {}
    await schedule(engine, ago(days=1), last=10)
    await succeed(engine, ago(minutes=0), last=7)
    await succeed(engine, ago(minutes=20), first=8, last=9)
    objective = Objective(succeed_within_intervals=3, ratio="99.5%")
    await report_freshness(engine, installation=OURS, objective=objective, is_wanted=lambda: True)
    found = served()
    assert found["region_operator_ticking_regions",] == 10
    assert found["region_operator_regions_behind_objective",] == 3
    assert found["region_operator_objective_ratio",] == 0.995
    assert found["region_operator_late_regions", "10"] == 3
    assert found["region_operator_late_regions", "50"] == 1
    named = {key[1]: value for key, value in found.items() if key[0] == "region_operator_region_intervals_late"}
    assert named.keys() == {"R8", "R9", "R10"}
    assert named["R10"] >= 24 * 60


@pytest.mark.parametrize("edited", [False, True], ids=["all fresh", "all edited and none has succeeded since"])
async def test_ten_thousand_regions_are_read_and_counted_in_a_moment(engine: AsyncEngine, edited: bool) -> None:
    """On tables that nobody analyzed: a plan that compares all with all would run into the statement's limit."""
    await schedule(engine, ago(days=30), ago(hours=1) if edited else None, last=10_000, cron="*/5 * * * *")
    if edited:
        await schedule(engine, ago(hours=1), last=10_000, cron="*/7 * * * *")
    await succeed(engine, ago(hours=2) if edited else ago(minutes=0), last=10_000)
    now, regions = await read_ticking_regions(engine, installation=OURS)
    found = sum_up(regions, now=now, within=2)
    assert (found.regions, found.behind) == (10_000, 10_000 if edited else 0)
