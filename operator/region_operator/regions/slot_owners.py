"""Reads and writes who owns the slots of a table: region_tick.slot_owner and region_tick.installation.

What is to be written is left to `handover`. Every write says what it expects to find: a slot without an owner, a slot
of one's own, or a slot at an epoch. So of two installations that want the same, one finds nothing to write. An advisory
lock of the source keeps two writers from locking rows in a different order.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.regions.handover import Installation, SlotHandover, SlotOwner, Standing, decide, nobody
from region_operator.regions.slots import slots_of_shard
from region_tick.contract import CHANGES_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_operator.regions.slots import Slots
    from region_operator.scheduler import Scheduler

INTERVALS_UNTIL_SILENT = 3
LEAST_SECONDS_UNTIL_SILENT = 120
"""After so many missed intervals, and at least so many seconds, an installation counts as silent."""

RACES = 5
"""How often the decision is made anew because others wrote meanwhile."""

_EXISTS = text("SELECT to_regclass('region_tick.slot_owner') IS NOT NULL, clock_timestamp()")

_OWNERS = text("""
SELECT installation, since, epoch, offered, successor, array_agg(slot) AS slots
FROM region_tick.slot_owner WHERE source = :source GROUP BY installation, since, epoch, offered, successor
""")

_INSTALLATIONS = text("""
SELECT installation, namespace, seen_at, took_over,
    seen_at < clock_timestamp() - make_interval(secs => greatest(:least, interval_seconds * :intervals)) AS silent
FROM region_tick.installation WHERE source = :source
""")

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('region_tick.slot_owner ' || :source, 0))")

_TAKE_FREE = text("""
INSERT INTO region_tick.slot_owner (source, slot, installation)
SELECT :source, slot, :me FROM unnest(CAST(:slots AS integer[])) AS free (slot)
ON CONFLICT DO NOTHING
""")

_OFFER = text("""
UPDATE region_tick.slot_owner SET offered = :offered
WHERE source = :source AND installation = :me AND slot = ANY(CAST(:slots AS integer[]))
""")

_ANNOUNCE = text("""
UPDATE region_tick.slot_owner AS row SET successor = :me
FROM unnest(CAST(:slots AS integer[]), CAST(:epochs AS bigint[])) AS read (slot, epoch)
WHERE row.source = :source AND row.slot = read.slot AND row.epoch = read.epoch
""")

_WITHDRAW = text("""
UPDATE region_tick.slot_owner SET successor = NULL
WHERE source = :source AND successor = :me AND installation <> :me AND slot = ANY(CAST(:slots AS integer[]))
""")

_TAKE_OVER = text("""
UPDATE region_tick.slot_owner AS row
SET installation = :me, since = clock_timestamp(), epoch = row.epoch + 1, offered = false, successor = NULL,
    accounted_until = coalesce(row.accounted_until, (
        SELECT accounted_until FROM region_tick.installation AS former
        WHERE former.source = row.source AND former.installation = row.installation))
FROM unnest(CAST(:slots AS integer[]), CAST(:epochs AS bigint[])) AS read (slot, epoch)
WHERE row.source = :source AND row.slot = read.slot AND row.epoch = read.epoch
  AND (row.offered OR row.installation = ANY(CAST(:named AS text[])))
RETURNING row.slot
""")
"""An owner may have withdrawn an offer meanwhile."""

_SEEN = text("""
INSERT INTO region_tick.installation (source, installation, namespace, interval_seconds, accounted_until)
SELECT :source, :me, :namespace, :interval_seconds, coalesce(
    (SELECT accounted_until FROM region_tick.ledger WHERE source = :source),
    clock_timestamp() - interval '10 minutes')
ON CONFLICT (source, installation) DO UPDATE
SET namespace = excluded.namespace, interval_seconds = excluded.interval_seconds, seen_at = clock_timestamp()
""")
"""The ledger of a new table begins 10 minutes ago: CronJobs of an older release may have ticked before."""

_KNOWN = text("""
INSERT INTO region_tick.installation (source, installation, namespace, interval_seconds, accounted_until)
SELECT :source, :me, coalesce((SELECT max(namespace) FROM region_tick.installation WHERE installation = :me), ''), 0,
    coalesce(
        (SELECT accounted_until FROM region_tick.ledger WHERE source = :source),
        greatest(CAST(:ticking_since AS timestamptz), clock_timestamp() - interval '10 minutes'))
