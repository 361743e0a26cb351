"""Delivers items to the regions, to each region once, with numbers that a reader can follow.

`creator.delivered_until` is the last number in upstream_item that the creator's region has got. What a region gets are
rows of region_tick.item, with numbers of their own (`seq`). Postgres gives a number before COMMIT, so a row with a
smaller number could appear after a reader has seen a larger one. Therefore the numbers are given under a lock that
lasts until COMMIT, by the last statement of a transaction. A reader that keeps the largest number that it has seen
misses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from region_tick.adaptation import read_any_bytes
from region_tick.items import text
from region_tick.session import cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection
    from psycopg.rows import TupleRow

ITEMS_CHANNEL = "region_tick_items"
"""NOTIFY channel for new rows of region_tick.item. The payload is the region table's name, `public.region_index`."""
DELIVERED_AT_ONCE = 1000
"""How many items a region gets in one transaction."""
GIVEN_AT_ONCE = 100
"""How many it gets if they go through the user's function. They have all columns then: up to some 10 KiB an item."""

CREATOR = """
SELECT creator.delivered_until, upstream.last_item, creator.source
FROM region_tick.creator JOIN region_tick.upstream ON upstream.id = creator.upstream_id
WHERE creator.id = %(id)s::bigint AND upstream.id = %(upstream_id)s::bigint
FOR NO KEY UPDATE OF creator SKIP LOCKED
"""

UNDELIVERED = """
SELECT published.id, creator.id, creator.platform, creator.handle, creator.url, published.item_id, published.url,
    published.title, CASE WHEN %(whole)s::boolean THEN published.author END,
    CASE WHEN %(whole)s::boolean THEN published.summary END, CASE WHEN %(whole)s::boolean THEN published.raw END,
    published.published_at AT TIME ZONE 'UTC',
    published.backlog OR published.first_seen_at < creator.updated_at,
    EXISTS (SELECT FROM region_tick.item WHERE creator_id = creator.id AND item_id = published.item_id)
FROM region_tick.creator JOIN region_tick.upstream_item AS published ON published.upstream_id = creator.upstream_id
WHERE creator.id = %(id)s::bigint AND published.id > %(after)s::bigint
ORDER BY published.id
LIMIT %(limit)s::bigint
"""
"""The last column says whether the region has the item already: an earlier release may have written it. A timestamp
without a time zone is read whatever the session's TimeZone is; with one, the years 1 and 9999 may not be.
"""

DELIVERED = """
UPDATE region_tick.creator SET
    delivered_until = coalesce(%(delivered_until)s::bigint, delivered_until), last_polled_at = upstream.last_polled_at,
    last_error = coalesce(%(error)s::text, upstream.last_error), failures = upstream.failures
FROM region_tick.upstream
WHERE creator.id = ANY(%(ids)s::bigint[]) AND upstream.id = creator.upstream_id
"""

UP_TO_DATE = """
SELECT creator.id FROM region_tick.creator JOIN region_tick.upstream ON upstream.id = creator.upstream_id
WHERE creator.id = ANY(%(ids)s::bigint[]) AND upstream.last_item <= creator.delivered_until
ORDER BY creator.id
FOR NO KEY UPDATE OF creator SKIP LOCKED
"""

ORDER_LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('region_tick.item.seq', 0))"

DELIVER = """
WITH delivered AS (
    INSERT INTO region_tick.item
        (creator_id, item_id, url, title, published_at, first_seen_at, upstream_item_id, backlog)
    SELECT %(id)s::bigint, published.item_id, published.url, published.title, published.published_at,
        clock_timestamp(), published.id, new.backlog
    FROM unnest(%(numbers)s::bigint[], %(backlogs)s::boolean[]) AS new (number, backlog)
    JOIN region_tick.upstream_item AS published ON published.id = new.number
    ORDER BY published.id
    ON CONFLICT (creator_id, item_id) DO NOTHING
    RETURNING 1
)
SELECT count(*), CASE WHEN pg_catalog.pg_notification_queue_usage() < 0.5 THEN
    pg_catalog.pg_notify(%(channel)s::text, %(source)s::text) END
FROM delivered
"""
"""A full queue of notifications would make the COMMIT fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one delivery."""

    items: int
    """How many items the region got. Those that an earlier release gave it are not counted."""
    more: bool
    """Whether there may be more. Deliver again then, in another transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """An item that a region gets, as the user's function `on_items` sees it. Times are UTC."""

    creator_id: int
    platform: str
    handle: str | None
    creator_url: str | None
    item_id: str
    url: str | None
    title: str | None
    author: str | None
    summary: str | None
    raw: Mapping[str, Any] | None
    """The entry as the platform sent it."""
    published_at: datetime | None
    backlog: bool
    """Whether the item was there before the creator was: the first answer of a new creator, for example."""


