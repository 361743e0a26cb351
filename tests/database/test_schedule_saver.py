"""ledger/schedule_saver.py on a real Postgres: only what changed is written, and region_schedule is right even so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from region_operator.cronjobs.labels import cronjob_name
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.database.store import Database
from region_operator.ledger import schedule_saver
from region_operator.ledger.region_schedule_queries import save_changed_versions, save_versions
from region_operator.ledger.schedule_saver import ScheduleSaver
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.slots import ALL_SLOTS
from tests.harness.examples import PARIS, applied, scheduler

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = PARIS.source


CREATED = datetime(2026, 11, 24, 10, tzinfo=UTC)


def live(
    number: int, *, cron: str = "@daily", source: str = SOURCE, code: str = "", created_at: datetime = CREATED
) -> LiveCronJob:
    region = replace(PARIS, source=source, id=str(number), code=code or f"R{number}")
    name = cronjob_name(region)
    manifest = render_cronjob(region, parse_schedule(cron), scheduler(), name=name, tick_image="t", suspended_by=None)
    created = {"creationTimestamp": created_at.isoformat()}
    return LiveCronJob.from_object(applied(manifest | {"metadata": manifest["metadata"] | created}))


async def current(engine: AsyncEngine) -> dict[str, str]:
    query = "SELECT region_id, cron FROM region_tick.region_schedule WHERE valid_to IS NULL ORDER BY region_id"
    async with engine.connect() as connection:
        return {row.region_id: row.cron for row in await connection.execute(text(query))}


async def ends(engine: AsyncEngine) -> dict[str, datetime]:
    query = "SELECT region_id, valid_to FROM region_tick.region_schedule WHERE valid_to IS NOT NULL"
    async with engine.connect() as connection:
        return {row.region_id: row.valid_to for row in await connection.execute(text(query))}


async def rename(engine: AsyncEngine, old: str, new: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE region_tick.{old} RENAME TO {new}"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the saver asks the database for: "all", or the keys of the regions that changed."""
    asked: list[Any] = []

    async def recorded_all(*arguments: Any, **keywords: Any) -> int:
        asked.append("all")
        return await save_versions(*arguments, **keywords)

    async def recorded_some(engine: AsyncEngine, found: Any, regions: Any, **keywords: Any) -> int:
        asked.append(sorted(region for _, region in regions))
        return await save_changed_versions(engine, found, regions, **keywords)

    monkeypatch.setattr(schedule_saver, "save_versions", recorded_all)
    monkeypatch.setattr(schedule_saver, "save_changed_versions", recorded_some)
    return asked


async def test_only_what_changed_is_written_and_a_full_look_compares_all(engine: AsyncEngine, asked: list[Any]) -> None:
    saver, database = ScheduleSaver(), Database(engine, "public")
    lives = [live(1), live(2), live(3)]
    await saver.save(database, scheduler(), lives, slots=ALL_SLOTS, look=1)
    assert await current(engine) == {"1": "@daily", "2": "@daily", "3": "@daily"}
    await saver.save(database, scheduler(), lives, slots=ALL_SLOTS, look=1)
    lives = [live(1), live(2, cron="@hourly"), live(4)]
    await saver.save(database, scheduler(), lives, slots=ALL_SLOTS, look=1)
    assert await current(engine) == {"1": "@daily", "2": "@hourly", "4": "@daily"}
    assert asked == ["all", ["2", "3", "4"]]
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM region_tick.region_schedule WHERE region_id = '1'"))
    await saver.save(database, scheduler(), lives, slots=ALL_SLOTS, look=1)
    assert "1" not in await current(engine)
    await saver.save(database, scheduler(), lives, slots=ALL_SLOTS, look=2)
    assert await current(engine) == {"1": "@daily", "2": "@hourly", "4": "@daily"}


async def test_after_a_failure_and_for_another_table_all_are_compared(engine: AsyncEngine, asked: list[Any]) -> None:
    saver, database = ScheduleSaver(), Database(engine, "public")
    lives = [live(1), live(2)]
    await saver.save(database, scheduler(), lives, slots=ALL_SLOTS, look=1)
    await rename(engine, "region_schedule", "away")
    with pytest.raises(Exception, match="does not exist"):
        await saver.save(database, scheduler(), [live(1)], slots=ALL_SLOTS, look=1)
    await rename(engine, "away", "region_schedule")
    await saver.save(database, scheduler(), [live(1)], slots=ALL_SLOTS, look=1)
    assert await current(engine) == {"1": "@daily"}
    await saver.save(database, scheduler(), [live(1), live(5, source="public.other")], slots=ALL_SLOTS, look=1)
    assert asked == ["all", ["2"], "all", "all"]


@pytest.mark.parametrize("look", [1, 2], ids=["some are compared", "all are compared"])
async def test_a_version_ends_when_the_successor_begins_or_the_cronjob_was_deleted(
    engine: AsyncEngine, look: int
) -> None:
    """Of a table that is seeded anew the old ids ticked until the save, and the ledger missed those ticks."""
    saver, database, second = ScheduleSaver(), Database(engine, "public"), timedelta(seconds=1)
    old, gone, lost = live(1), live(2), live(3)
    await saver.save(database, scheduler(), [old, gone, lost], slots=ALL_SLOTS, look=1)
    saver.remember_deletion(old.name, CREATED + 59 * second)
    saver.remember_deletion(gone.name, CREATED + 59 * second)
    new = live(4, code=old.told_code, created_at=CREATED + 61 * second)
    before = datetime.now(UTC) - second
    await saver.save(database, scheduler(), [new], slots=ALL_SLOTS, look=look)
    found = await ends(engine)
    assert found.pop("3") > before, "nobody knows when it was deleted"
    assert found == {"1": CREATED + 61 * second, "2": CREATED + 59 * second}


async def test_a_deletion_is_remembered_until_it_is_saved(engine: AsyncEngine) -> None:
    saver, database, minute = ScheduleSaver(), Database(engine, "public"), timedelta(minutes=1)
    await saver.save(database, scheduler(), [live(1)], slots=ALL_SLOTS, look=1)
    saver.remember_deletion(live(1).name, CREATED + minute)
    await rename(engine, "region_schedule", "away")
    with pytest.raises(Exception, match="does not exist"):
        await saver.save(database, scheduler(), [], slots=ALL_SLOTS, look=1)
    await rename(engine, "away", "region_schedule")
    await saver.save(database, scheduler(), [], slots=ALL_SLOTS, look=1)
    assert await ends(engine) == {"1": CREATED + minute}
    await saver.save(database, scheduler(), [live(1, created_at=CREATED + 2 * minute)], slots=ALL_SLOTS, look=1)
    await saver.save(database, scheduler(), [], slots=ALL_SLOTS, look=1)
    async with engine.connect() as connection:
        last = await connection.execute(text("SELECT max(valid_to) FROM region_tick.region_schedule"))
        assert last.scalar_one() > datetime.now(UTC) - minute, "the earlier deletion is no end of the later version"
