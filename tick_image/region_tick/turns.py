"""The SQL that decides whose turn it is: which of a region's creators are to be asked, and who asks an upstream.

Three statements must agree on it: the list of a region's creators, the taking of upstreams, and a worker's look at one
creator. So they share one expression.
"""

from __future__ import annotations

from enum import StrEnum

ATTACH_AT_ONCE = 2000
"""How many new creators get their upstreams in one transaction."""


class Turn(StrEnum):
    """What is to be done about a creator, for its region's tick. The texts are those of the SQL in this module."""

    ASK = "ask"
    """The upstream is to be asked."""
    SHARED = "shared"
    """Another region's tick or worker has asked it since this region's last answer: that answer is to be delivered."""
    FRESH = "fresh"
    """The region has the upstream's last answer, which the upstream called fresh until after the tick's time."""
    WAITING = "waiting"
    """The upstream is left alone for now."""
    PAUSED = "paused"
    """A person has paused the creator (`creator.not_before`): its region gets nothing, whoever asks the upstream."""
    ELSEWHERE = "elsewhere"
    """Somebody else asks the upstream right now."""
    LOCKED = "locked"
    """The creator is new, and somebody's open transaction holds its row."""
    DONE = "done"
    """The region has an answer since the tick's time, or there is no such creator."""


ADDRESS = "platform, coalesce(handle, ''), coalesce(url, '')"

LOOSE = f"""
SELECT id FROM region_tick.creator
WHERE upstream_id IS NULL AND source = %(source)s::text AND region_id = %(region_id)s::text
ORDER BY id LIMIT {ATTACH_AT_ONCE}
FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608 - constants

MAKE_UPSTREAMS = f"""
INSERT INTO region_tick.upstream (platform, handle, url)
SELECT platform, handle, url FROM region_tick.creator WHERE id = ANY(%(ids)s::bigint[]) AND upstream_id IS NULL
ORDER BY {ADDRESS}
ON CONFLICT ({ADDRESS}) DO NOTHING
"""  # noqa: S608 - constants
"""The order keeps two ticks that make the same upstreams from waiting for each other in a circle."""

ATTACH = """
UPDATE region_tick.creator SET upstream_id = upstream.id
FROM region_tick.upstream
WHERE creator.id = ANY(%(ids)s::bigint[]) AND creator.upstream_id IS NULL
  AND upstream.platform = creator.platform
  AND coalesce(upstream.handle, '') = coalesce(creator.handle, '')
  AND coalesce(upstream.url, '') = coalesce(creator.url, '')
"""
"""A statement of its own: its snapshot has the upstreams that others made during MAKE_UPSTREAMS."""

_TURN = f"""
CASE
    WHEN creator.last_polled_at >= %(tick_at)s::timestamptz THEN '{Turn.DONE}'
    WHEN upstream.id IS NULL THEN '{Turn.LOCKED}'
    WHEN creator.not_before > clock_timestamp() THEN '{Turn.PAUSED}'
    WHEN upstream.last_polled_at > coalesce(creator.last_polled_at, %(tick_at)s::timestamptz - interval '1 hour')
        THEN '{Turn.SHARED}'
    WHEN upstream.fresh_until > %(tick_at)s::timestamptz THEN '{Turn.FRESH}'
    WHEN upstream.not_before > clock_timestamp() THEN '{Turn.WAITING}'
    WHEN upstream.asking_until > clock_timestamp() AND upstream.asking_by <> %(owner)s::text THEN '{Turn.ELSEWHERE}'
    ELSE '{Turn.ASK}'
END
"""
"""An answer that the region has not had is newer than its last one, so nobody is asked again for it. A creator without
an answer yet takes one of the last hour: older ones may be of regions that are gone.
"""

_COLUMNS = """
creator.id, upstream.id AS upstream_id, creator.platform, creator.handle, coalesce(upstream.moved_to, creator.url),
    upstream.etag, upstream.last_modified, upstream.platform_id, upstream.last_polled_at, upstream.failures,
    upstream.transient_failures, upstream.kind, coalesce(upstream.fresh_seconds, 0)
"""

CREATORS = f"""
SELECT creator.id, upstream.id, {_TURN} AS turn, coalesce(upstream.last_item > creator.delivered_until, false)
FROM region_tick.creator LEFT JOIN region_tick.upstream ON upstream.id = creator.upstream_id
WHERE creator.source = %(source)s::text AND creator.region_id = %(region_id)s::text
  AND (creator.last_polled_at IS NULL OR creator.last_polled_at < %(tick_at)s::timestamptz)
ORDER BY {_TURN} IN ('{Turn.FRESH}', '{Turn.WAITING}', '{Turn.PAUSED}'),
    greatest(upstream.last_polled_at, upstream.not_before)
    + CASE WHEN upstream.last_error IS NULL THEN interval '0' ELSE interval '1 hour' END NULLS FIRST, creator.id
LIMIT %(limit)s::bigint
"""  # noqa: S608 - constants
"""Selects the creators in the order of polling: the upstream polled longest ago comes first. An upstream whose
`not_before` has passed was polled about at that time. An upstream with an error counts as polled an hour later than it
was: hanging hosts then do not use up the other creators' time in every tick. The penalty is not larger, because an
upstream that always comes last is never polled if no tick has time for all creators.
"""

TAKE = f"""
WITH free AS (
    SELECT upstream.id, creator.id AS creator_id
    FROM region_tick.creator JOIN region_tick.upstream ON upstream.id = creator.upstream_id
    WHERE creator.id = ANY(%(ids)s::bigint[]) AND {_TURN} = '{Turn.ASK}'
    FOR NO KEY UPDATE OF upstream SKIP LOCKED
)
UPDATE region_tick.upstream SET
    asking_until = clock_timestamp() + make_interval(secs => %(seconds)s::float8), asking_by = %(owner)s::text
FROM free JOIN region_tick.creator ON creator.id = free.creator_id
WHERE upstream.id = free.id
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants

RENEW = """
UPDATE region_tick.upstream SET asking_until = clock_timestamp() + make_interval(secs => %(seconds)s::float8)
WHERE id IN (
    SELECT id FROM region_tick.upstream WHERE id = ANY(%(ids)s::bigint[]) AND asking_by = %(owner)s::text
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
"""

TURN = f"""
SELECT {_TURN}, upstream.id
FROM region_tick.creator LEFT JOIN region_tick.upstream ON upstream.id = creator.upstream_id
WHERE creator.id = %(id)s::bigint
"""  # noqa: S608 - constants

ANY_CREATOR = """
SELECT EXISTS (
    SELECT FROM region_tick.creator WHERE source = %(source)s::text AND region_id = %(region_id)s::text)
"""
