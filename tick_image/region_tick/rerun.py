"""Claims a tick that is to be run again: a final tick that did not succeed, long after its time.

A person makes the Job of a rerun, from the CronJob's template. The Job's variable TICK_RERUN_OF says which tick, and
the Job's uid tells the rerun from others. The tick keeps its one row: the claim opens the row again as the next
attempt, so the fence holds as for any attempt. A row that succeeded stays as it is. A row that this very rerun has
ended stays too: the next pod of the Job finds the tick final. While another attempt holds the lease, the rerun waits.

A suspended tick has no row, but its suspension tells that it was skipped: it gets a row then. A tick of which the
ledger knows nothing is refused: perhaps it was never due, perhaps the ledger has not come so far.

The window is that of the one tick: from the tick before up to the tick. The region's cursor has gone on meanwhile, and
stays where it is.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING

from region_tick.claim import Claimed, Final, Leased, NotDue, RunKey
from region_tick.contract import State
from region_tick.cron import read_cron
from region_tick.handlers import Window
from region_tick.session import bound, cursor, storable

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from region_tick.claim import ClaimResult
    from region_tick.environment import Environment

KNOWN_TICK = """
SELECT run.cron, gap.cron, earlier.tick_at,
    %(tick_at)s::timestamptz > clock_timestamp() - interval '1 day' OR pg_catalog.to_regclass(
        'region_tick.job_run_' || to_char(%(tick_at)s::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
FROM (SELECT true) AS one
LEFT JOIN (
    SELECT cron FROM region_tick.job_run
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND tick_at = %(tick_at)s::timestamptz AND manual_uid = '') AS run ON true
LEFT JOIN (
    SELECT cron FROM region_tick.suspension
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND suspended_from < %(tick_at)s::timestamptz AND counted_until >= %(tick_at)s::timestamptz
    LIMIT 1) AS gap ON true
LEFT JOIN (
    SELECT max(tick_at) AS tick_at FROM region_tick.job_run
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND tick_at < %(tick_at)s::timestamptz AND manual_uid = '') AS earlier ON true
"""
"""The schedule of the tick's row, that of the suspension which counts the tick, the latest earlier tick with a row, and
whether the ledger still keeps the day: it keeps a day at least, and drops a day with the day's partition.
"""

CLAIM_AGAIN = """
WITH known AS (
    SELECT state, reason, attempt, lease_until, rerun_uid FROM region_tick.job_run
    WHERE source = %(source)s::text AND region_id = %(region_id)s::text
      AND tick_at = %(tick_at)s::timestamptz AND manual_uid = ''
), mine AS (
    UPDATE region_tick.job_run AS run SET
        attempt = run.attempt + 1, state = 'running', reason = NULL, counted = false,
        lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8),
        handler = %(handler)s::text, job_name = %(job_name)s::text, pod = %(pod)s::text, node = %(node)s::text,
        started_at = clock_timestamp(), finished_at = NULL, counts = NULL,
        exit_code = NULL, error_class = NULL, error_message = NULL,
        window_start = %(window_start)s::timestamptz, window_end = run.tick_at,
        rerun_uid = %(rerun_uid)s::text, rerun_by = %(rerun_by)s::text
    WHERE run.source = %(source)s::text AND run.region_id = %(region_id)s::text
      AND run.tick_at = %(tick_at)s::timestamptz AND run.manual_uid = '' AND (
        run.state IN ('running', 'interrupted') AND run.lease_until <= clock_timestamp()
        OR run.state IN ('failed', 'skipped', 'missed') AND run.rerun_uid IS DISTINCT FROM %(rerun_uid)s::text)
    RETURNING run.state, run.reason, run.attempt, run.lease_until, run.rerun_uid
)
SELECT true AS mine, state, reason, attempt, lease_until, rerun_uid FROM mine
UNION ALL
SELECT false, state, reason, attempt, lease_until, rerun_uid FROM known WHERE NOT EXISTS (SELECT FROM mine)
"""
"""`counted = false` has the next ending counted too (docs/decisions/0044). `known` is the row before the claim, which
may have changed while the claim waited for a lock.
"""

CLAIM_SUSPENDED = """
INSERT INTO region_tick.job_run (
    source, region_id, tick_at, manual_uid, region_code, cron, handler, job_name, pod, node,
    attempt, state, lease_until, started_at, window_start, window_end, rerun_uid, rerun_by)
SELECT %(source)s::text, %(region_id)s::text, %(tick_at)s::timestamptz, '', %(region_code)s::text, %(cron)s::text,
    %(handler)s::text, %(job_name)s::text, %(pod)s::text, %(node)s::text, 1, 'running',
    now + make_interval(secs => %(lease_seconds)s::float8), now,
    %(window_start)s::timestamptz, %(tick_at)s::timestamptz, %(rerun_uid)s::text, %(rerun_by)s::text
FROM (SELECT clock_timestamp()) AS clock (now)
ON CONFLICT DO NOTHING
RETURNING true AS mine, state, reason, attempt, lease_until, rerun_uid
"""


def claim_again(connection: psycopg.Connection, environment: Environment, *, lease_seconds: float) -> ClaimResult:
    """Try to claim the tick `environment.rerun_of` for `lease_seconds`, as a rerun. A rerun is never late.

    Raises psycopg.Error.
    """
    assert environment.rerun_of is not None  # noqa: S101 - for the type checker: the caller has looked
    key = RunKey(
        source=environment.source, region_id=environment.region.id, tick_at=environment.rerun_of, manual_uid=""
    )
    asked = time.monotonic()
    with connection.transaction():
        now, _ = bound(connection)
        rows = cursor(connection)
        known = rows.execute(KNOWN_TICK, asdict(key)).fetchone()
        assert known is not None  # noqa: S101 - for the type checker: the SELECT has one row
        of_row, of_suspension, earlier, kept = known
        if of_row is None and (why := _why_not_due(key, of_suspension, kept=kept)):
            return NotDue(key, why)
        cron = of_suspension if of_row is None else of_row
        window = Window(start=tick_before(key.tick_at, cron, earlier), end=key.tick_at)
        parameters = asdict(key) | {
            "region_code": environment.region.code,
            "cron": cron,
            "handler": environment.handler,
            "job_name": environment.job_name,
            "pod": environment.pod,
            "node": environment.node,
            "lease_seconds": lease_seconds,
            "window_start": window.start,
            "rerun_uid": environment.job_uid,
            "rerun_by": storable(environment.rerun_by, connection) or None,
        }
        row = rows.execute(CLAIM_SUSPENDED if of_row is None else CLAIM_AGAIN, parameters).fetchone()
    if row is None:  # the row came or went meanwhile: the next claim sees how things are
        return Leased(key, attempt=0, until=now)
    mine, state, reason, attempt, lease_until, rerun_uid = row[0], State(row[1]), *row[2:]
    if mine:
        return Claimed(key, attempt, environment.pod, asked, window, rerun=True)
    if state is State.SUCCEEDED or (state.final and rerun_uid == environment.job_uid):
        return Final(key, state, reason)
    return Leased(key, attempt, now if state.final else lease_until.astimezone(UTC))


def _why_not_due(key: RunKey, cron: str | None, *, kept: bool) -> str:
    """Return why a tick without a row is none to run again; "" for a tick that a suspension counts."""
    if cron is None:
        return f"the ledger has no tick at {key.tick_at.isoformat()}: it was never due, or it is not on record yet"
    if not _is_due(cron, key.tick_at):
        return f"the schedule {cron} has no tick at {key.tick_at.isoformat()}"
    return "" if kept else f"the ledger has forgotten the day of {key.tick_at.isoformat()}: it is older than its limit"


def _is_due(cron: str, tick_at: datetime) -> bool:
    try:
        return read_cron(cron).is_due(tick_at)
    except ValueError:
        return False


def tick_before(tick_at: datetime, cron: str, earlier: datetime | None) -> datetime | None:
    """Return the tick before `tick_at`: by the schedule, or the `earlier` tick with a row if that is later.

    The schedule may have changed between the two, and suspended ticks have no rows. None if nothing is known.
    """
    try:
        by_schedule = read_cron(cron).before(tick_at)
    except ValueError:  # somebody else wrote the schedule into the CronJob
        by_schedule = None
    known = [moment for moment in (by_schedule, earlier and earlier.astimezone(UTC)) if moment]
    return max(known, default=None)
