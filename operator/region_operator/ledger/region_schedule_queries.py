"""Reads and writes region_schedule, the table of schedule versions, and the owners of sources in the ledger.

Which versions end or begin is left to `schedule_versions`.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.clock import database_now
from region_operator.database.engine import transaction
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion, diff_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_operator.ledger.schedule_versions import RegionKey

COLUMNS = (
    "source, region_id, cron, code, cronjob, start_deadline_seconds, suspended, suspended_by, valid_from, valid_to"
)

_OWNERS = text("""
SELECT source, scheduler FROM region_tick.ledger
WHERE scheduler = :scheduler OR source = ANY(CAST(:sources AS text[]))
""")

_END_PREVIOUS_OWNERS = text("""
UPDATE region_tick.region_schedule AS row
SET valid_to = greatest(ledger.accounted_until, row.valid_from + interval '1 microsecond')
FROM region_tick.ledger
WHERE row.source = :source AND ledger.source = row.source AND row.valid_to IS NULL
""")
"""The versions of a previous owner ended with that RegionScheduler. Only the time up to accounted_until is certain."""

_CURRENT = text(
    f"SELECT {COLUMNS} FROM region_tick.region_schedule"  # noqa: S608 - a constant
    " WHERE source = ANY(CAST(:sources AS text[])) AND valid_to IS NULL"
)

_CURRENT_OF = text(
    f"SELECT {COLUMNS} FROM region_tick.region_schedule"  # noqa: S608 - a constant
    " WHERE (source, region_id) IN (SELECT * FROM unnest(CAST(:source AS text[]), CAST(:region_id AS text[])))"
    " AND valid_to IS NULL"
)

_END = text("""
UPDATE region_tick.region_schedule AS row SET valid_to = ended.valid_to
FROM unnest(CAST(:source AS text[]), CAST(:region_id AS text[]), CAST(:valid_to AS timestamptz[]))
    AS ended (source, region_id, valid_to)
WHERE row.source = ended.source AND row.region_id = ended.region_id AND row.valid_to IS NULL
""")

_BEGIN = text("""
INSERT INTO region_tick.region_schedule
    (source, region_id, cron, code, cronjob, start_deadline_seconds, suspended, suspended_by, valid_from)
SELECT source, region_id, cron, code, cronjob, start_deadline_seconds, suspended, suspended_by, greatest(valid_from, (
    SELECT max(valid_to) FROM region_tick.region_schedule AS past
    WHERE past.source = begun.source AND past.region_id = begun.region_id))
FROM unnest(
    CAST(:source AS text[]), CAST(:region_id AS text[]), CAST(:cron AS text[]), CAST(:code AS text[]),
    CAST(:cronjob AS text[]), CAST(:start_deadline_seconds AS integer[]), CAST(:suspended AS boolean[]),
    CAST(:suspended_by AS text[]), CAST(:valid_from AS timestamptz[]))
    AS begun (source, region_id, cron, code, cronjob, start_deadline_seconds, suspended, suspended_by, valid_from)
