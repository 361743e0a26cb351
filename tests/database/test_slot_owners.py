"""regions/slot_owners.py on a real Postgres: who becomes the owner of a slot, also when two want the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text

from region_operator.database.engine import make_engine
from region_operator.regions import slot_owners
from region_operator.regions.slot_owners import read_handover, settle, take_free, take_over, write_offers
from region_operator.regions.slots import ALL_SLOTS, slots_of_shard
from region_operator.scheduler import Scheduler, Shard
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "public.region_index"
OWNERS = "SELECT installation, epoch, offered, successor, array_agg(slot ORDER BY slot) FROM region_tick.slot_owner"


def installation(name: str, *, shard: tuple[int, int] | None = None, take_over: str = "") -> Scheduler:
    source = {"shard": {"index": shard[0], "count": shard[1]}} if shard else {}
    names = {"installation": name, "namespace": f"ns-{name}", "take_over": frozenset(take_over.split(",")) - {""}}
    return scheduler(source=source).model_copy(update=names)


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def owners(engine: AsyncEngine) -> dict[str, int]:
    """Return how many slots each installation owns."""
    rows = await execute(engine, "SELECT installation, count(*) FROM region_tick.slot_owner GROUP BY 1")
    return dict(rows)


async def move(engine: AsyncEngine, who: Scheduler) -> None:
    """Do what a reconcile does, with all CronJobs made at once."""
    handover = await settle(engine, who, SOURCE, full=True)
    if handover.offer or handover.keep:
        await write_offers(engine, handover, who)
    if handover.taking:
        await take_over(engine, handover, who)


async def test_the_first_becomes_the_owner_of_all_and_the_second_is_refused(engine: AsyncEngine) -> None:
    assert (await settle(engine, installation("blue"), SOURCE, full=True)).owned == ALL_SLOTS
    green = await settle(engine, installation("green"), SOURCE, full=True)
    assert (green.slots, green.refused) == (frozenset(), ALL_SLOTS)
    assert await owners(engine) == {"blue": 256}
    known = await execute(engine, "SELECT installation, namespace, interval_seconds FROM region_tick.installation")
    assert known == [("blue", "ns-blue", 300)]


async def test_of_many_who_come_first_at_once_each_slot_has_one_owner(engine: AsyncEngine) -> None:
    names = [f"n{number}" for number in range(6)]
    handovers = await asyncio.gather(*(settle(engine, installation(name), SOURCE, full=True) for name in names))
    assert sorted(slot for handover in handovers for slot in handover.owned) == sorted(ALL_SLOTS)
    assert sum((await owners(engine)).values()) == 256


async def test_a_second_settling_writes_nothing_but_a_sign_of_life_at_a_full_look(engine: AsyncEngine) -> None:
    last_write = (
        "SELECT max(xmin::text::bigint) FROM (SELECT xmin FROM region_tick.slot_owner"
        " UNION ALL SELECT xmin FROM region_tick.installation) AS row"
    )
    seen = "SELECT seen_at FROM region_tick.installation"
    await move(engine, installation("blue"))
    before, seen_before = await execute(engine, last_write), await execute(engine, seen)
    await settle(engine, installation("blue"), SOURCE, full=False)
    await settle(engine, installation("green"), SOURCE, full=True)
    assert await execute(engine, last_write) == before
    await settle(engine, installation("blue"), SOURCE, full=True)
    assert await execute(engine, seen) > seen_before


async def test_a_take_over_announces_itself_then_changes_the_epoch_and_is_carried_out_once(engine: AsyncEngine) -> None:
    await move(engine, installation("blue"))
    green = installation("green", take_over="blue")
    handover = await settle(engine, green, SOURCE, full=True)
    assert (handover.taking, handover.slots) == (ALL_SLOTS, ALL_SLOTS)
    [(owner, epoch, _, successor, _)] = await execute(engine, f"{OWNERS} GROUP BY 1, 2, 3, 4")
    assert (owner, epoch, successor) == ("blue", 1, "green")
    assert await take_over(engine, handover, green) == ALL_SLOTS
    [(owner, epoch, offered, successor, _)] = await execute(engine, f"{OWNERS} GROUP BY 1, 2, 3, 4")
    assert (owner, epoch, offered, successor) == ("green", 2, False, None)
    await move(engine, installation("blue", take_over="green"))
    assert await owners(engine) == {"blue": 256}
    again = await settle(engine, green, SOURCE, full=True)
    assert (again.taking, again.refused) == (frozenset(), ALL_SLOTS)
    await settle(engine, installation("green"), SOURCE, full=True)  # the annotation is removed ...
    await move(engine, green)  # ... and set again
    assert await owners(engine) == {"green": 256}


async def test_a_slot_that_changed_hands_meanwhile_is_not_taken_over(engine: AsyncEngine) -> None:
    """The annotation named another owner."""
    await move(engine, installation("blue"))
    green, red = installation("green", take_over="blue"), installation("red", take_over="blue")
    first = await settle(engine, green, SOURCE, full=True)
    second = await settle(engine, red, SOURCE, full=True)
    assert await take_over(engine, second, red) == ALL_SLOTS
    assert await take_over(engine, first, green) == frozenset()
    assert await owners(engine) == {"red": 256}
    assert (await settle(engine, green, SOURCE, full=True)).refused == ALL_SLOTS
    [took_over] = await execute(engine, "SELECT took_over FROM region_tick.installation WHERE installation = 'green'")
    assert took_over == ([],)


async def test_who_no_longer_wants_to_take_over_is_no_successor_any_more(engine: AsyncEngine) -> None:
    await move(engine, installation("blue"))
    await settle(engine, installation("green", take_over="blue"), SOURCE, full=True)
    handover = await settle(engine, installation("green"), SOURCE, full=True)
    assert await execute(engine, "SELECT DISTINCT successor FROM region_tick.slot_owner") == [(None,)]
    assert handover.let_go == ALL_SLOTS


async def test_one_to_four_shards_and_back(engine: AsyncEngine) -> None:
    await move(engine, installation("blue"))
    shards = [installation(name, shard=(index, 4)) for index, name in enumerate(("blue", "green", "red", "black"))]
    refused = await settle(engine, shards[1], SOURCE, full=True)
    assert refused.refused == slots_of_shard(Shard(index=1, count=4))
    for shard in shards:
        await move(engine, shard)
    assert await owners(engine) == {"black": 64, "blue": 64, "green": 64, "red": 64}
    for index, shard in enumerate(shards):
        handover = await settle(engine, shard, SOURCE, full=True)
        assert handover.slots == handover.owned == slots_of_shard(Shard(index=index, count=4))
        assert (handover.offered, handover.refused) == (frozenset(), frozenset())
    await move(engine, installation("blue", take_over="green,red,black"))
    assert await owners(engine) == {"blue": 256}


async def test_what_is_offered_can_be_kept_again(engine: AsyncEngine) -> None:
    await move(engine, installation("blue"))
    for who, offered in ((installation("blue", shard=(0, 2)), 128), (installation("blue"), 0)):
        await move(engine, who)
        assert len((await settle(engine, who, SOURCE, full=True)).offered) == offered
    assert (await settle(engine, installation("green", shard=(1, 2)), SOURCE, full=True)).taking == frozenset()


@pytest.mark.parametrize(
    ("interval", "ago", "silent"), [(300, 890, False), (300, 910, True), (1, 100, False), (1, 130, True)]
)
async def test_an_installation_is_silent_after_three_intervals_or_two_minutes(
    interval: float, ago: float, silent: bool, engine: AsyncEngine
) -> None:
    await move(engine, installation("blue"))
    await execute(
        engine,
        "UPDATE region_tick.installation"
        " SET interval_seconds = :interval, seen_at = clock_timestamp() - make_interval(secs => :ago)",
        interval=interval,
        ago=ago,
    )
    handover = await read_handover(engine, installation("green"), SOURCE)
    assert handover.standing.installations["blue"].silent is silent
    assert handover.let_go == (frozenset() if silent else ALL_SLOTS)


async def test_the_others_are_woken(database: str, engine: AsyncEngine) -> None:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANGES_CHANNEL}")
        await move(engine, installation("blue"))
        assert [*listener.notifies(timeout=0)] == []
        await move(engine, installation("blue", shard=(0, 2)))
        assert [told.payload for told in listener.notifies(timeout=60, stop_after=1)] == [SOURCE]
        await move(engine, installation("green", shard=(1, 2)))
        assert [told.payload for told in listener.notifies(timeout=60, stop_after=1)] == [SOURCE]


async def test_tables_have_their_owners_apart(engine: AsyncEngine) -> None:
    await move(engine, installation("blue"))
    handover = await settle(engine, installation("green"), "public.other", full=True)
    assert handover.owned == ALL_SLOTS


async def test_before_the_migration_nobody_owns_anything(empty_database: str) -> None:
    engine = make_engine(DatabaseUrl.parse(empty_database))
    handover = await read_handover(engine, installation("blue"), SOURCE)
    assert (handover.free, handover.standing.owners) == (ALL_SLOTS, {})
    await engine.dispose()


async def test_what_stays_free_after_many_races_is_left_alone(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_owners, "RACES", 0)
    assert (await settle(engine, installation("blue"), SOURCE, full=True)).slots == frozenset()
    assert await owners(engine) == {}


async def test_the_account_of_a_source_goes_with_its_slots(engine: AsyncEngine) -> None:
    """The new owner accounts for what the former one did not."""
    await move(engine, installation("blue"))
    until = datetime(2026, 11, 20, tzinfo=UTC)
    await execute(engine, "UPDATE region_tick.installation SET accounted_until = :until", until=until)
    await move(engine, installation("green", take_over="blue"))
    assert await execute(engine, "SELECT DISTINCT accounted_until FROM region_tick.slot_owner") == [(until,)]


async def test_a_source_of_a_leftover_is_accounted_for_since_it_ticks_and_not_for_long(engine: AsyncEngine) -> None:
    now = datetime.now(UTC)
    for source, since in (("public.a", now - timedelta(minutes=3)), ("public.b", now - timedelta(days=3))):
        async with engine.begin() as connection:
            await take_free(connection, source=source, installation="blue", slots=[1], ticking_since=since)
    query = "SELECT accounted_until FROM region_tick.installation ORDER BY source"
    [(a,), (b,)] = await execute(engine, query)
    assert a == now - timedelta(minutes=3)
    assert timedelta(minutes=9) < now - b <= timedelta(minutes=11)
