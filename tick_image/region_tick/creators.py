"""Decides which of a region's creators are to be asked, and takes them: one tick or worker asks an upstream at a time.

A creator is a membership: a region wants to know what an upstream publishes. Creators of several regions with the same
platform, handle and url have one upstream, which is asked once for all of them. So a creator's turn depends on two
rows. region_tick.creator says which answer the region has had. region_tick.upstream says when there was an answer, for
how long the upstream is left alone, and who asks it right now. No row stays locked while an upstream is asked: the
upstream is taken by a short lease in its row. This module uses no prepared statement and no session state (see
session).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from region_tick.adaptation import read_any_bytes
from region_tick.adapters import Creator
from region_tick.session import bound, cursor
from region_tick.turns import (
    ANY_CREATOR,
    ATTACH,
    ATTACH_AT_ONCE,
    CREATORS,
    LOOSE,
    MAKE_UPSTREAMS,
    RENEW,
    TAKE,
    TURN,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from psycopg import Connection
    from psycopg.rows import TupleRow

CREATORS_LIMIT = 10_000
"""How many creators one tick reads. The next tick reads the remaining creators first: they have waited longer."""
LEASE_SECONDS = 60.0
"""For how long an upstream is taken. Whoever asks many upstreams renews the leases meanwhile (`renew`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A creator without an answer since the tick's time, and what is to be done about it."""

    id: int
    upstream_id: int | None
    """None for a creator whose turn is LOCKED."""
    turn: Turn
    undelivered: bool
    """Whether the upstream has items that the region has not got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What is to be done about one creator."""

    turn: Turn
    creator: Creator | None
    """The creator to ask, if `turn` is ASK; None otherwise."""
    upstream_id: int | None
    """None if `turn` is DONE or LOCKED."""
    now: datetime
    """The database's time (UTC)."""


def read_creators(
    connection: Connection, *, source: str, region_id: str, tick_at: datetime, owner: str
) -> Sequence[Due]:
    """Return the region's creators without an answer since `tick_at`, in the order of polling.

    A creator that has no upstream yet gets one. At most CREATORS_LIMIT creators are returned. `owner` is who asks, as
    for `take`. Raises psycopg.Error.
    """
    region = {"source": source, "region_id": region_id}
    while _attach(connection, region) == ATTACH_AT_ONCE:
        pass
    parameters = region | {"tick_at": tick_at, "owner": owner, "limit": CREATORS_LIMIT}
    with connection.transaction():
        bound(connection)
        _refuse_hidden_rows(connection)
        rows = cursor(connection).execute(CREATORS, parameters).fetchall()
    return [Due(id=row[0], upstream_id=row[1], turn=Turn(row[2]), undelivered=row[3]) for row in rows]


def has_creators(connection: Connection, *, source: str, region_id: str) -> bool:
    """Tell whether the region has any creator. Raises psycopg.Error."""
    with connection.transaction():
        bound(connection)
        row = cursor(connection).execute(ANY_CREATOR, {"source": source, "region_id": region_id}).fetchone()
    return row is not None and bool(row[0])


def take(
    connection: Connection,
    ids: Collection[int],
    *,
    tick_at: datetime,
    owner: str,
    seconds: float = LEASE_SECONDS,
) -> list[Creator]:
    """Take the upstreams of those creators whose turn is ASK, for `seconds`, and return these creators.

    A creator that is left out was asked, paused or taken by somebody else meanwhile. `owner` names who asks: a later
    attempt of one tick or task has the same name, and takes at once what a dead attempt held. Give the result to `save`
    (module upstreams), which ends the lease. Raises psycopg.Error.
    """
    parameters = {"ids": list(ids), "tick_at": tick_at, "owner": owner, "seconds": seconds}
    with connection.transaction():
        bound(connection)
        read_any_bytes(connection)
        rows = cursor(connection).execute(TAKE, parameters).fetchall()
    order = {creator_id: place for place, creator_id in enumerate(ids)}
    return sorted(map(_creator, rows), key=lambda creator: order[creator.id])


def take_creator(
    connection: Connection, creator_id: int, *, tick_at: datetime, owner: str, seconds: float = LEASE_SECONDS
) -> Taken:
    """Take the upstream of one creator, if its turn is ASK. See `take`. Raises psycopg.Error."""
    with connection.transaction():
        bound(connection)
        _refuse_hidden_rows(connection)
        for statement in (MAKE_UPSTREAMS, ATTACH):
            connection.execute(statement, {"ids": [creator_id]})
    taken = take(connection, [creator_id], tick_at=tick_at, owner=owner, seconds=seconds)
    with connection.transaction():
        bound(connection)
        row = cursor(connection).execute(TURN, {"id": creator_id, "tick_at": tick_at, "owner": owner}).fetchone()
        now, _ = bound(connection)
    if taken:
        return Taken(turn=Turn.ASK, creator=taken[0], upstream_id=taken[0].upstream_id, now=now)
    turn, upstream_id = (Turn.DONE, None) if row is None else (Turn(row[0]), row[1])
    return Taken(turn=Turn.ELSEWHERE if turn is Turn.ASK else turn, creator=None, upstream_id=upstream_id, now=now)


def renew(connection: Connection, creators: Collection[Creator], *, owner: str, seconds: float = LEASE_SECONDS) -> None:
    """Hold the upstreams of `creators` for `seconds` from now; with 0, give them back. Raises psycopg.Error."""
    parameters = {"ids": [creator.upstream_id for creator in creators], "owner": owner, "seconds": seconds}
    with connection.transaction():
        bound(connection)
        connection.execute(RENEW, parameters)


def _attach(connection: Connection, region: dict[str, str]) -> int:
    """Give some of the region's new creators their upstreams. Return how many new creators were found.

    A creator whose row somebody else has locked is left out.
    """
    with connection.transaction():
        bound(connection)
        _refuse_hidden_rows(connection)
        ids = [row[0] for row in cursor(connection).execute(LOOSE, region).fetchall()]
        if ids:
            for statement in (MAKE_UPSTREAMS, ATTACH):
                connection.execute(statement, {"ids": ids})
    return len(ids)


def _refuse_hidden_rows(connection: Connection) -> None:
    """Make a query of the open transaction an error where row security would hide rows from this role.

    A hidden creator would look like a deleted one, and nobody would poll it. Postgres refuses every policy that applies
    to the role, also one that shows all rows.
    """
    connection.execute("SET LOCAL row_security TO off")


def _creator(row: TupleRow) -> Creator:
    return Creator(
        id=row[0],
        upstream_id=row[1],
        platform=row[2],
        handle=row[3],
        url=row[4],
        etag=row[5],
        last_modified=row[6],
        platform_id=row[7],
        last_polled_at=row[8] and row[8].astimezone(UTC),
        failures=row[9],
        transient_failures=row[10],
        kind=row[11],
        fresh_seconds=row[12],
    )
