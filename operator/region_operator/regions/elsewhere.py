"""Reads which regions have a CronJob in another installation: from region_tick.region_schedule, where owners say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.regions.handover import RegionElsewhere
from region_operator.regions.slots import slot_in_sql

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.regions.handover import SlotHandover

_CURRENT = text(f"""
SELECT region_id, cron, suspended FROM region_tick.region_schedule
WHERE source = :source AND valid_to IS NULL AND {slot_in_sql("region_id")} = ANY(CAST(:slots AS integer[]))
""")  # noqa: S608 - a constant


async def read_elsewhere(engine: AsyncEngine, handover: SlotHandover) -> list[RegionElsewhere]:
    """Return the regions of the slots to take over that have a CronJob now. Raises sqlalchemy.exc.DBAPIError."""
    if not handover.taking:
        return []
    async with transaction(engine) as connection:
        wanted = {"source": handover.standing.source, "slots": sorted(handover.taking)}
        return [RegionElsewhere(*row) for row in await connection.execute(_CURRENT, wanted)]
