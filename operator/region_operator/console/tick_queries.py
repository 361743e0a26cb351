"""Asks the ledger about ticks. Every statement has a bound of time, and finds a region's rows by the primary key.

job_run has a partition for each day, so a bound of `tick_at` keeps most days out, and the latest rows of a region are
found in the newest days first.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.console.region_views import LastTick, TickRow
from region_operator.console.standing import Ending
from region_operator.console.suspended_ticks import find_suspended_ticks
from region_operator.console.views import FailedLog
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

RECENT = 10
"""How many ticks a list shows of each region."""

FARTHEST_BACK = timedelta(days=400)
"""How far back the latest ticks of a region are looked for: a yearly region has one within that time."""

RECENTLY = timedelta(days=1)
"""Where the latest ticks of a region are looked for first. Each day of job_run costs a look into its index, for each
region, and right after a full hour nearly all regions are asked for.
"""

_LATEST = text("""
SELECT wanted.region_id, run.*
FROM unnest(CAST(:region_ids AS text[]), CAST(:since AS timestamptz[])) AS wanted (region_id, since)
CROSS JOIN LATERAL (
    (SELECT tick_at, state, reason, error_class, error_message FROM region_tick.job_run
    WHERE source = :source AND region_id = wanted.region_id AND manual_uid = ''
        AND tick_at > :recently AND tick_at > wanted.since AND tick_at <= :now
    ORDER BY tick_at DESC LIMIT :ticks)
    UNION ALL
    (SELECT tick_at, state, reason, error_class, error_message FROM region_tick.job_run
    WHERE source = :source AND region_id = wanted.region_id AND manual_uid = ''
        AND tick_at > wanted.since AND tick_at <= :recently
    ORDER BY tick_at DESC LIMIT :ticks)
    LIMIT :ticks) AS run
""")
"""A LIMIT takes the rows of the first part before it asks for the second."""

_COLUMNS = """
tick_at, manual_uid, region_code, cron, state, reason, attempt, started_at, finished_at, handler, job_name, pod, node,
    exit_code, counts, error_class, error_message, window_start, window_end, created_at, rerun_uid,
    rerun_by
"""

_TICKS = text(f"""
SELECT {_COLUMNS} FROM region_tick.job_run
WHERE source = :source AND region_id = :region_id AND tick_at >= :since AND tick_at <= :until
    AND (CAST(:before_uid AS text) IS NULL OR (tick_at, manual_uid) < (:until, :before_uid))
    AND (CAST(:states AS text[]) = '{{}}' OR state = ANY(CAST(:states AS text[])))
    AND (CAST(:reasons AS text[]) = '{{}}' OR reason = ANY(CAST(:reasons AS text[])))
