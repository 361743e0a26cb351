"""Reads and writes the rows of region_tick.creator and region_tick.item, for `poll` and for the worker.

An answer's items and validators (ETag, Last-Modified) are written in one transaction: a validator without its items
would make every later answer a 304. A user's edit of a creator during a poll wins: the result for the old address is
dropped. This module uses no prepared statement and no session state (see session).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from region_tick.adaptation import read_any_bytes
from region_tick.adapters import Creator, Found, Item, NotModified
from region_tick.fetch import CredentialsError, FetchError, GoneError, RefusedError, TransientError
from region_tick.retry import ThrottledError
from region_tick.session import bound, storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Connection
    from psycopg.rows import TupleRow

CREDENTIALS_SECONDS = 60.0
"""The pause of a creator after its platform's keys were missing or refused."""
REFUSED_SECONDS = 60.0
REFUSED_LIMIT_SECONDS = 86_400.0
"""The pause of a creator after a refusal: REFUSED_SECONDS, doubled with each consecutive refusal, up to a day. The
pause is thus about as long as the creator has been refused."""
GONE_SECONDS = 30 * 86_400.0
"""The pause of a creator whose URL is gone for good (410)."""
CREATORS_LIMIT = 10_000
"""How many creators one tick reads. The next tick reads the remaining creators first: they have waited longer."""
ITEM_ID_LIMIT = 512
"""The longest item id in characters. A longer id is stored as its hash, because an index entry has 2,700 bytes at most.
"""
_TEXT_LIMIT = 2000

CREATORS = """
SELECT id, platform, handle, url, etag, last_modified, platform_id, last_polled_at, failures,
    coalesce(not_before > clock_timestamp(), false) AS waiting
FROM region_tick.creator
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND (last_polled_at IS NULL OR last_polled_at < %(tick_at)s::timestamptz)
ORDER BY waiting, greatest(last_polled_at, not_before)
    + CASE WHEN last_error IS NULL THEN interval '0' ELSE interval '1 hour' END NULLS FIRST, id
LIMIT %(limit)s::bigint
"""
"""Selects the creators in the order of polling: the creator polled longest ago comes first. A creator whose
`not_before` has passed was polled about at that time. A creator with an error counts as polled an hour later than it
was: hanging hosts then do not use up the other creators' time in every tick. The penalty is not larger, because a
creator that always comes last is never polled if no tick has time for all creators.
"""

CREATOR = """
SELECT id, platform, handle, url, etag, last_modified, platform_id, last_polled_at, failures, clock_timestamp() AS now
FROM region_tick.creator
WHERE id = %(id)s::bigint
  AND (last_polled_at IS NULL OR last_polled_at < %(tick_at)s::timestamptz)
  AND coalesce(not_before <= clock_timestamp(), true)
"""

ANSWERED = """
UPDATE region_tick.creator SET
    etag = %(etag)s::text, last_modified = %(last_modified)s::text,
    platform_id = coalesce(%(platform_id)s::text, platform_id),
    not_before = NULL, last_polled_at = clock_timestamp(), last_error = %(problem)s::text, failures = 0
WHERE id = %(id)s::bigint AND platform = %(platform)s::text
  AND handle IS NOT DISTINCT FROM %(handle)s::text AND url IS NOT DISTINCT FROM %(url)s::text
"""

FAILED = """
UPDATE region_tick.creator SET
    not_before = clock_timestamp() + make_interval(secs => %(wait)s::float8),
    last_error = %(error)s::text, failures = failures + %(refused)s::boolean::integer
WHERE id = %(id)s::bigint AND platform = %(platform)s::text
  AND handle IS NOT DISTINCT FROM %(handle)s::text AND url IS NOT DISTINCT FROM %(url)s::text
"""

ITEMS = """
INSERT INTO region_tick.item (creator_id, item_id, url, title, published_at)
SELECT %(id)s::bigint, item_id, url, title, published_at
FROM unnest(%(ids)s::text[], %(urls)s::text[], %(titles)s::text[], %(times)s::timestamptz[])
    AS found (item_id, url, title, published_at)
ON CONFLICT (creator_id, item_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creators:
    """A region's creators without an answer since the tick's time."""

    due: Sequence[Creator]
    """The creators to poll, in this order (see CREATORS)."""
    waiting: int
    """How many other creators must not be polled yet (`not_before`)."""


def read_creators(connection: Connection, *, source: str, region_id: str, tick_at: datetime) -> Creators:
    """Return the region's creators without an answer since `tick_at`, CREATORS_LIMIT at most. Raises psycopg.Error."""
    parameters = {"source": source, "region_id": region_id, "tick_at": tick_at, "limit": CREATORS_LIMIT}
    with connection.transaction():
        bound(connection)
        _refuse_hidden_rows(connection)
        read_any_bytes(connection)
        rows = connection.cursor(row_factory=tuple_row).execute(CREATORS, parameters).fetchall()
    due = [_creator(row) for row in rows if not row[9]]
    return Creators(due=due, waiting=len(rows) - len(due))


