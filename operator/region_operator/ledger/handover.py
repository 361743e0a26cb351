"""Hands a region's cursors and creators over to the region's new id, when a row with another id has its code.

A table that is seeded anew has new ids and the old codes. Cursors and creators are kept by id. Without the hand-over,
the region under its new id would begin from nothing, or poll nobody. Creators keep their own ids, so the waiting tasks
of the queue, which name creators, go along. Ticks of the past stay on record under the id that they ran with.

The code says who follows whom: `region_schedule` has the code of each region, also of one whose CronJob is gone. Only a
region without an active row is followed. What the new id has already is kept.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from region_operator.cronjobs.labels import region_key
from region_operator.database.engine import first_line, transaction
from region_operator.kube.apply import HandOverError
from region_operator.regions.slots import slot_in_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.database.store import Database
    from region_operator.plan.changes import Plan
    from region_operator.regions.region import Quarantined, RegionRow
    from region_operator.regions.slots import Slots

log = logging.getLogger(__name__)

_AT_ONCE = 2
"""How many CronJobs are handed over at once. Many are replaced at once, and the pool of connections is small: others
would wait for a connection longer than the pool's timeout, and so would the hand-overs.
"""

_REMEDY = "wait until the database is writable again, or GRANT UPDATE ON its tables region_cursor and creator"

_FIND = text(f"""
SELECT DISTINCT ON (wanted.code) wanted.id, past.region_id
FROM unnest(CAST(:id AS text[]), CAST(:code AS text[])) AS wanted (id, code)
JOIN region_tick.region_schedule AS past ON past.source = :source AND past.code = wanted.code
WHERE past.region_id <> wanted.id
  AND (past.valid_to IS NOT NULL OR {slot_in_sql("past.region_id")} = ANY(CAST(:slots AS integer[])))
  AND NOT EXISTS (
    SELECT FROM unnest(CAST(:present AS text[])) AS present (id) WHERE present.id = past.region_id)
  AND NOT EXISTS (
    SELECT FROM region_tick.region_schedule AS later
    WHERE later.source = past.source AND later.region_id = past.region_id AND later.valid_from > past.valid_from)
  AND (EXISTS (
    SELECT FROM region_tick.region_cursor AS row WHERE row.source = past.source AND row.region_id = past.region_id)
    OR EXISTS (
    SELECT FROM region_tick.creator AS row WHERE row.source = past.source AND row.region_id = past.region_id))
ORDER BY wanted.code, past.valid_from DESC
""")  # noqa: S608 - a constant
"""Finds, for regions and their codes, the last other region that had the code, and that left something behind. Outside
of our own `slots`, a region whose last version is open ticks elsewhere. In our own slots, the version of a region that
has neither a row nor a CronJob is only open because a process died before it could end the version.
"""

_WRITABLE = text("""
SELECT current_setting('transaction_read_only') = 'off'
    AND has_table_privilege('region_tick.region_cursor', 'UPDATE')
    AND has_table_privilege('region_tick.creator', 'UPDATE')
""")

_MOVED = "unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS moved (old, new)"

_MOVE_CURSORS = text(f"""
UPDATE region_tick.region_cursor AS row SET region_id = moved.new FROM {_MOVED}
WHERE row.source = :source AND row.region_id = moved.old AND NOT EXISTS (
    SELECT FROM region_tick.region_cursor AS known
    WHERE known.source = row.source AND known.region_id = moved.new AND known.handler = row.handler)
""")  # noqa: S608 - a constant

_MOVE_CREATORS = text(f"""
UPDATE region_tick.creator AS row SET region_id = moved.new FROM {_MOVED}
WHERE row.source = :source AND row.region_id = moved.old AND NOT EXISTS (
    SELECT FROM region_tick.creator AS known
    WHERE known.source = row.source AND known.region_id = moved.new AND known.platform = row.platform
      AND (known.handle = row.handle OR known.url = row.url))
""")  # noqa: S608 - a constant


class Handover:
    """Hands over in one database. A schema that this release leaves alone is left alone here too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def to_successor(self, live: LiveCronJob, successor: RegionRow) -> None:
        """Give what belongs to the region of a deleted CronJob to the region that has its code now.

        Raises HandOverError: the next reconcile creates the successor's CronJob, and hands over by code.
        """
        if live.told_source != successor.source or region_key(live.region_id) != live.key:
            return
        try:
            async with self._free:
                await self._move(successor.source, {live.region_id: successor.id})
        except (SQLAlchemyError, TimeoutError) as error:
            what = f"the cursors and creators of id {live.region_id} are not handed over to id {successor.id}"
            raise HandOverError(f"{what}: {first_line(error)}") from error

    async def by_code(self, plan: Plan, rows: Iterable[RegionRow | Quarantined], *, slots: Slots) -> Plan:
        """Give the regions that a plan creates what the last regions with their codes left behind.

        `rows` are the active rows in our own `slots`. Return the plan, or, if the database cannot be written, the plan
        without the changes that need a hand-over: the old region ticks on. Raises sqlalchemy.exc.SQLAlchemyError and
        TimeoutError.
        """
        created = [write.desired.region for write in plan.writes if write.creates]
        replaced = any(delete.successor for delete in plan.deletes)
        if not (created or replaced) or self._database.schema_conflict:
            return plan
        found, writable = await self._find(created, rows, slots=slots)
        if not writable and (found or replaced):
            log.warning(
                "not handed over", extra={"reason": "cursors and creators cannot be written", "remedy": _REMEDY}
            )
            writes = (write for write in plan.writes if write.desired.region.id not in found.values())
            return replace(
                plan, writes=tuple(writes), deletes=tuple(gone for gone in plan.deletes if not gone.successor)
            )
        if found:
            await self._move(created[0].source, found)
        return plan

    async def _find(
        self, created: Sequence[RegionRow], rows: Iterable[RegionRow | Quarantined], *, slots: Slots
    ) -> tuple[dict[str, str], bool]:
        """Return which old ids left something to which new ids, and whether it can be moved."""
        async with transaction(self._database.engine) as connection:
            writable: bool = (await connection.execute(_WRITABLE)).scalar_one()
            if not created:
                return {}, writable
            wanted = {
                "source": created[0].source,
                "id": [region.id for region in created],
                "code": [region.code for region in created],
                "present": [row.id for row in rows],
                "slots": sorted(slots),
            }
            found = (await connection.execute(_FIND, wanted)).all()
        return {row.region_id: row.id for row in found}, writable

    async def _move(self, source: str, successors: Mapping[str, str]) -> None:
        """Move cursors and creators from old ids to new ids, in one transaction."""
        if self._database.schema_conflict:
            return
        parameters = {"source": source, "old": [*successors], "new": [*successors.values()]}
        async with transaction(self._database.engine) as connection:
            cursors = await connection.execute(_MOVE_CURSORS, parameters)
            creators = await connection.execute(_MOVE_CREATORS, parameters)
        counts = {"cursors": cursors.rowcount, "creators": creators.rowcount}
        if any(counts.values()):
            old, new = next(iter(successors.items()))
            log.info("handed over", extra={"regions": len(successors), **counts, "first": f"{old} -> {new}"})
