"""regions/elsewhere.py on a real Postgres: what other installations say of their CronJobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from region_operator.regions.elsewhere import read_elsewhere
from region_operator.regions.handover import RegionElsewhere
from region_operator.regions.slot_owners import read_handover
from region_operator.regions.slots import ALL_SLOTS, slot_of
from tests.database.schema import run
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"


async def test_the_present_schedules_in_the_slots_to_take_over_are_read(database: str, engine: AsyncEngine) -> None:
    insert = (
        "INSERT INTO region_tick.region_schedule"
        " (source, region_id, cron, code, valid_from, valid_to, cronjob, start_deadline_seconds, suspended) VALUES"
    )
    run(
        database,
        f"{insert} ('{SOURCE}', 'a', '@daily', 'A', now() - interval '2 h', now() - interval '1 h', 'r', 60, false)",
        f"{insert} ('{SOURCE}', 'a', '@hourly', 'A', now() - interval '1 h', NULL, 'r', 60, false)",
        f"{insert} ('{SOURCE}', 'b', '5 0 * * *', 'B', now(), NULL, 'r', 60, true)",
        f"{insert} ('{SOURCE}', 'gone', '@daily', 'G', now() - interval '2 h', now(), 'r', 60, false)",
        f"{insert} ('public.other', 'c', '@daily', 'C', now(), NULL, 'r', 60, false)",
    )
    handover = await read_handover(engine, scheduler(), SOURCE)
    assert await read_elsewhere(engine, handover) == [], "nothing is taken over"
    found = await read_elsewhere(engine, replace(handover, taking=ALL_SLOTS))
    both = RegionElsewhere("a", "@hourly", suspended=False), RegionElsewhere("b", "5 0 * * *", suspended=True)
    assert sorted(found, key=lambda region: region.region_id) == [*both]
    assert await read_elsewhere(engine, replace(handover, taking=frozenset({slot_of("b")}))) == [both[1]]
