"""Finds the ticks of suspended regions: the ledger has a row for each suspension, and none for its ticks.

Which ticks these are is told by the schedule that the suspension has, as to a claim of such a tick. The region's
schedule of today may be another one. A tick that was run again after all has a row of its own, and is left to
`tick_queries`.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.console.reasons import say_suspended_by
from region_operator.console.region_views import TickRow
from region_operator.console.tick_times import parse
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.slots import slot_of
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_SUSPENSIONS = text("""
SELECT suspended_by, cron, first_tick_at, last_tick_at, counted_at, ARRAY(
    SELECT tick_at FROM region_tick.job_run AS run
    WHERE run.source = suspension.source AND run.region_id = suspension.region_id AND run.manual_uid = ''
        AND run.tick_at >= :since AND run.tick_at <= :until
        AND run.tick_at >= suspension.first_tick_at AND run.tick_at <= suspension.last_tick_at
) AS with_rows
FROM region_tick.suspension
WHERE source = :source AND region_id = :region_id AND first_tick_at <= :until AND last_tick_at >= :since
ORDER BY suspended_from DESC LIMIT :limit
""")
"""Each suspension has a tick at least, so no more suspensions are wanted than ticks."""

_COUNTED_UNTIL = text("""
SELECT coalesce((
    SELECT counted_until FROM region_tick.suspension
    WHERE source = :source AND region_id = :region_id AND suspended_until IS NULL
    ORDER BY suspended_from DESC LIMIT 1), (
    SELECT coalesce(slot.accounted_until, owner.accounted_until)
    FROM region_tick.slot_owner AS slot JOIN region_tick.installation AS owner USING (source, installation)
    WHERE slot.source = :source AND slot.slot = :slot))
""")
"""The ticks of a suspension that goes on, or ended just now, are counted more seldom than all others."""


async def find_suspended_ticks(
    connection: AsyncConnection, source: str, region_id: str, *, since: datetime, until: datetime, limit: int
) -> list[tuple[TickRow, datetime]]:
    """Return what the rows of a region's suspended ticks would say, the newest first, and when each was counted.

    Both ends of the time are included. Raises sqlalchemy.exc.DBAPIError.
    """
    about = {"source": source, "region_id": region_id, "since": since, "until": until, "limit": limit}
    suspensions = (await connection.execute(_SUSPENSIONS, about)).all()
    ticks = (
        (_tick_row(tick_at, suspension.suspended_by), suspension.counted_at.astimezone(UTC))
        for suspension in suspensions
        for tick_at in _ticks(suspension, since, until)
    )
    return list(islice(ticks, limit))


async def read_counted_until(connection: AsyncConnection, source: str, region_id: str) -> datetime | None:
    """Return up to when a region's ticks are counted; None if no operator counts. Raises sqlalchemy.exc.DBAPIError."""
    about = {"source": source, "region_id": region_id, "slot": slot_of(region_id)}
    until: datetime | None = (await connection.execute(_COUNTED_UNTIL, about)).scalar_one()
    return until and until.astimezone(UTC)


def _ticks(suspension: Row[Any], since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the ticks that a suspension counts and that have no row, the newest first."""
    try:
        schedule = parse(suspension.cron)
    except ScheduleError:  # somebody else wrote the schedule into the CronJob
        return
    with_rows = set(suspension.with_rows)
    first = max(since, suspension.first_tick_at).astimezone(UTC)
    last = min(until, suspension.last_tick_at).astimezone(UTC)
    for back in range((last.date() - first.date()).days + 1):
        day = last.date() - timedelta(days=back)
        if schedule.ticks_on(day):
            for hour, minute in product(reversed(schedule.hours), reversed(schedule.minutes)):
                tick_at = datetime.combine(day, time(hour, minute), UTC)
                if first <= tick_at <= last and tick_at not in with_rows:
                    yield tick_at


def _tick_row(tick_at: datetime, suspended_by: str | None) -> TickRow:
    return TickRow(
        tick_at=tick_at,
        manual_uid="",
        state=State.SKIPPED,
        reason=Reason.SUSPENDED,
        attempt=0,
        started_at=None,
        finished_at=None,
        duration_seconds=None,
        start_delay_seconds=None,
        handler=None,
        job_name=None,
        pod=None,
        node=None,
        exit_code=None,
        counts=None,
        error_class=None,
        error_message=say_suspended_by(suspended_by),
        window_start=None,
        window_end=None,
        rerun_by=None,
    )
