"""Stores what upstreams publish, each item once: also an item that was deleted since does not come again.

An upstream's items are numbered while the upstream's row is locked, so the numbers of one upstream are committed in
order. `delivery` gives the items to the regions.
"""

from __future__ import annotations

import json
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any

from region_tick.session import cursor, storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from region_tick.adapters import Item

ITEM_ID_LIMIT = 512
"""The longest item id in characters. A longer id is stored as its hash, because an index entry has 2,700 bytes at most.
"""
TEXT_LIMIT = 2000
"""The longest text of an item in characters."""

NEW_ITEMS = """
WITH found AS (
    SELECT DISTINCT ON (hash) hash, item_id, url, title, author, summary, raw, published_at, place
    FROM (
        SELECT *, pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to(item_id, 'UTF8')), 1, 16) AS hash
        FROM unnest(%(ids)s::text[], %(urls)s::text[], %(titles)s::text[], %(authors)s::text[], %(summaries)s::text[],
            %(raws)s::jsonb[], %(times)s::timestamptz[])
            WITH ORDINALITY AS item (item_id, url, title, author, summary, raw, published_at, place)
    ) AS hashed
    ORDER BY hash, place
), fresh AS (
    INSERT INTO region_tick.seen (upstream_id, hash) SELECT %(upstream_id)s::bigint, hash FROM found
    ON CONFLICT DO NOTHING
    RETURNING hash
), inserted AS (
    INSERT INTO region_tick.upstream_item
        (upstream_id, item_id, url, title, author, summary, raw, published_at, backlog)
    SELECT %(upstream_id)s::bigint, item_id, url, title, author, summary, raw, published_at, %(backlog)s::boolean
    FROM found JOIN fresh USING (hash)
    ORDER BY place DESC
    RETURNING id
), counted AS (
    SELECT count(*) AS items, max(id) AS last FROM inserted
), last AS (
    UPDATE region_tick.upstream SET last_item = counted.last FROM counted
    WHERE id = %(upstream_id)s::bigint AND counted.items > 0
)
SELECT items FROM counted
"""
"""Stores the items that were not seen before, the last one of the document first: documents begin with the newest."""


def store(connection: Connection, upstream_id: int, items: Sequence[Item], *, backlog: bool) -> int:
    """Store those items of an upstream that were never seen, and return how many these are.

    The open transaction has locked the upstream's row. Raises psycopg.Error.
    """
    columns: dict[str, Any] = {
        "ids": [_item_id(item.id, connection) for item in items],
        "urls": [text(item.url, connection) for item in items],
        "titles": [text(item.title, connection) for item in items],
        "authors": [text(item.author, connection) for item in items],
        "summaries": [text(item.summary, connection) for item in items],
        "raws": [_json(item.raw, connection) for item in items],
        "times": [item.published_at for item in items],
    }
    row = cursor(connection).execute(NEW_ITEMS, columns | {"upstream_id": upstream_id, "backlog": backlog}).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: an aggregate has one row
    return int(row[0])


def count_escaped(connection: Connection, items: Sequence[Item]) -> int:
    """Return how many texts of items are stored with an escape, because the database cannot hold a character."""
    texts = [
        one for item in items for one in (item.id, item.url, item.title, item.author, item.summary) if one is not None
    ]
    return sum(storable(one, connection) != one for one in texts)


def text(value: str | None, connection: Connection) -> str | None:
    """Return a text as the database can hold it, not too long."""
    return None if value is None else storable(value, connection)[:TEXT_LIMIT]


def _item_id(value: str, connection: Connection) -> str:
    clean = storable(value, connection)
    return clean if len(clean) <= ITEM_ID_LIMIT else f"sha256:{sha256(clean.encode()).hexdigest()}"


def _json(value: Mapping[str, Any] | None, connection: Connection) -> str | None:
    """Return a JSON text without \\u escapes: Postgres refuses an escape that its encoding cannot hold.

    Return None for what is nested too deeply.
    """
    try:
        return None if value is None else json.dumps(_storable(value, connection), ensure_ascii=False)
    except RecursionError:
        return None


def _storable(value: object, connection: Connection) -> object:
    match value:
        case str():
            return storable(value, connection)
        case dict():
            return {storable(str(name), connection): _storable(one, connection) for name, one in value.items()}
        case float() if not isfinite(value):  # JSON has no such number, although Python reads it
            return None
        case list() | tuple():
            return [_storable(one, connection) for one in value]
        case _:
            return value