def deliver(
    connection: Connection, creator_id: int, upstream_id: int, *, on_items: Callable[[Sequence[NewItem]], object] | None
) -> Delivered | None:
    """Give a creator's region the items that it has not got, in the open transaction.

    `on_items` is called with the items before they are stored. At most DELIVERED_AT_ONCE items are delivered,
    GIVEN_AT_ONCE with `on_items`. Return None if the creator's row is locked by somebody else, or if the creator is
    gone or has another address now: nothing is delivered then.

    Nothing that may take long may follow in the transaction: until COMMIT, no other transaction can deliver. Raises
    psycopg.Error, and what `on_items` raises.
    """
    key = {"id": creator_id, "upstream_id": upstream_id}
    row = cursor(connection).execute(CREATOR, key).fetchone()
    if row is None:
        return None
    delivered_until, last_item, source = row
    limit = DELIVERED_AT_ONCE if on_items is None else GIVEN_AT_ONCE
    found: list[TupleRow] = []
    if delivered_until < last_item:
        read_any_bytes(connection)
        parameters = key | {"after": delivered_until, "whole": on_items is not None, "limit": limit}
        found = cursor(connection).execute(UNDELIVERED, parameters).fetchall()
    new = [one for one in found if not one[13]]
    if new and on_items is not None:
        on_items([_new_item(one) for one in new])
    newest = found[-1][0] if found else delivered_until
    more = len(found) == limit
    last = newest if more else max(last_item, newest)
    connection.execute(DELIVERED, {"ids": [creator_id], "delivered_until": last, "error": None})
    if not new:
        return Delivered(items=0, more=more)
    numbers, backlogs = [one[0] for one in new], [one[12] for one in new]
    connection.execute(ORDER_LOCK)
    parameters = {"id": creator_id, "numbers": numbers, "backlogs": backlogs, "source": source}
    row = cursor(connection).execute(DELIVER, parameters | {"channel": ITEMS_CHANNEL}).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: an aggregate has one row
    return Delivered(items=int(row[0]), more=more)


def deliver_nothing(connection: Connection, creator_id: int, *, error: str) -> None:
    """Write into the creator's row why its region did not get its items, in the open transaction.

    The region's next tick asks the upstream again, and delivers the same items with those that are new by then. Raises
    psycopg.Error.
    """
    parameters = {"ids": [creator_id], "delivered_until": None, "error": text(error, connection)}
    connection.execute(DELIVERED, parameters)


def keep_up(connection: Connection, creator_ids: Sequence[int]) -> int:
    """Note that the creators' region has had their upstreams' last answers, where these have no items for it.

    Return for how many creators this was noted. The others have items to be delivered, or are locked. Raises
    psycopg.Error.
    """
    ids = [row[0] for row in cursor(connection).execute(UP_TO_DATE, {"ids": list(creator_ids)}).fetchall()]
    connection.execute(DELIVERED, {"ids": ids, "delivered_until": None, "error": None})
    return len(ids)


def _new_item(row: TupleRow) -> NewItem:
    return NewItem(
        creator_id=row[1],
        platform=row[2],
        handle=row[3],
        creator_url=row[4],
        item_id=row[5],
        url=row[6],
        title=row[7],
        author=row[8],
        summary=row[9],
        raw=row[10],
        published_at=row[11] and row[11].replace(tzinfo=UTC),
        backlog=row[12],
    )
