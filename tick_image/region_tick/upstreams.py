"""Writes what became of asking an upstream: its items with its validators, or why there was no answer.

An answer's items and validators (ETag, Last-Modified) are written in one transaction: a validator without its items
would make every later answer a 304. A failure says until when the upstream is left alone. The row is one for all
regions and pods, so nobody else pays for the same failure again.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from region_tick.adapters import Creator, Found, Kind, NotModified
from region_tick.fetch import CredentialsError, FetchError, GoneError, NoSuchHostError, RefusedError, TransientError
from region_tick.items import store, text
from region_tick.retry import ThrottledError
from region_tick.session import cursor

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from psycopg import Connection

CREDENTIALS_SECONDS = 60.0
"""The pause of an upstream after its platform's keys were missing or refused."""
REFUSED_SECONDS = 60.0
REFUSED_LIMIT_SECONDS = 86_400.0
"""The pause of an upstream after a refusal: REFUSED_SECONDS, doubled with each consecutive refusal, up to a day. The
pause is thus about as long as the upstream has refused."""
GONE_SECONDS = 30 * 86_400.0
"""The pause of an upstream whose URL is gone for good (410)."""
TRANSIENT_SECONDS = 60.0
TRANSIENT_LIMIT_SECONDS = 6 * 3600.0
"""The pause after a failure that may pass by itself: TRANSIENT_SECONDS, doubled with each one in a row, up to six
hours, less up to a half of it, so that those who failed together do not come back together."""
NO_SUCH_HOST_FAILURES = 4
"""After how many failures in a row a name that does not exist counts as a refusal: its pause grows up to a day then."""

ANSWERED = """
WITH before AS (
    SELECT id, last_polled_at FROM region_tick.upstream WHERE id = %(id)s::bigint FOR NO KEY UPDATE
)
UPDATE region_tick.upstream SET
    etag = %(etag)s::text, last_modified = %(last_modified)s::text,
    platform_id = coalesce(%(platform_id)s::text, platform_id), kind = %(kind)s::text,
    moved_to = coalesce(%(moved_to)s::text, moved_to), last_polled_at = clock_timestamp(),
    fresh_seconds = nullif(%(fresh_seconds)s::integer, 0), fresh_until = %(fresh_until)s::timestamptz,
    last_error = %(problem)s::text, not_before = NULL, failures = 0, transient_failures = 0, asking_until = NULL
FROM before WHERE upstream.id = before.id
RETURNING before.last_polled_at IS NULL
"""

FAILED = """
UPDATE region_tick.upstream SET
    not_before = clock_timestamp() + make_interval(secs => %(wait)s::float8), last_error = %(error)s::text,
    failures = failures + %(refused)s::boolean::integer,
    transient_failures = transient_failures + %(transient)s::boolean::integer,
    moved_to = CASE WHEN NOT %(refused)s::boolean THEN moved_to END, asking_until = NULL
WHERE id = %(id)s::bigint
"""
"""A URL that the upstream moved to and that refuses is forgotten: the creator's own URL is asked the next time."""

FORGIVE = """
UPDATE region_tick.upstream SET not_before = NULL WHERE id IN (
    SELECT id FROM region_tick.upstream WHERE id = ANY(%(ids)s::bigint[]) AND last_error IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
"""


def save(
    connection: Connection,
    creator: Creator,
    result: Found | NotModified | FetchError,
    *,
    fresh_until: datetime | None = None,
) -> int:
    """Write what became of asking a creator's upstream, and return how many of the items were never seen before.
    `fresh_until` is from which tick's time on the upstream is asked again, if it gave a useful answer.

    This is the only function that writes a result, for ticks and workers alike. `creator` is as `take` returned it, and
    the lease of `take` ends. In the same transaction, call `deliver` (module items) next, which gives the creator's
    region the items and notes the answer in the creator's row. Other regions get the items by their own ticks and
    tasks. An upstream that was deleted meanwhile is left alone. Where a feed has moved to is kept; a page that moves
    may be a notice of today. Raises psycopg.Error.
    """
    if isinstance(result, FetchError):
        _write_failure(connection, creator, result)
        return 0
    found = result if isinstance(result, Found) else None
    kind = (found and found.kind) or creator.kind
    parameters = {
        "id": creator.upstream_id,
        "etag": result.etag,
        "last_modified": result.last_modified,
        "moved_to": text(result.moved_to, connection) if kind == Kind.FEED else None,
        "platform_id": text(found.platform_id if found else None, connection),
        "kind": kind,
        "fresh_seconds": result.fresh_seconds,
        "fresh_until": fresh_until,
        "problem": text(found.problem if found else None, connection),
    }
    row = cursor(connection).execute(ANSWERED, parameters).fetchone()
    if row is None or found is None or not found.items:
        return 0
    return store(connection, creator.upstream_id, found.items, backlog=row[0])


def forgive(connection: Connection, creators: Collection[Creator]) -> None:
    """Let the upstreams be asked again at once, because the failure may be our own. Raises psycopg.Error."""
    connection.execute(FORGIVE, {"ids": [creator.upstream_id for creator in creators]})


def seconds_to_wait(error: FetchError, creator: Creator) -> float:
    """Return the upstream's pause in seconds after `error`. `creator` is as it was before the error."""
    match error:
        case ThrottledError():
            return error.leave_alone_seconds
        case TransientError():
            longest = REFUSED_LIMIT_SECONDS if _is_no_host(error, creator) else TRANSIENT_LIMIT_SECONDS
            limit = min(TRANSIENT_SECONDS * 2.0 ** min(creator.transient_failures, 20), longest)
            return random.uniform(limit / 2, limit)  # noqa: S311
        case CredentialsError():
            return CREDENTIALS_SECONDS
        case GoneError():
            return GONE_SECONDS
        case _:
            limit = error.longest_pause if isinstance(error, RefusedError) else REFUSED_LIMIT_SECONDS
            return min(REFUSED_SECONDS * 2.0 ** min(creator.failures, 20), limit, REFUSED_LIMIT_SECONDS)


def _write_failure(connection: Connection, creator: Creator, error: FetchError) -> None:
    parameters = {
        "id": creator.upstream_id,
        "wait": seconds_to_wait(error, creator),
        "error": text(str(error), connection),
        "refused": _is_no_host(error, creator)
        or not isinstance(error, TransientError | ThrottledError | CredentialsError),
        "transient": isinstance(error, TransientError),
    }
    connection.execute(FAILED, parameters)


def _is_no_host(error: FetchError, creator: Creator) -> bool:
    """Return whether a host has had no name for so long that it counts as gone."""
    return isinstance(error, NoSuchHostError) and creator.transient_failures >= NO_SUCH_HOST_FAILURES