ORDER BY tick_at DESC, manual_uid DESC LIMIT :limit
""")  # noqa: S608 - constants

_TICK = text(f"""
SELECT {_COLUMNS}, log_attempt, log_lines FROM region_tick.job_run
WHERE source = :source AND region_id = :region_id AND tick_at = :tick_at AND manual_uid = :manual_uid
""")  # noqa: S608 - constants


async def find_latest(
    connection: AsyncConnection, source: str, successes: Mapping[str, datetime | None], now: datetime
) -> dict[str, Ending]:
    """Return the latest due tick of each region that has one since its last success. `successes` are by region.

    Raises sqlalchemy.exc.DBAPIError.
    """
    return {row.region_id: _ending(row) for row in await _latest(connection, source, successes, now, ticks=1)}


async def find_recent(
    connection: AsyncConnection, source: str, region_ids: Collection[str], now: datetime
) -> dict[str, list[LastTick]]:
    """Return the RECENT latest due ticks of each region, the newest first. Raises sqlalchemy.exc.DBAPIError."""
    found: defaultdict[str, list[LastTick]] = defaultdict(list)
    for row in await _latest(connection, source, dict.fromkeys(region_ids), now, ticks=RECENT):
        found[row.region_id].append(
            LastTick(tick_at=row.tick_at.astimezone(UTC), state=State(row.state), reason=row.reason)
        )
    return {region_id: sorted(ticks, key=_by_time, reverse=True) for region_id, ticks in found.items()}


async def find_ticks(
    connection: AsyncConnection,
    source: str,
    region_id: str,
    *,
    since: datetime,
    until: datetime,
    before_uid: str | None = None,
    states: Sequence[State] = (),
    reasons: Sequence[str] = (),
    limit: int,
) -> list[TickRow]:
    """Return a region's ticks from `since` to `until`, or to before the tick (`until`, `before_uid`), the newest first.

    Who asks for the reason `suspended` also gets the ticks that a suspension counts. Raises sqlalchemy.exc.DBAPIError.
    """
    rows = await connection.execute(
        _TICKS,
        {
            "source": source,
            "region_id": region_id,
            "since": since,
            "until": until,
            "before_uid": before_uid,
            "states": list(states),
            "reasons": list(reasons),
            "limit": limit,
        },
    )
    found = [_tick_row(row) for row in rows]
    if Reason.SUSPENDED in reasons and (not states or State.SKIPPED in states):
        last = until - timedelta(microseconds=1) if before_uid == "" else until
        suspended = await find_suspended_ticks(connection, source, region_id, since=since, until=last, limit=limit)
        found += [tick for tick, _ in suspended]
    return sorted(found, key=lambda tick: (tick.tick_at, tick.manual_uid), reverse=True)[:limit]


async def find_tick(
    connection: AsyncConnection, source: str, region_id: str, tick_at: datetime, manual_uid: str
) -> tuple[TickRow, datetime, FailedLog | None] | None:
    """Return a tick's row, when it was made, and what a failed attempt left of its log.

    Of a tick that a suspension counts: what its row would say.

    Raises sqlalchemy.exc.DBAPIError.
    """
    about = {"source": source, "region_id": region_id, "tick_at": tick_at}
    row = (await connection.execute(_TICK, about | {"manual_uid": manual_uid})).first()
    if row is not None:
        kept = FailedLog(attempt=row.log_attempt, lines=tuple(row.log_lines.splitlines())) if row.log_lines else None
        return _tick_row(row), row.created_at.astimezone(UTC), kept
    if manual_uid:
        return None
    suspended = await find_suspended_ticks(connection, source, region_id, since=tick_at, until=tick_at, limit=1)
    return (*suspended[0], None) if suspended else None


async def _latest(
    connection: AsyncConnection, source: str, since: Mapping[str, datetime | None], now: datetime, *, ticks: int
) -> Sequence[Row[Any]]:
    """Return the latest ticks of regions, each since a time of its own; None: as far back as any."""
    if not since:
        return ()
    farthest = now - FARTHEST_BACK
    about = {
        "source": source,
        "region_ids": list(since),
        "since": [moment or farthest for moment in since.values()],
        "now": now,
        "recently": now - RECENTLY,
        "ticks": ticks,
    }
    return (await connection.execute(_LATEST, about)).all()


def _by_time(tick: LastTick) -> datetime:
    return tick.tick_at


def _ending(row: Row[Any]) -> Ending:
    said = ": ".join(filter(None, (row.error_class, row.error_message)))
    return Ending(
        tick_at=row.tick_at.astimezone(UTC), state=State(row.state), reason=row.reason, error=said[:300] or None
    )


def _tick_row(row: Row[Any]) -> TickRow:
    started, finished = _utc(row.started_at), _utc(row.finished_at)
    tick_at = row.tick_at.astimezone(UTC)
    duration = (finished - started).total_seconds() if started and finished else None
    delay = max(0.0, (started - tick_at).total_seconds()) if started and not (row.manual_uid or row.rerun_uid) else None
    return TickRow(
        tick_at=tick_at,
        manual_uid=row.manual_uid,
        state=State(row.state),
        reason=row.reason,
        attempt=row.attempt,
        started_at=started,
        finished_at=finished,
        duration_seconds=duration,
        start_delay_seconds=delay,
        handler=row.handler,
        job_name=row.job_name,
        pod=row.pod,
        node=row.node,
        exit_code=row.exit_code,
        counts=row.counts,
        error_class=row.error_class,
        error_message=row.error_message,
        window_start=_utc(row.window_start),
        window_end=_utc(row.window_end),
        rerun_by=row.rerun_by,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC)