ON CONFLICT DO NOTHING
""")

_CARRIED_OUT = text("""
UPDATE region_tick.installation SET took_over = CAST(:names AS text[])
WHERE source = :source AND installation = :me
""")

_TELL = text("SELECT pg_notify(:channel, :source) WHERE pg_notification_queue_usage() < 0.5")
"""Wakes the others who read the table. A full queue would make the COMMIT fail."""


async def read_handover(engine: AsyncEngine, scheduler: Scheduler, source: str) -> SlotHandover:
    """Return what is to be done about the slots of the table `source`; change nothing.

    Without the tables of this release, as before the first migration, no slot has an owner. Raises
    sqlalchemy.exc.DBAPIError.
    """
    async with transaction(engine) as connection:
        exists, now = (await connection.execute(_EXISTS)).one()
        standing = await _read(connection, source, now) if exists else nobody(source, now)
    return decide(standing, scheduler, wanted=slots_of_shard(scheduler.spec.source.shard))


async def settle(engine: AsyncEngine, scheduler: Scheduler, source: str, *, full: bool) -> SlotHandover:
    """Write what is to be written before anything else, and return what else is to be done about the slots.

    At a full look an installation that goes by any slot also tells that it is alive. Raises sqlalchemy.exc.DBAPIError.
    """
    handover = await read_handover(engine, scheduler, source)
    for _ in range(RACES):
        if not handover.to_write:
            break
        await _write(engine, handover, scheduler)
        handover = await read_handover(engine, scheduler, source)
    handover = replace(handover, free=frozenset())  # after so many races: what is not ours is left alone
    if handover.slots and (full or handover.me not in handover.standing.installations):
        async with transaction(engine) as connection:
            await connection.execute(_SEEN, _about(handover, scheduler))
    return handover


async def write_offers(engine: AsyncEngine, handover: SlotHandover, scheduler: Scheduler) -> None:
    """Write which slots other shards may take over. Raises sqlalchemy.exc.DBAPIError."""
    about = _about(handover, scheduler)
    async with transaction(engine) as connection:
        await lock(connection, about["source"])
        for slots_to_mark, offered in ((handover.offer, True), (handover.keep, False)):
            if slots_to_mark:
                await connection.execute(_OFFER, about | {"slots": sorted(slots_to_mark), "offered": offered})
        await connection.execute(_TELL, about)


async def take_over(engine: AsyncEngine, handover: SlotHandover, scheduler: Scheduler) -> Slots:
    """Become the owner of the slots whose CronJobs are made; return those that nobody else took meanwhile.

    Raises sqlalchemy.exc.DBAPIError.
    """
    named = {handover.standing.owners[slot].installation for slot in handover.taking} & scheduler.take_over
    about = _about(handover, scheduler)
    async with transaction(engine) as connection:
        await lock(connection, about["source"])
        expected = _with_epochs(handover, handover.taking) | {"named": sorted(named)}
        rows = await connection.execute(_TAKE_OVER, about | expected)
        taken = frozenset(rows.scalars())
        await connection.execute(_SEEN, about)
        if named and taken == handover.taking:
            await connection.execute(_CARRIED_OUT, about | {"names": sorted(scheduler.take_over)})
        await connection.execute(_TELL, about)
    return taken


async def lock(connection: AsyncConnection, source: str) -> None:
    """Keep others from writing who owns the source's slots, until the transaction ends. Raises
    sqlalchemy.exc.DBAPIError.
    """
    await connection.execute(_LOCK, {"source": source})


async def take_free(
    connection: AsyncConnection, *, source: str, installation: str, slots: Iterable[int], ticking_since: datetime
) -> None:
    """Become the owner of slots without an owner. A new source is accounted for from `ticking_since` on, at most 10
    minutes ago. Raises sqlalchemy.exc.DBAPIError.
    """
    values = {"source": source, "me": installation, "slots": sorted(slots), "ticking_since": ticking_since}
    await lock(connection, source)
    await connection.execute(_KNOWN, values)
    await connection.execute(_TAKE_FREE, values)


async def _write(engine: AsyncEngine, handover: SlotHandover, scheduler: Scheduler) -> None:
    about = _about(handover, scheduler)
    async with transaction(engine) as connection:
        await lock(connection, about["source"])
        if handover.free:
            await connection.execute(_TAKE_FREE, about | {"slots": sorted(handover.free)})
        if handover.announce:
            await connection.execute(_ANNOUNCE, about | _with_epochs(handover, handover.announce))
        if handover.withdraw:
            await connection.execute(_WITHDRAW, about | {"slots": sorted(handover.withdraw)})
        if handover.forget:
            await connection.execute(_CARRIED_OUT, about | {"names": []})
        if handover.free or handover.announce:
            await connection.execute(_SEEN, about)


async def _read(connection: AsyncConnection, source: str, now: datetime) -> Standing:
    owners: dict[int, SlotOwner] = {}
    for row in await connection.execute(_OWNERS, {"source": source}):
        owner = SlotOwner(
            installation=row.installation,
            since=row.since.astimezone(UTC),
            epoch=row.epoch,
            offered=row.offered,
            successor=row.successor,
        )
        owners |= dict.fromkeys(row.slots, owner)
    known = {"source": source, "least": LEAST_SECONDS_UNTIL_SILENT, "intervals": INTERVALS_UNTIL_SILENT}
    installations = {
        row.installation: Installation(
            namespace=row.namespace,
            seen_at=row.seen_at.astimezone(UTC),
            silent=row.silent,
            took_over=frozenset(row.took_over),
        )
        for row in await connection.execute(_INSTALLATIONS, known)
    }
    return Standing(source=source, now=now.astimezone(UTC), owners=owners, installations=installations)


def _about(handover: SlotHandover, scheduler: Scheduler) -> dict[str, Any]:
    """Return the values that the statements share."""
    return {
        "source": handover.standing.source,
        "me": handover.me,
        "namespace": scheduler.namespace,
        "interval_seconds": scheduler.spec.refresh_interval.total_seconds(),
        "channel": CHANGES_CHANNEL,
    }


def _with_epochs(handover: SlotHandover, slots: Slots) -> dict[str, list[int]]:
    in_order = sorted(slots)
    return {"slots": in_order, "epochs": [handover.standing.owners[slot].epoch for slot in in_order]}
