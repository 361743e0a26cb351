"""The ledger's SQL: how far it has come, which ticks have no row, and the rows that it writes.

A tick's own row is never touched but where its lease is over, by attempt, and one that is written meanwhile wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.ledger.region_schedule_queries import COLUMNS, database_now, version_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.ledger.causes import Verdict
    from region_operator.ledger.expected_ticks import ExpectedTick
    from region_operator.ledger.schedule_versions import ScheduleVersion

BATCH = 10_000
"""Ticks in one statement."""

_UNSETTLED = text("""
SELECT source, accounted_until FROM region_tick.ledger
WHERE scheduler = :scheduler AND EXISTS (
    SELECT FROM region_tick.region_schedule AS schedule
    WHERE schedule.source = ledger.source
        AND (schedule.valid_to IS NULL OR schedule.valid_to > ledger.accounted_until))
ORDER BY source
""")
"""Where a schedule is in force, or ended and has ticks that are not accounted for."""

_INTERVALS = text(
    f"SELECT {COLUMNS} FROM region_tick.region_schedule"  # noqa: S608 - a constant
    " WHERE source = :source AND (valid_to IS NULL OR valid_to > :after)"
)

_MISSING = text("""
SELECT wanted.place, EXISTS (
    SELECT FROM region_tick.job_run AS other
    WHERE other.source = :source AND other.region_id = wanted.region_id AND other.manual_uid = ''
        AND other.tick_at < wanted.tick_at AND other.tick_at >= wanted.tick_at - interval '1 day'
        AND other.tick_at < :last AND other.tick_at >= CAST(:first AS timestamptz) - interval '1 day'
        AND other.started_at IS NOT NULL AND other.created_at < wanted.latest_start
        AND coalesce(other.finished_at, other.lease_until) > wanted.tick_at) AS overlapped
FROM unnest(
    CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]), CAST(:latest_start AS timestamptz[]))
    WITH ORDINALITY AS wanted (region_id, tick_at, latest_start, place)
WHERE (
    SELECT true FROM region_tick.job_run AS run
    WHERE run.source = :source AND run.region_id = wanted.region_id AND run.tick_at = wanted.tick_at
        AND run.manual_uid = '' AND run.tick_at >= :first AND run.tick_at <= :last) IS NULL
ORDER BY wanted.place
""")
"""`overlapped`: a tick of the region before ran when this one was due. `first` and `last` leave partitions out. Not by
NOT EXISTS: an anti join over a day that was not analyzed yet was seen to take 30 s for what takes a fraction of one.
"""

_FINAL = text("""
SELECT wanted.place
FROM unnest(CAST(:source AS text[]), CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]))
    WITH ORDINALITY AS wanted (source, region_id, tick_at, place)
WHERE (
    SELECT run.state FROM region_tick.job_run AS run
    WHERE run.source = wanted.source AND run.region_id = wanted.region_id AND run.tick_at = wanted.tick_at
        AND run.manual_uid = '' AND run.tick_at >= :first AND run.tick_at <= :last)
    NOT IN ('running', 'interrupted')
ORDER BY wanted.place
""")

_WRITE = text("""
INSERT INTO region_tick.job_run
    (source, region_id, tick_at, region_code, cron, job_name, state, reason, error_message, finished_at)
SELECT :source, given.*, clock_timestamp()
FROM unnest(
    CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]), CAST(:code AS text[]), CAST(:cron AS text[]),
    CAST(:job AS text[]), CAST(:state AS text[]), CAST(:reason AS text[]), CAST(:detail AS text[])) AS given