def read_creator(connection: Connection, creator_id: int, *, tick_at: datetime) -> tuple[Creator, datetime] | None:
    """Return a creator and the database's time (UTC).

    Return None if the creator was deleted, has an answer since `tick_at` or must not be polled yet. Raises
    psycopg.Error.
    """
    parameters = {"id": creator_id, "tick_at": tick_at}
    _refuse_hidden_rows(connection)
    read_any_bytes(connection)
    row = connection.cursor(row_factory=tuple_row).execute(CREATOR, parameters).fetchone()
    return None if row is None else (_creator(row), row[9].astimezone(UTC))


def save(connection: Connection, creator: Creator, result: Found | NotModified | FetchError) -> int:
    """Write a creator's result in the open transaction, and return how many items are new. Raises psycopg.Error."""
    key = {"id": creator.id, "platform": creator.platform, "handle": creator.handle, "url": creator.url}
    if isinstance(result, FetchError):
        wait = seconds_to_wait(result, creator.failures)
        refused = not isinstance(result, TransientError | ThrottledError | CredentialsError)
        connection.execute(FAILED, key | {"wait": wait, "error": _text(str(result), connection), "refused": refused})
        return 0
    kept = (
        result if isinstance(result, Found) else Found(items=(), etag=result.etag, last_modified=result.last_modified)
    )
    validators = {
        "etag": kept.etag,
        "last_modified": kept.last_modified,
        "platform_id": _text(kept.platform_id, connection),
        "problem": _text(kept.problem, connection),
    }
    written = connection.execute(ANSWERED, key | validators).rowcount
    return _insert_items(connection, creator.id, kept.items) if written and kept.items else 0


def count_escaped(connection: Connection, result: Found | NotModified | FetchError) -> int:
    """Return how many texts of a result are stored with an escape, because the database cannot hold a character."""
    items = result.items if isinstance(result, Found) else ()
    texts = [text for item in items for text in (item.id, item.url, item.title) if text is not None]
    return sum(storable(text, connection) != text for text in texts)


def seconds_to_wait(error: FetchError, failures: int) -> float:
    """Return the creator's pause in seconds after `error`, which follows `failures` consecutive refusals."""
    match error:
        case ThrottledError():
            return error.leave_alone_seconds
        case TransientError():
            return 0.0
        case CredentialsError():
            return CREDENTIALS_SECONDS
        case GoneError():
            return GONE_SECONDS
        case _:
            limit = error.longest_pause if isinstance(error, RefusedError) else REFUSED_LIMIT_SECONDS
            return min(REFUSED_SECONDS * 2.0 ** min(failures, 20), limit, REFUSED_LIMIT_SECONDS)


def _refuse_hidden_rows(connection: Connection) -> None:
    """Make a query of the open transaction an error where row security would hide rows from this role.

    A hidden creator would look like a deleted one, and nobody would poll it. Postgres refuses every policy that applies
    to the role, also one that shows all rows.
    """
    connection.execute("SET LOCAL row_security TO off")


def _creator(row: TupleRow) -> Creator:
    return Creator(
        id=row[0],
        platform=row[1],
        handle=row[2],
        url=row[3],
        etag=row[4],
        last_modified=row[5],
        platform_id=row[6],
        last_polled_at=row[7],
        failures=row[8],
    )


def _insert_items(connection: Connection, creator_id: int, items: Sequence[Item]) -> int:
    """Insert the items that are not stored yet, and return how many were inserted."""
    columns: dict[str, Any] = {
        "ids": [_item_id(item.id, connection) for item in items],
        "urls": [_text(item.url, connection) for item in items],
        "titles": [_text(item.title, connection) for item in items],
        "times": [item.published_at for item in items],
    }
    return connection.execute(ITEMS, columns | {"id": creator_id}).rowcount


def _item_id(text: str, connection: Connection) -> str:
    clean = storable(text, connection)
    return clean if len(clean) <= ITEM_ID_LIMIT else f"sha256:{sha256(clean.encode()).hexdigest()}"


def _text(text: str | None, connection: Connection) -> str | None:
    return None if text is None else storable(text, connection)[:_TEXT_LIMIT]
