"""Finds regions that are gone: without an active row and without a CronJob, while the ledger still has their ticks.

The ended schedule versions tell which region had a code. They are kept as long as the ticks of their time, so a region
is found as long as it has ticks on record. Of several regions that had the code, the one that had it last is meant.
Whether a row was deleted or deactivated nobody notes: the table is read for active rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from sqlalchemy import text

from region_operator.console.reasons import say_suspended_by
from region_operator.console.snapshot import KnownRegion
from region_operator.console.standing import Standing
from region_operator.console.views import RegionState
from region_operator.regions.slots import slot_in_sql
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from region_operator.regions.slots import Slots

_LAST_OF_CODE = text(f"""
SELECT region_id, cron, suspended, suspended_by, valid_to, (
    SELECT max(coalesce(tick_at, window_end)) FROM region_tick.region_cursor AS cursor
    WHERE cursor.source = schedule.source AND cursor.region_id = schedule.region_id) AS last_success
FROM region_tick.region_schedule AS schedule
WHERE source = :source AND code = :code AND {slot_in_sql("region_id")} = ANY(CAST(:slots AS integer[]))
ORDER BY valid_to DESC LIMIT 1
""")  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerRegion:
    """The region that had a code last, with the last schedule that it had under the code.

    `until` is when the region had that schedule or that code no more; None: it still has both. `suspended` says what
    suspended the region then, and who; None: nothing did.
    """

    region_id: str
    code: str
    cron: str
    suspended: str | None
    until: datetime | None
    last_success: datetime | None


async def find_former(connection: AsyncConnection, source: str, code: str, slots: Slots) -> FormerRegion | None:
    """Return the region of `slots` that had a code last; None if none had it, as far as the ledger goes back.

    Raises sqlalchemy.exc.DBAPIError, and UnicodeEncodeError for a code that is no text.
    """
    about = {"source": source, "code": code, "slots": list(slots)}
    row = (await connection.execute(_LAST_OF_CODE, about)).first()
    if row is None:
        return None
    return FormerRegion(
        region_id=row.region_id,
        code=code,
        cron=row.cron,
        suspended=(say_suspended_by(row.suspended_by) or "nobody knows by whom") if row.suspended else None,
        until=row.valid_to and row.valid_to.astimezone(UTC),
        last_success=row.last_success and row.last_success.astimezone(UTC),
    )


def as_gone(former: FormerRegion, until: datetime, source: str) -> KnownRegion:
    """Return a region that is gone since `until` as the pages show it."""
    why = (
        f"no active row of {source} has this code now: the row was deleted or deactivated. The region had the"
        f" schedule {former.cron} with this code until {format_time(until)}"
    )
    if former.suspended:
        why += f", and was suspended then: {former.suspended}"
    remedy = (
        "the ledger keeps what became of its ticks for RETENTION_DAYS; for the region to tick again, the table needs an"
        " active row with this code"
    )
    return KnownRegion(
        region_id=former.region_id,
        code=former.code,
        name="",
        written="",
        row={},
        has_row=False,
        version=None,
        last=None,
        last_success=former.last_success,
        standing=Standing(state=RegionState.INACTIVE, findings=(), late_by_intervals=None, why=why, remedy=remedy),
    )