ON CONFLICT DO NOTHING
RETURNING state, reason
""")

_SETTLE = text("""
UPDATE region_tick.ledger SET accounted_until = :until WHERE source = :source AND accounted_until < :until
""")


@dataclass(frozen=True, slots=True)
class Period:
    """What is to be accounted for of a source: the schedules that were in force after a moment. `accounted_until` is
    what its ledger says, which may be longer ago than anybody is to ask for.
    """

    source: str
    accounted_until: datetime
    after: datetime
    versions: list[ScheduleVersion]


@dataclass(frozen=True, slots=True)
class Written:
    """A row that was written or ended now, in a few words."""

    state: str
    reason: str


async def read_periods(engine: AsyncEngine, *, scheduler: str, retention: timedelta) -> tuple[datetime, list[Period]]:
    """Return the database's time, and what is to be accounted for of each source of a RegionScheduler, by its uid; all
    in UTC.
    """
    periods: list[Period] = []
    async with transaction(engine) as connection:
        now = await database_now(connection)
        for source, moment in (await connection.execute(_UNSETTLED, {"scheduler": scheduler})).all():
            accounted = moment.astimezone(UTC)
            after = max(accounted, now - retention)
            rows = (await connection.execute(_INTERVALS, {"source": source, "after": after})).mappings()
            periods.append(Period(source, accounted, after, [version_of_row(row) for row in rows]))
    return now, periods


async def find_missing(
    engine: AsyncEngine, source: str, ticks: Sequence[ExpectedTick]
) -> list[tuple[ExpectedTick, bool]]:
    """Return the ticks that have no row, each with whether a tick of its region before ran when it was due."""
    found: list[tuple[ExpectedTick, bool]] = []
    for start in range(0, len(ticks), BATCH):
        batch = ticks[start : start + BATCH]
        times = [tick.tick_at for tick in batch]
        parameters = {
            "source": source,
            "region_id": [tick.region_id for tick in batch],
            "tick_at": times,
            "latest_start": [tick.latest_start for tick in batch],
            "first": min(times),
            "last": max(times),
        }
        async with transaction(engine) as connection:
            rows = (await connection.execute(_MISSING, parameters)).all()
        found += [(batch[row.place - 1], row.overlapped) for row in rows]
    return found


async def find_final(
    engine: AsyncEngine, ticks: Sequence[tuple[str, str, datetime]]
) -> list[tuple[str, str, datetime]]:
    """Return those of some ticks, each as source, region's id and time, that have their final row."""
    found: list[tuple[str, str, datetime]] = []
    for start in range(0, len(ticks), BATCH):
        batch = ticks[start : start + BATCH]
        sources, region_ids, times = zip(*batch, strict=True)
        parameters = {
            "source": list(sources),
            "region_id": list(region_ids),
            "tick_at": list(times),
            "first": min(times),
            "last": max(times),
        }
        async with transaction(engine) as connection:
            found += [batch[row.place - 1] for row in await connection.execute(_FINAL, parameters)]
    return found


async def write_final_rows(
    engine: AsyncEngine, source: str, verdicts: Sequence[tuple[ExpectedTick, Verdict]], *, until: datetime
) -> list[Written]:
    """Write the rows of ticks, and that all up to `until` have theirs; return those written, which leaves out the ticks
    that have a row by now.
    """
    written: list[Written] = []
    for start in range(0, len(verdicts), BATCH):
        batch = verdicts[start : start + BATCH]
        async with transaction(engine) as connection:
            written += written_rows(await connection.execute(_WRITE, {"source": source} | _rows(batch)))
    async with transaction(engine) as connection:
        await connection.execute(_SETTLE, {"source": source, "until": until})
    return written


def _rows(batch: Sequence[tuple[ExpectedTick, Verdict]]) -> dict[str, list[Any]]:
    return {
        "region_id": [tick.region_id for tick, _ in batch],
        "tick_at": [tick.tick_at for tick, _ in batch],
        "code": [tick.spec.code for tick, _ in batch],
        "cron": [tick.spec.cron for tick, _ in batch],
        "job": [tick.job for tick, _ in batch],
        "state": [verdict.state.value for _, verdict in batch],
        "reason": [verdict.reason.value for _, verdict in batch],
        "detail": [verdict.detail for _, verdict in batch],
    }


def written_rows(rows: Any) -> list[Written]:
    """Read what an INSERT or UPDATE of job_run returned."""
    return [Written(row.state, row.reason) for row in rows]
