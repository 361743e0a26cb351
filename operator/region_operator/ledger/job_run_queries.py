"""Queries of job_run and the ledger: how far a source is final, which ticks have no row, and writing final rows.

A row that a tick wrote is never changed here, and a row that a tick writes meanwhile wins. Closing the rows of attempts
with an expired lease is left to `open_run_queries`.
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

_UNFINISHED_SOURCES = text("""
SELECT source, accounted_until FROM region_tick.ledger
WHERE scheduler = :scheduler AND EXISTS (
    SELECT FROM region_tick.region_schedule AS schedule
    WHERE schedule.source = ledger.source
        AND (schedule.valid_to IS NULL OR schedule.valid_to > ledger.accounted_until))
ORDER BY source
""")
"""The sources that have a current schedule version, or an ended version with ticks that are not final."""

_VERSIONS = text(
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
"""`overlapped` says whether an earlier tick of the region ran when the tick was due.

`first` and `last` exclude partitions. The query avoids NOT EXISTS: on a day that was not analyzed yet, an anti join
took 30 s instead of a fraction of a second.
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

_INSERT_FINAL = text("""
INSERT INTO region_tick.job_run
    (source, region_id, tick_at, region_code, cron, job_name, state, reason, error_message, finished_at)
SELECT :source, given.*, clock_timestamp()
FROM unnest(
    CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]), CAST(:code AS text[]), CAST(:cron AS text[]),
    CAST(:job AS text[]), CAST(:state AS text[]), CAST(:reason AS text[]), CAST(:detail AS text[])) AS given
ON CONFLICT DO NOTHING
RETURNING state, reason
""")

_ADVANCE = text("""
UPDATE region_tick.ledger SET accounted_until = :until WHERE source = :source AND accounted_until < :until
""")


@dataclass(frozen=True, slots=True)
class Period:
    """The time of a source that is not final yet, and the schedule versions of that time.

    `finalized_until` is what the ledger says (column accounted_until). `after` is `finalized_until`, or the start of
    the retention if later: older ticks get no row.
    """

    source: str
    finalized_until: datetime
    after: datetime
    versions: list[ScheduleVersion]


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """State and reason of a row that was just inserted or closed."""

    state: str
    reason: str


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
            rows = (await connection.execute(_VERSIONS, {"source": source, "after": after})).mappings()
            periods.append(Period(source, finalized_until, after, [version_of_row(row) for row in rows]))
    return now, periods


async def find_missing(
    engine: AsyncEngine, source: str, ticks: Sequence[ExpectedTick]
) -> list[tuple[ExpectedTick, bool]]:
    """Return the ticks without a row, each with whether an earlier tick of the region ran when the tick was due."""
    missing: list[tuple[ExpectedTick, bool]] = []
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
        missing += [(batch[row.place - 1], row.overlapped) for row in rows]
    return missing


async def find_final(
    engine: AsyncEngine, ticks: Sequence[tuple[str, str, datetime]]
) -> list[tuple[str, str, datetime]]:
    """Return the ticks with a final row. A tick is given as source, region's id and time."""
    final: list[tuple[str, str, datetime]] = []
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
            final += [batch[row.place - 1] for row in await connection.execute(_FINAL, parameters)]
    return final


async def write_final_rows(
    engine: AsyncEngine, source: str, verdicts: Sequence[tuple[ExpectedTick, Verdict]], *, until: datetime
) -> list[WrittenRow]:
    """Write the final rows of ticks, then record that all ticks of the source up to `until` are final.

    Returns the rows that were written. A tick that has a row by now keeps that row. Raises sqlalchemy.exc.DBAPIError.
    """
    written: list[WrittenRow] = []
    for start in range(0, len(verdicts), BATCH):
        batch = verdicts[start : start + BATCH]
        async with transaction(engine) as connection:
            written += read_written_rows(await connection.execute(_INSERT_FINAL, {"source": source} | _rows(batch)))
    async with transaction(engine) as connection:
        await connection.execute(_ADVANCE, {"source": source, "until": until})
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


def read_written_rows(rows: Any) -> list[WrittenRow]:
    """Read the result of an INSERT or UPDATE of job_run that returns state and reason."""
    return [WrittenRow(row.state, row.reason) for row in rows]
