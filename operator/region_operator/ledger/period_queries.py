"""Reads and writes how far the ledger of each source has come, and reads the schedule versions still needed.

An installation accounts for the slots that it owns. Its slots share one account, in region_tick.installation. A slot
that came from another owner brings its own, until it has caught up. region_tick.ledger says how far all owners of a
source have come, for people and for an older release.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.clock import database_now
from region_operator.database.engine import transaction
from region_operator.ledger.region_schedule_queries import COLUMNS, version_of_row
from region_operator.ledger.suspensions import Suspension
from region_operator.regions.slot_owners import lock
from region_operator.regions.slots import ALL_SLOTS, slot_in_sql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from region_operator.ledger.schedule_versions import ScheduleVersion
    from region_operator.ledger.suspensions import VersionKey

_PARTS = text(f"""
SELECT part.*, count(*) OVER (PARTITION BY source) > 1 OR own_account OR EXISTS (
    SELECT FROM region_tick.region_schedule AS schedule
    WHERE schedule.source = part.source AND (schedule.valid_to IS NULL OR schedule.valid_to > part.accounted_until)
        AND {slot_in_sql("schedule.region_id")} = ANY(part.slots))
    OR EXISTS (
    SELECT FROM region_tick.suspension AS row
    WHERE row.source = part.source AND row.suspended_until IS NULL
        AND {slot_in_sql("row.region_id")} = ANY(part.slots)) AS unfinished
FROM (
    SELECT source, owner.accounted_until IS NOT NULL AS own_account,
        coalesce(owner.accounted_until, account.accounted_until) AS accounted_until,
        array_agg(slot ORDER BY slot) AS slots,
        array_agg(CASE WHEN epoch > 1 THEN since END ORDER BY slot) AS since
    FROM region_tick.slot_owner AS owner JOIN region_tick.installation AS account USING (source, installation)
    WHERE installation = :installation
    GROUP BY source, owner.accounted_until, account.accounted_until) AS part
ORDER BY source, own_account, accounted_until
""")  # noqa: S608 - constants
"""The slots of each source that are accounted for alike. The slots with the owner's account come first.

A part is unfinished if it has a current schedule version, an ended version with ticks that are not final, or a
suspension that goes on; also if it is one of several, so that they end up as one. `since` is null for a slot that had
no owner before.
"""

_VERSIONS = text(f"""
SELECT schedule.*, row.counted_until, row.suspended_until IS NOT NULL AS ended
FROM (SELECT {COLUMNS} FROM region_tick.region_schedule WHERE source = :source) AS schedule
LEFT JOIN (
    SELECT region_id, suspended_from, counted_until, suspended_until FROM region_tick.suspension
    WHERE source = :source) AS row
    ON row.region_id = schedule.region_id AND row.suspended_from = schedule.valid_from
WHERE (schedule.valid_to IS NULL OR schedule.valid_to > :after
    OR (row.counted_until IS NOT NULL AND row.suspended_until IS NULL))
    AND (:all_slots OR {slot_in_sql("schedule.region_id")} = ANY(CAST(:slots AS integer[])))
""")  # noqa: S608 - constants
"""The line with counted_until is for a suspension whose end was noticed late, when the ledger had passed the end."""

_ADVANCE = text("""
UPDATE region_tick.installation SET accounted_until = :until
WHERE source = :source AND installation = :installation AND accounted_until < :until
""")

_ADVANCE_UNUSED = text("""
UPDATE region_tick.installation SET accounted_until = :until
WHERE source = :source AND installation = :installation AND accounted_until < :until AND NOT EXISTS (
    SELECT FROM region_tick.slot_owner AS owner
    WHERE owner.source = :source AND owner.installation = :installation AND owner.accounted_until IS NULL)
""")

_ADVANCE_SLOTS = text("""
UPDATE region_tick.slot_owner AS owner SET accounted_until = nullif(greatest(owner.accounted_until, :until), (
    SELECT accounted_until FROM region_tick.installation AS account
    WHERE account.source = owner.source AND account.installation = owner.installation))
