"""Queries of job_run: which ticks have no row, which had an earlier tick in the way, and writing final rows.

A row that a tick wrote is never changed here, and a row that a tick writes meanwhile wins. Closing the rows of attempts
with an expired lease is left to `open_run_queries`, the ticks of suspended regions to `suspension_queries`, and how far
the ledger has come to `period_queries`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.ledger.batches import STATEMENT_SECONDS
from region_operator.ledger.causes import LongRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.ledger.batches import Batches
    from region_operator.ledger.causes import Verdict
    from region_operator.ledger.expected_ticks import ExpectedTick

_MISSING = text("""
SELECT wanted.place
FROM unnest(CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]))
    WITH ORDINALITY AS wanted (region_id, tick_at, place)
WHERE (
    SELECT true FROM region_tick.job_run AS run
    WHERE run.source = :source AND run.region_id = wanted.region_id AND run.tick_at = wanted.tick_at
        AND run.manual_uid = '' AND run.tick_at >= :first AND run.tick_at <= :last) IS NULL
ORDER BY wanted.place
""")
"""`first` and `last` exclude partitions. The query avoids NOT EXISTS: on a day that was not analyzed yet, an anti join
took 30 s instead of a fraction of a second.
"""

LONG_RUNS = """
SELECT region_id, tick_at, created_at, finished_at AS ended FROM region_tick.job_run
WHERE source = :source AND manual_uid = '' AND rerun_uid IS NULL AND region_id = ANY(CAST(:region_id AS text[]))
    AND started_at IS NOT NULL AND finished_at - tick_at > interval '1 minute' AND finished_at > :first
    AND tick_at >= CAST(:first AS timestamptz) - interval '1 day' AND tick_at < :last
UNION ALL
SELECT region_id, tick_at, created_at, coalesce(finished_at, lease_until) FROM region_tick.job_run
WHERE source = :source AND manual_uid = '' AND rerun_uid IS NULL AND region_id = ANY(CAST(:region_id AS text[]))
    AND started_at IS NOT NULL AND state IN ('running', 'interrupted')
    AND coalesce(finished_at, lease_until) > :first
    AND tick_at >= CAST(:first AS timestamptz) - interval '1 day' AND tick_at < :last
"""
"""Reads the runs that ended after `first` once, for all ticks that are due from `first` to `last`: by the index
job_run_ended, and by job_run_open for the runs that have not ended. Two ticks of a region are at least a minute apart.
So a run that was in the way of a later tick ended more than a minute after its own tick, and job_run_ended holds such
runs only. Left out are reruns, which the controller does not count.
No join: on a day that was not analyzed yet, the planner compared every tick with every run.
"""

_FINAL = text("""
SELECT wanted.place
FROM unnest(CAST(:source AS text[]), CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]))
    WITH ORDINALITY AS wanted (source, region_id, tick_at, place)
WHERE coalesce((
    SELECT run.state FROM region_tick.job_run AS run
    WHERE run.source = wanted.source AND run.region_id = wanted.region_id AND run.tick_at = wanted.tick_at
        AND run.manual_uid = '' AND run.tick_at >= :first AND run.tick_at <= :last), (
    SELECT 'skipped' FROM region_tick.suspension AS row
    WHERE row.source = wanted.source AND row.region_id = wanted.region_id
        AND row.suspended_from < wanted.tick_at AND row.counted_until >= wanted.tick_at LIMIT 1))
    NOT IN ('running', 'interrupted')
ORDER BY wanted.place
""")

_INSERT_FINAL = text("""
INSERT INTO region_tick.job_run
    (source, region_id, tick_at, region_code, cron, job_name, state, reason, error_message, exit_code, finished_at)
SELECT :source, given.*, clock_timestamp()
FROM unnest(
    CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]), CAST(:code AS text[]), CAST(:cron AS text[]),
    CAST(:job AS text[]), CAST(:state AS text[]), CAST(:reason AS text[]), CAST(:detail AS text[]),
    CAST(:exit_code AS integer[])) AS given
ON CONFLICT DO NOTHING
RETURNING state, reason
""")


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """State and reason of a row that was just inserted or closed."""

    state: str
    reason: str


async def find_missing(
    engine: AsyncEngine, source: str, ticks: Sequence[ExpectedTick], batches: Batches
) -> list[ExpectedTick]:
    """Return the ticks without a row. Raises sqlalchemy.exc.DBAPIError."""

    async def ask(batch: Sequence[ExpectedTick]) -> list[ExpectedTick]:
        parameters = {"source": source} | _keys(batch)
        async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
            return [batch[place - 1] for place in (await connection.execute(_MISSING, parameters)).scalars()]

    return await batches.run(ticks, ask)


async def find_long_runs(
    engine: AsyncEngine, source: str, ticks: Sequence[ExpectedTick], batches: Batches
) -> list[LongRun]:
    """Return the runs that may have been in the way of a tick of `ticks`: earlier runs that took more than a minute.

    Raises sqlalchemy.exc.DBAPIError.
    """

    async def ask(batch: Sequence[ExpectedTick]) -> list[LongRun]:
        async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
            rows = await connection.execute(text(LONG_RUNS), {"source": source} | _keys(batch))
            return [LongRun(*row) for row in rows]

    return await batches.run(ticks, ask)


async def find_final(
    engine: AsyncEngine, ticks: Sequence[tuple[str, str, datetime]], batches: Batches
) -> list[tuple[str, str, datetime]]:
    """Return the ticks that are final: by their row, or by being counted in a suspension.

    A tick is given as source, region's id and time. Raises sqlalchemy.exc.DBAPIError.
    """

    async def ask(batch: Sequence[tuple[str, str, datetime]]) -> list[tuple[str, str, datetime]]:
        sources, region_ids, times = zip(*batch, strict=True)
        parameters = {
            "source": list(sources),
            "region_id": list(region_ids),
            "tick_at": list(times),
            "first": min(times),
            "last": max(times),
        }
        async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
            return [batch[place - 1] for place in (await connection.execute(_FINAL, parameters)).scalars()]

    return await batches.run(ticks, ask)


async def write_final_rows(
    engine: AsyncEngine, source: str, verdicts: Sequence[tuple[ExpectedTick, Verdict]], batches: Batches
) -> list[WrittenRow]:
    """Write the final rows of ticks; return the rows that were written. A tick that has a row by now keeps that row.

    Raises sqlalchemy.exc.DBAPIError.
    """

    async def write(batch: Sequence[tuple[ExpectedTick, Verdict]]) -> list[WrittenRow]:
        async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
            return read_written_rows(await connection.execute(_INSERT_FINAL, {"source": source} | _rows(batch)))

    return await batches.run(verdicts, write)


def _keys(batch: Sequence[ExpectedTick]) -> dict[str, Any]:
    times = [tick.tick_at for tick in batch]
    return {
        "region_id": [tick.region_id for tick in batch],
        "tick_at": times,
        "first": min(times),
        "last": max(times),
    }


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
        "exit_code": [verdict.exit_code for _, verdict in batch],
    }


def read_written_rows(rows: Any) -> list[WrittenRow]:
    """Read the result of an INSERT or UPDATE of job_run that returns state and reason."""
    return [WrittenRow(row.state, row.reason) for row in rows]
