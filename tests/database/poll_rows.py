"""Rows of the tables of `poll`, as tests write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from region_tick.creators import read_creators, take
from region_tick.delivery import deliver
from region_tick.upstreams import save
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from region_tick.adapters import Creator, Found, NotModified
    from region_tick.creators import Due
    from region_tick.delivery import Delivered
    from region_tick.fetch import FetchError

AT = datetime.now(UTC).replace(second=0, microsecond=0)
"""A tick's time: the minute (UTC) in which the tests began, maybe hours ago."""
LATER = AT + timedelta(hours=10)
"""The time of a tick that comes after whatever a test writes, however late that test runs."""
URL = "https://upstream.test/"


def add(connection: psycopg.Connection, url: str = URL, **columns: Any) -> int:
    """Add a creator, by default of region 42, and return its id."""
    row = {"source": SOURCE, "region_id": "42", "platform": "http", "url": url} | columns
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    added = connection.execute(
        f"INSERT INTO region_tick.creator ({names}) VALUES ({values}) RETURNING id".encode(), row
    ).fetchone()
    assert added is not None
    return int(added[0])


def read(
    connection: psycopg.Connection, *, region_id: str = "42", at: datetime = AT, owner: str = "us"
) -> Sequence[Due]:
    return read_creators(connection, source=SOURCE, region_id=region_id, tick_at=at, owner=owner)


def taken(connection: psycopg.Connection, *ids: int, at: datetime = AT, owner: str = "us") -> list[Creator]:
    """Take the creators with these ids, or all creators of region 42 that are due."""
    found = [one.id for one in read(connection, at=at, owner=owner)]
    return take(connection, ids or found, tick_at=at, owner=owner)


def only(connection: psycopg.Connection, *, at: datetime = AT) -> Creator:
    (creator,) = taken(connection, at=at)
    return creator


def write(connection: psycopg.Connection, creator: Creator, result: Found | NotModified | FetchError) -> int | None:
    """Write a result as a tick does, and return how many items the region got."""
    with connection.transaction():
        save(connection, creator, result)
        return how_many(deliver(connection, creator.id, creator.upstream_id, on_items=None))


def how_many(delivered: Delivered | None) -> int | None:
    """Return how many items were delivered, None if the creator could not be had."""
    return None if delivered is None else delivered.items


def change(connection: psycopg.Connection, **columns: Any) -> None:
    """Set columns of every upstream."""
    assignments = ", ".join(f"{column} = %({column})s" for column in columns)
    connection.execute(f"UPDATE region_tick.upstream SET {assignments}".encode(), columns)


def rows(connection: psycopg.Connection, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def upstream(connection: psycopg.Connection) -> dict[str, Any]:
    """Return the one upstream."""
    (row,) = rows(connection, "SELECT *, clock_timestamp() AS now FROM region_tick.upstream")
    return row


def item_ids(connection: psycopg.Connection, region_id: str = "42") -> list[str]:
    """Return the ids of the items that a region got, in their order."""
    query = "SELECT item_id FROM region_tick.items WHERE region_id = %s ORDER BY seq"
    return [row["item_id"] for row in rows(connection, query, region_id)]