WHERE source = :source AND installation = :installation AND slot = ANY(CAST(:slots AS integer[]))
    AND accounted_until IS NOT NULL
""")
"""A slot that has caught up with the owner's account joins it."""

_ADVANCE_LEDGER = text("""
INSERT INTO region_tick.ledger AS whole (source, accounted_until)
SELECT source, min(coalesce(owner.accounted_until, account.accounted_until))
FROM region_tick.slot_owner AS owner JOIN region_tick.installation AS account USING (source, installation)
WHERE source = :source GROUP BY source
ON CONFLICT (source) DO UPDATE SET accounted_until = excluded.accounted_until
WHERE whole.accounted_until < excluded.accounted_until
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The time that is not final yet of a source's slots that are accounted for alike, the schedule versions of that
    time, and the suspensions' rows.

    `finalized_until` is what the database says (columns accounted_until). `after` is `finalized_until`, or the start of
    the retention if later: older ticks get no row. `own_account` says that the slots are behind or before the other
    slots of their owner. `taken_over_at` has the slots that had another owner before.
    """

    source: str
    slots: tuple[int, ...]
    own_account: bool
    finalized_until: datetime
    after: datetime
    versions: list[ScheduleVersion]
    suspensions: Mapping[VersionKey, Suspension]
    taken_over_at: Mapping[int, datetime]

    @property
    def key(self) -> tuple[str, tuple[int, ...]]:
        return self.source, self.slots


async def read_periods(
    engine: AsyncEngine, *, installation: str, retention: timedelta
) -> tuple[datetime, list[Period]]:
    """Return the database's time, and the unfinished periods of the slots that `installation` owns.

    All times are in UTC. Raises sqlalchemy.exc.DBAPIError.
    """
    async with transaction(engine) as connection:
        now = await database_now(connection)
        parts = (await connection.execute(_PARTS, {"installation": installation})).all()
        return now, [await _read_period(connection, part, now - retention) for part in parts if part.unfinished]


async def _read_period(connection: AsyncConnection, part: Row[Any], oldest: datetime) -> Period:
    finalized_until = part.accounted_until.astimezone(UTC)
    after = max(finalized_until, oldest)
    versions: list[ScheduleVersion] = []
    suspensions: dict[VersionKey, Suspension] = {}
    slots = {"slots": part.slots, "all_slots": len(part.slots) == len(ALL_SLOTS)}
    for row in (await connection.execute(_VERSIONS, {"source": part.source, "after": after} | slots)).mappings():
        versions.append(version := version_of_row(row))
        if counted_until := row["counted_until"]:
            suspension = Suspension(counted_until.astimezone(UTC), row["ended"])
            suspensions[version.region_id, version.valid_from] = suspension
    return Period(
        source=part.source,
        slots=tuple(part.slots),
        own_account=part.own_account,
        finalized_until=finalized_until,
        after=after,
        versions=versions,
        suspensions=suspensions,
        taken_over_at={slot: at.astimezone(UTC) for slot, at in zip(part.slots, part.since, strict=True) if at},
    )


async def advance(engine: AsyncEngine, period: Period, until: datetime, *, installation: str) -> None:
    """Record that all ticks of the period's slots up to `until` are final, and never go back. Slots that have another
    owner by now are left alone.

    Raises sqlalchemy.exc.DBAPIError.
    """
    parameters = {"source": period.source, "installation": installation, "until": until, "slots": list(period.slots)}
    async with transaction(engine) as connection:
        if period.own_account:
            await lock(connection, period.source)
            await connection.execute(_ADVANCE_UNUSED, parameters)
            await connection.execute(_ADVANCE_SLOTS, parameters)
        else:
            await connection.execute(_ADVANCE, parameters)
        await connection.execute(_ADVANCE_LEDGER, parameters)