ON CONFLICT DO NOTHING
""")

_OWN_SOURCES = text("""
INSERT INTO region_tick.ledger (source, accounted_until, scheduler)
SELECT source, greatest(min(valid_from), clock_timestamp() - interval '10 minutes'), :scheduler
FROM region_tick.region_schedule WHERE source = ANY(CAST(:sources AS text[])) GROUP BY source
ON CONFLICT (source) DO UPDATE SET scheduler = excluded.scheduler
""")
"""The ledger begins with the first schedule version, at most 10 minutes ago: nothing is known of the time before."""


async def save_changed_versions(
    engine: AsyncEngine, found: Mapping[RegionKey, ScheduleVersion], regions: Iterable[RegionKey]
) -> int:
    """Update region_schedule for some regions of sources that are owned already; return how many rows were written.

    A region that is not in `found` ticks no more. Raises sqlalchemy.exc.DBAPIError.
    """
    keys = [*regions]
    async with transaction(engine) as connection:
        parameters = {"source": [source for source, _ in keys], "region_id": [region for _, region in keys]}
        rows = (await connection.execute(_CURRENT_OF, parameters)).mappings()
        current = [version_of_row(row) for row in rows]
        return await _save_changes(connection, current, {key: found[key] for key in keys if key in found})


async def save_versions(
    engine: AsyncEngine, found: Mapping[RegionKey, ScheduleVersion], *, source: str, scheduler: str
) -> int:
    """Update region_schedule to the versions found; return how many rows were written, 0 if nothing changed.

    `source` is the table that the RegionScheduler with uid `scheduler` reads. The RegionScheduler becomes the owner of
    `source`, also if another RegionScheduler was the owner, and of every found source without an owner. Versions found
    for another owner's source are ignored. In all sources of this owner, current versions that were not found end.
    Raises sqlalchemy.exc.DBAPIError.
    """
    async with transaction(engine) as connection:
        mentioned = {source} | {source for source, _ in found}
        rows = await connection.execute(_OWNERS, {"scheduler": scheduler, "sources": list(mentioned)})
        owners = {row.source: row.scheduler for row in rows}
        owned = {source for source, owner in owners.items() if owner == scheduler}
        sources = owned | {source} | {other for other in mentioned if owners.get(other) is None}
        found = {key: version for key, version in found.items() if version.source in sources}
        if owners.get(source) not in (None, scheduler):
            await connection.execute(_END_PREVIOUS_OWNERS, {"source": source})
        current_rows = (await connection.execute(_CURRENT, {"sources": list(sources)})).mappings()
        current = [version_of_row(row) for row in current_rows]
        written = await _save_changes(connection, current, found)
        if new := sources - owned:
            await connection.execute(_OWN_SOURCES, {"sources": list(new), "scheduler": scheduler})
        return written


async def _save_changes(
    connection: AsyncConnection, current: list[ScheduleVersion], found: Mapping[RegionKey, ScheduleVersion]
) -> int:
    """Write the differences between the `current` rows and the versions found; return how many rows were written."""
    changes = diff_versions(current, found, now=await database_now(connection))
    if changes.ended:
        ends = {"valid_to": [row.valid_to for row in changes.ended]}
        await connection.execute(_END, _keys(changes.ended) | ends)
    if changes.begun:
        await connection.execute(_BEGIN, _keys(changes.begun) | _specs(changes.begun))
    return len(changes.ended) + len(changes.begun)


def version_of_row(row: RowMapping) -> ScheduleVersion:
    """Return the schedule version of a row with COLUMNS. The times are in UTC."""
    valid_from, valid_to = row["valid_from"], row["valid_to"]
    spec = ScheduleSpec(
        cron=row["cron"],
        code=row["code"],
        cronjob=row["cronjob"],
        start_deadline_seconds=row["start_deadline_seconds"],
        suspended=row["suspended"],
    )
    return ScheduleVersion(
        source=row["source"],
        region_id=row["region_id"],
        spec=spec,
        valid_from=valid_from.astimezone(UTC),
        valid_to=valid_to and valid_to.astimezone(UTC),
        suspended_by=row["suspended_by"],
    )


def _keys(rows: tuple[ScheduleVersion, ...]) -> dict[str, list[Any]]:
    return {"source": [row.source for row in rows], "region_id": [row.region_id for row in rows]}


def _specs(rows: tuple[ScheduleVersion, ...]) -> dict[str, list[Any]]:
    return {
        "cron": [row.spec.cron for row in rows],
        "code": [row.spec.code for row in rows],
        "cronjob": [row.spec.cronjob for row in rows],
        "start_deadline_seconds": [row.spec.start_deadline_seconds for row in rows],
        "suspended": [row.spec.suspended for row in rows],
        "suspended_by": [row.suspended_by for row in rows],
        "valid_from": [row.valid_from for row in rows],
    }
