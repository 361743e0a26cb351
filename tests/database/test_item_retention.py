"""Old items go and do not come again; an upstream goes when no creator means it. On a real Postgres."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from region_operator.database.item_retention import UPSTREAMS_AT_ONCE, forget_items, forget_orphans
from region_operator.database.upkeep import TRUSTED_SKEW_SECONDS, Upkeep
from region_operator.runtime.remote_clock import Skew
from region_tick.adapters import Found, Item
from tests.database.poll_rows import LATER, add, item_ids, only, read, rows, write

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncEngine

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def found(*ids: str) -> Found:
    return Found(items=[Item(id=one) for one in ids])


def age(connection: psycopg.Connection, item: str, *, days: int) -> None:
    for table in ("item", "upstream_item"):
        connection.execute(
            f"UPDATE region_tick.{table} SET first_seen_at = %s WHERE item_id = %s".encode(), (NOW - days * DAY, item)
        )


async def test_old_items_go_and_do_not_come_again(connection: psycopg.Connection, engine: AsyncEngine) -> None:
    add(connection)
    write(connection, only(connection), found("new", "old"))
    age(connection, "old", days=31)
    age(connection, "new", days=29)
    assert await forget_items(engine, before=NOW - 30 * DAY) == 1
    assert item_ids(connection) == ["new"]
    assert [row["item_id"] for row in rows(connection, "SELECT item_id FROM region_tick.upstream_item")] == ["new"]
    write(connection, only(connection, at=LATER), found("newest", "new", "old"))
    assert item_ids(connection) == ["new", "newest"]


async def test_an_upstream_without_creators_goes_after_a_day(
    connection: psycopg.Connection, engine: AsyncEngine
) -> None:
    for number in range(UPSTREAMS_AT_ONCE + 5):
        add(connection, f"https://upstream.test/{number}")
    kept = add(connection)
    read(connection)
    connection.execute("DELETE FROM region_tick.creator WHERE id <> %s", (kept,))
    assert await forget_orphans(engine, now=NOW) == 0
    assert await forget_orphans(engine, now=NOW + 2 * DAY) == UPSTREAMS_AT_ONCE + 5
    assert [row["url"] for row in rows(connection, "SELECT url FROM region_tick.upstream")] == [
        "https://upstream.test/"
    ]


async def test_an_upstream_stays_for_a_creator_whose_next_tick_is_far_away(
    connection: psycopg.Connection, engine: AsyncEngine
) -> None:
    add(connection)
    write(connection, only(connection), found("seen"))
    connection.execute("DELETE FROM region_tick.creator")
    add(connection)
    assert await forget_orphans(engine, now=NOW + 2 * DAY) == 0


@pytest.mark.parametrize(("retention", "left"), [(None, ["old"]), (30 * DAY, [])])
async def test_the_operator_keeps_items_for_ever_unless_it_is_told_otherwise(
    connection: psycopg.Connection, engine: AsyncEngine, retention: timedelta | None, left: list[str]
) -> None:
    add(connection)
    write(connection, only(connection), found("old"))
    age(connection, "old", days=31)
    upkeep = Upkeep(retention=30 * DAY, item_retention=retention, may_build=False, clock=lambda: 0.0)
    await upkeep._work(engine, NOW, None)
    assert item_ids(connection) == left


async def test_where_clocks_disagree_no_item_goes(connection: psycopg.Connection, engine: AsyncEngine) -> None:
    add(connection)
    write(connection, only(connection), found("old"))
    age(connection, "old", days=31)
    upkeep = Upkeep(retention=30 * DAY, item_retention=DAY, may_build=False, clock=lambda: 0.0)
    await upkeep._work(engine, NOW, Skew(seconds=2.0 * TRUSTED_SKEW_SECONDS, error=1.0))
    assert item_ids(connection) == ["old"]


async def test_a_right_that_lacks_is_said_and_keeps_no_other_row(
    connection: psycopg.Connection, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    add(connection)
    read(connection)
    connection.execute("DELETE FROM region_tick.creator")
    connection.execute("DROP VIEW region_tick.items, region_tick.creators_without_region")
    connection.execute("ALTER TABLE region_tick.item RENAME TO away")
    upkeep = Upkeep(retention=30 * DAY, item_retention=DAY, may_build=False, clock=lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        await upkeep._work(engine, NOW + 2 * DAY, None)
    assert rows(connection, "SELECT FROM region_tick.upstream") == []
    assert "items not forgotten" in [record.message for record in caplog.records]
