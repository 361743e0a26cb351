"""Reads and writes region_schedule, the table of schedule versions, in the slots that an installation owns.

A slot that changes hands keeps its schedule versions: the new owner's CronJobs say the same, or the versions end. Which
versions end or begin is left to `schedule_versions`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.clock import database_now
from region_operator.database.engine import transaction
from region_operator.ledger.schedule_versions import NOTHING_DELETED, ScheduleSpec, ScheduleVersion, diff_versions
from region_operator.regions.slot_owners import take_free
from region_operator.regions.slots import slot_in_sql, slot_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_operator.ledger.schedule_versions import RegionKey

COLUMNS = (
    "source, region_id, cron, code, cronjob, start_deadline_seconds, suspended, suspended_by, valid_from, valid_to"
)

_OWNERS = text("""
SELECT source, installation, array_agg(slot) AS slots FROM region_tick.slot_owner
WHERE installation = :installation OR source = ANY(CAST(:sources AS text[]))
GROUP BY source, installation
""")

_OWN = f"""
JOIN region_tick.slot_owner AS owner
    ON owner.source = row.source AND owner.slot = {slot_in_sql("row.region_id")} AND owner.installation = :installation
"""

_CURRENT = text(
    f"SELECT row.* FROM region_tick.region_schedule AS row {_OWN} WHERE valid_to IS NULL"  # noqa: S608 - constants
)

_CURRENT_OF = text(
    f"SELECT row.* FROM region_tick.region_schedule AS row {_OWN}"  # noqa: S608 - constants
    " WHERE (row.source, region_id) IN (SELECT * FROM unnest(CAST(:source AS text[]), CAST(:region_id AS text[])))"
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


async def save_changed_versions(
    engine: AsyncEngine,
    found: Mapping[RegionKey, ScheduleVersion],
    regions: Iterable[RegionKey],
    *,
    installation: str,
    deleted_at: Mapping[str, datetime] = NOTHING_DELETED,
) -> int:
    """Update region_schedule for some regions that `installation` owns; return how many rows were written.

    A region that is not in `found` ticks no more. `deleted_at` is as in `diff_versions`. Raises
    sqlalchemy.exc.DBAPIError.
    """
    keys = [*regions]
    async with transaction(engine) as connection:
        parameters = {"source": [source for source, _ in keys], "region_id": [region for _, region in keys]}
        rows = (await connection.execute(_CURRENT_OF, parameters | {"installation": installation})).mappings()
        current = [version_of_row(row) for row in rows]
        return await _save_changes(connection, current, {key: found[key] for key in keys if key in found}, deleted_at)


async def save_versions(
    engine: AsyncEngine,
    found: Mapping[RegionKey, ScheduleVersion],
    *,
    installation: str,
    deleted_at: Mapping[str, datetime] = NOTHING_DELETED,
) -> int:
    """Update region_schedule to the versions found; return how many rows were written, 0 if nothing changed.

    Only the slots that `installation` owns count. `installation` becomes the owner of a slot for which a version was
    found, if nobody else owns any part of the source: a CronJob of ours ticks there. In all slots of `installation`,
    current versions that were not found end. `deleted_at` is as in `diff_versions`. Raises sqlalchemy.exc.DBAPIError.
    """
    async with transaction(engine) as connection:
        owned = await _own(connection, found, installation)
        found = {key: version for key, version in found.items() if (key[0], slot_of(key[1])) in owned}
        rows = (await connection.execute(_CURRENT, {"installation": installation})).mappings()
        return await _save_changes(connection, [version_of_row(row) for row in rows], found, deleted_at)


async def _own(
    connection: AsyncConnection, found: Mapping[RegionKey, ScheduleVersion], installation: str
) -> set[tuple[str, int]]:
    """Return the slots that `installation` owns, each with its source.

    Before that it takes the free slots of `found`, in sources of which nobody else owns a part.
    """
    parameters = {"installation": installation, "sources": list({source for source, _ in found})}
    rows = (await connection.execute(_OWNERS, parameters)).all()
    owners = {(row.source, slot): row.installation for row in rows for slot in row.slots}
    owned = {place for place, owner in owners.items() if owner == installation}
    foreign = {source for source, _ in owners.keys() - owned}
    free: defaultdict[str, set[int]] = defaultdict(set)
    for source, region_id in found:
        if source not in foreign and (source, slot_of(region_id)) not in owners:
            free[source].add(slot_of(region_id))
    for source, slots in free.items():
        since = min(version.valid_from for version in found.values() if version.source == source)
        await take_free(connection, source=source, installation=installation, slots=slots, ticking_since=since)
    return await _own(connection, {}, installation) if free else owned


async def _save_changes(
    connection: AsyncConnection,
    current: list[ScheduleVersion],
    found: Mapping[RegionKey, ScheduleVersion],
    deleted_at: Mapping[str, datetime],
) -> int:
    """Write the differences between the `current` rows and the versions found; return how many rows were written."""
    changes = diff_versions(current, found, now=await database_now(connection), deleted_at=deleted_at)
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
