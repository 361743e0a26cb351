"""Reads and writes how far the ledger of each source has come, and reads the schedule versions still needed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from sqlalchemy import text

from region_operator.database.clock import database_now
from region_operator.database.engine import transaction
from region_operator.ledger.region_schedule_queries import COLUMNS, version_of_row
from region_operator.ledger.suspensions import Suspension

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.ledger.schedule_versions import ScheduleVersion
    from region_operator.ledger.suspensions import VersionKey

_UNFINISHED_SOURCES = text("""
SELECT source, accounted_until FROM region_tick.ledger
WHERE scheduler = :scheduler AND (EXISTS (
    SELECT FROM region_tick.region_schedule AS schedule
    WHERE schedule.source = ledger.source
        AND (schedule.valid_to IS NULL OR schedule.valid_to > ledger.accounted_until))
    OR EXISTS (
    SELECT FROM region_tick.suspension AS row WHERE row.source = ledger.source AND row.suspended_until IS NULL))
ORDER BY source
""")
"""The sources that have a current schedule version, an ended version with ticks that are not final, or a suspension
that goes on.
"""

_VERSIONS = text(f"""
SELECT schedule.*, row.counted_until, row.suspended_until IS NOT NULL AS ended
FROM (SELECT {COLUMNS} FROM region_tick.region_schedule WHERE source = :source) AS schedule
LEFT JOIN (
    SELECT region_id, suspended_from, counted_until, suspended_until FROM region_tick.suspension
    WHERE source = :source) AS row
    ON row.region_id = schedule.region_id AND row.suspended_from = schedule.valid_from
WHERE schedule.valid_to IS NULL OR schedule.valid_to > :after
    OR (row.counted_until IS NOT NULL AND row.suspended_until IS NULL)
""")  # noqa: S608 - a constant
"""The last line is for a suspension whose end was noticed late, when the ledger had already passed the end."""

_ADVANCE = text("""
UPDATE region_tick.ledger SET accounted_until = :until WHERE source = :source AND accounted_until < :until
""")


@dataclass(frozen=True, slots=True)
class Period:
    """The time of a source that is not final yet, the schedule versions of that time, and the suspensions' rows.

    `finalized_until` is what the ledger says (column accounted_until). `after` is `finalized_until`, or the start of
    the retention if later: older ticks get no row.
    """

    source: str
    finalized_until: datetime
    after: datetime
    versions: list[ScheduleVersion]
    suspensions: Mapping[VersionKey, Suspension]


async def read_periods(engine: AsyncEngine, *, scheduler: str, retention: timedelta) -> tuple[datetime, list[Period]]:
    """Return the database's time, and the unfinished period of each source that `scheduler` (a uid) owns.

    All times are in UTC. Raises sqlalchemy.exc.DBAPIError.
    """
    periods: list[Period] = []
    async with transaction(engine) as connection:
        now = await database_now(connection)
        for source, accounted_until in (await connection.execute(_UNFINISHED_SOURCES, {"scheduler": scheduler})).all():
            finalized_until = accounted_until.astimezone(UTC)
            after = max(finalized_until, now - retention)
            versions: list[ScheduleVersion] = []
            suspensions: dict[VersionKey, Suspension] = {}
            for row in (await connection.execute(_VERSIONS, {"source": source, "after": after})).mappings():
                versions.append(version := version_of_row(row))
                if counted_until := row["counted_until"]:
                    suspension = Suspension(counted_until.astimezone(UTC), row["ended"])
                    suspensions[version.region_id, version.valid_from] = suspension
            periods.append(Period(source, finalized_until, after, versions, suspensions))
    return now, periods


async def advance(engine: AsyncEngine, source: str, until: datetime) -> None:
    """Record that all ticks of the source up to `until` are final, and never go back.

    Raises sqlalchemy.exc.DBAPIError.
    """
    async with transaction(engine) as connection:
        await connection.execute(_ADVANCE, {"source": source, "until": until})
