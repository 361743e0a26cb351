"""Finds and closes open runs: rows of job_run with an attempt that ended without recording an end.

How such an attempt ended is left to `causes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.ledger.batches import MOST
from region_operator.ledger.job_run_queries import read_written_rows
from region_operator.regions.slots import slot_in_sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.ledger.causes import Verdict
    from region_operator.ledger.job_run_queries import WrittenRow

PATIENCE_SECONDS = 60
"""How long after the lease's end an open row is left to a retry, which may take over the row."""

PATIENCE_WITH_OTHERS_SECONDS = 3600
"""The same for a run that began under another owner: its Job is out of sight, and may try again for so long. A Job
waits 10 minutes at most between two attempts (job_controller.go, MaxJobPodFailureBackOff).
"""

_OPEN = text(f"""
SELECT run.source, region_id, tick_at, manual_uid, attempt, reason, job_name, pod
FROM region_tick.job_run AS run JOIN region_tick.slot_owner AS owner
    ON owner.source = run.source AND owner.slot = {slot_in_sql("run.region_id")} AND installation = :installation
WHERE state IN ('running', 'interrupted')
    AND lease_until < clock_timestamp() - make_interval(secs => CASE
        WHEN epoch > 1 AND started_at <= since THEN CAST(:patience_with_others AS double precision)
        ELSE :patience END)
ORDER BY tick_at LIMIT :batch
""")  # noqa: S608 - constants

_CLOSE = text("""
UPDATE region_tick.job_run AS run SET
    state = 'failed', reason = given.reason, error_message = coalesce(run.error_message, given.detail),
    exit_code = coalesce(given.exit_code, run.exit_code),
    finished_at = coalesce(run.finished_at, clock_timestamp())
FROM unnest(
    CAST(:source AS text[]), CAST(:region_id AS text[]), CAST(:tick_at AS timestamptz[]), CAST(:manual_uid AS text[]),
    CAST(:attempt AS integer[]), CAST(:reason AS text[]), CAST(:detail AS text[]), CAST(:exit_code AS integer[]))
    AS given (source, region_id, tick_at, manual_uid, attempt, reason, detail, exit_code)
WHERE run.source = given.source AND run.region_id = given.region_id AND run.tick_at = given.tick_at
    AND run.manual_uid = given.manual_uid AND run.attempt = given.attempt
    AND run.state IN ('running', 'interrupted')
    AND run.lease_until < clock_timestamp() - make_interval(secs => :patience)
RETURNING run.state, run.reason
""")


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A row of job_run with an attempt that neither finished nor renewed its lease.

    `recorded_reason` is the reason that the attempt itself wrote, if any. `job` and `pod` are the names of its Job and
    its pod, empty if unknown.
    """

    source: str
    region_id: str
    tick_at: datetime
    manual_uid: str
    attempt: int
    recorded_reason: str | None
    job: str
    pod: str = ""


async def find_open_runs(engine: AsyncEngine, *, installation: str) -> list[OpenRun]:
    """Return the oldest rows with a lease over for PATIENCE_SECONDS, at most batches.MOST rows.

    The rows are of all slots that `installation` owns. Raises sqlalchemy.exc.DBAPIError.
    """
    parameters = {
        "installation": installation,
        "patience": PATIENCE_SECONDS,
        "patience_with_others": PATIENCE_WITH_OTHERS_SECONDS,
        "batch": MOST,
    }
    async with transaction(engine) as connection:
        rows = (await connection.execute(_OPEN, parameters)).all()
    return [
        OpenRun(
            *(row.source, row.region_id, row.tick_at, row.manual_uid, row.attempt, row.reason),
            *(row.job_name or "", row.pod or ""),
        )
        for row in rows
    ]


async def close_runs(engine: AsyncEngine, verdicts: Sequence[tuple[OpenRun, Verdict]]) -> list[WrittenRow]:
    """Close rows as failed; return the rows that were closed.

    A row is closed only if still open, with the same attempt and an expired lease. Raises sqlalchemy.exc.DBAPIError.
    """
    parameters: dict[str, Any] = {
        "patience": PATIENCE_SECONDS,
        "source": [row.source for row, _ in verdicts],
        "region_id": [row.region_id for row, _ in verdicts],
        "tick_at": [row.tick_at for row, _ in verdicts],
        "manual_uid": [row.manual_uid for row, _ in verdicts],
        "attempt": [row.attempt for row, _ in verdicts],
        "reason": [verdict.reason.value for _, verdict in verdicts],
        "detail": [verdict.detail for _, verdict in verdicts],
        "exit_code": [verdict.exit_code for _, verdict in verdicts],
    }
    async with transaction(engine) as connection:
        return read_written_rows(await connection.execute(_CLOSE, parameters))
