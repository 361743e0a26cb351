"""Who may do a tick, decided by one row of job_run and the database's clock.

A claim carries an attempt, which is the fencing token, and a lease. Whoever comes later finds the tick final (nothing
to do), leased (wait) or its lease over (take over, attempt + 1). What a stale attempt still writes is refused, because
every write names its attempt and needs a lease that holds. All SQL of the tick stands here. Nothing outlives its
transaction (no prepared statement, no session state), so PgBouncer in transaction mode may stand between.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.rows import tuple_row

from region_tick.contract import LATENESS_TOLERANCE_SECONDS, RUNS_CHANNEL, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.database_url import DatabaseUrl
    from region_tick.environment import Environment

SCHEDULED_WITHIN = timedelta(days=1)
"""How far from the database's clock the time in a Job's name may lie; farther off, no controller wrote that name."""
_ERROR_MESSAGE_LIMIT = 2000

BOUNDS = """
SELECT clock_timestamp(),
    pg_catalog.set_config('lock_timeout', '5s', true), pg_catalog.set_config('statement_timeout', '10s', true)
"""

MANUAL_LOCK = """
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(%(manual_uid)s::text, 0))
"""

MANUAL_TICK_AT = """
SELECT coalesce(
    (SELECT min(tick_at) FROM region_tick.job_run
     WHERE source = %(source)s::text AND region_id = %(region_id)s::text AND manual_uid = %(manual_uid)s::text
       AND tick_at > now() - interval '1 day'),
    date_trunc('minute', clock_timestamp()))
"""

CLAIM = """
WITH mine AS (
    INSERT INTO region_tick.job_run AS run (
        source, region_id, tick_at, manual_uid, region_code, cron, handler, job_name, pod, node,
        attempt, state, reason, lease_until, started_at, finished_at)
    SELECT
        %(source)s::text, %(region_id)s::text, %(tick_at)s::timestamptz, %(manual_uid)s::text,
        %(region_code)s::text, %(cron)s::text, %(handler)s::text, %(job_name)s::text, %(pod)s::text, %(node)s::text,
        CASE WHEN late THEN 0 ELSE 1 END,
        CASE WHEN late THEN 'skipped' ELSE 'running' END,
        CASE WHEN late THEN 'late' END,
        CASE WHEN NOT late THEN now + make_interval(secs => %(lease_seconds)s::float8) END,
        CASE WHEN NOT late THEN now END,
        CASE WHEN late THEN now END
    FROM (
        SELECT now, coalesce(now > %(tick_at)s::timestamptz + make_interval(secs => %(late_after)s::float8), false)
        FROM (SELECT clock_timestamp()) AS clock (now)
    ) AS judged (now, late)
    ON CONFLICT (source, region_id, tick_at, manual_uid) DO UPDATE SET
        attempt = run.attempt + 1, state = 'running', reason = NULL,
        lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8),
        region_code = excluded.region_code, cron = excluded.cron, handler = excluded.handler,
        job_name = excluded.job_name, pod = excluded.pod, node = excluded.node,
        started_at = clock_timestamp(), finished_at = NULL, error_class = NULL, error_message = NULL
    WHERE run.state IN ('running', 'interrupted') AND run.lease_until <= clock_timestamp()
    RETURNING run.state, run.reason, run.attempt, run.lease_until
)
SELECT true AS mine, state, reason, attempt, lease_until FROM mine
UNION ALL
SELECT false, state, reason, attempt, lease_until FROM region_tick.job_run
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
  AND NOT EXISTS (SELECT FROM mine)
"""

RENEW = """
UPDATE region_tick.job_run SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8)
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
  AND attempt = %(attempt)s::integer AND state = 'running' AND lease_until > clock_timestamp()
"""

FINISH = """
UPDATE region_tick.job_run SET
    state = %(state)s::text, reason = %(reason)s::text, counts = %(counts)s::jsonb,
    error_class = %(error_class)s::text, error_message = %(error_message)s::text,
    finished_at = clock_timestamp(), lease_until = clock_timestamp()
WHERE source = %(source)s::text AND region_id = %(region_id)s::text
  AND tick_at = %(tick_at)s::timestamptz AND manual_uid = %(manual_uid)s::text
  AND attempt = %(attempt)s::integer AND state = 'running' AND lease_until > clock_timestamp()
"""

NOTIFY = """
SELECT pg_catalog.pg_notify(%(channel)s::text, %(job_name)s::text)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What makes a run one: its row's primary key. `manual_uid` is the Job's uid for a manual run, else empty."""

    source: str
    region_id: str
    tick_at: datetime
    manual_uid: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The tick is ours to do."""

    key: Key
    attempt: int
    asked: float
    """When the claim was asked for, in seconds of time.monotonic(): the lease began no earlier."""


@dataclass(frozen=True, slots=True)
class Final:
    """The tick never runs again: it was done before, or this very claim came too late and recorded that."""

    key: Key
    state: State
    reason: str | None


@dataclass(frozen=True, slots=True)
class Leased:
    """Another attempt is at work, or was when it last renewed its lease."""

    key: Key
    attempt: int
    until: datetime


Verdict: TypeAlias = Claimed | Final | Leased


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended: what its row will say."""

    state: State
    reason: str
    counts: Mapping[str, int] = field(default_factory=dict)
    error: BaseException | None = None


def connect(database: DatabaseUrl) -> psycopg.Connection:
    """Connect in autocommit mode, without prepared statements; within the URL's connect_timeout.

    Raises psycopg.OperationalError.
    """
    return psycopg.connect(database.conninfo, autocommit=True, prepare_threshold=None)


def claim(connection: psycopg.Connection, environment: Environment, *, lease_seconds: float) -> Verdict:
    """Try to claim the tick. Lateness is judged here and nowhere else, and only where the tick has no row yet.

    Raises psycopg.Error.
    """
    asked = time.monotonic()
    with connection.transaction():
        now = _bounded(connection)
        key = _key(connection, environment, now)
        late_after = None if key.manual_uid else environment.start_deadline_seconds + LATENESS_TOLERANCE_SECONDS
        parameters = asdict(key) | {
            "region_code": environment.region.code,
            "cron": environment.cron,
            "handler": environment.handler,
            "job_name": environment.job_name,
            "pod": environment.pod,
            "node": environment.node,
            "late_after": late_after,
            "lease_seconds": lease_seconds,
        }
        row = connection.execute(CLAIM, parameters).fetchone()
        if row is None:  # its row was made between this statement's snapshot and its insert: the next look shows it
            return Leased(key, attempt=0, until=now)
        mine, state, reason, attempt, lease_until = row[0], State(row[1]), row[2], row[3], row[4]
        if mine and state.final:
            _notify(connection, environment.job_name)
    if state.final:
        return Final(key, state, reason)
    return Claimed(key, attempt, asked) if mine else Leased(key, attempt, lease_until)


def renew(connection: psycopg.Connection, claimed: Claimed, *, lease_seconds: float) -> bool:
    """Renew the lease for `lease_seconds` from now; False where it is lost. Raises psycopg.Error."""
    with connection.transaction():
        _bounded(connection)
        return connection.execute(RENEW, _fence(claimed) | {"lease_seconds": lease_seconds}).rowcount == 1


def finish(connection: psycopg.Connection, claimed: Claimed, ending: Ending, *, job_name: str) -> bool:
    """Write how the attempt ended, end its lease and tell who listens; False, nothing written, where the lease is lost.

    Raises psycopg.Error.
    """
    parameters = _fence(claimed) | {
        "state": ending.state,
        "reason": ending.reason,
        "counts": json.dumps(dict(ending.counts)) if ending.counts else None,
        "error_class": _class(ending.error) if ending.error else None,
        "error_message": _message(ending.error) if ending.error else None,
    }
    with connection.transaction():
        _bounded(connection)
        written = connection.execute(FINISH, parameters).rowcount == 1
        if written:
            _notify(connection, job_name)
    return written


def _bounded(connection: psycopg.Connection) -> datetime:
    """Bound the waits of the transaction just begun; return the database's time."""
    row = connection.cursor(row_factory=tuple_row).execute(BOUNDS).fetchone()  # a handler may have set another factory
    assert row is not None  # noqa: S101 - for the type checker: a SELECT without FROM has one row
    now: datetime = row[0]
    return now


def _key(connection: psycopg.Connection, environment: Environment, now: datetime) -> Key:
    source, region_id = environment.source, environment.region.id
    if environment.scheduled_at is not None and abs(environment.scheduled_at - now) <= SCHEDULED_WITHIN:
        return Key(source=source, region_id=region_id, tick_at=environment.scheduled_at, manual_uid="")
    manual = {"source": source, "region_id": region_id, "manual_uid": environment.job_uid}
    connection.execute(MANUAL_LOCK, manual)  # two pods of one Job must agree on the minute, also around its end
    row = connection.execute(MANUAL_TICK_AT, manual).fetchone()
    assert row is not None  # noqa: S101 - as above
    return Key(source=source, region_id=region_id, tick_at=row[0].astimezone(UTC), manual_uid=environment.job_uid)


def _fence(claimed: Claimed) -> dict[str, Any]:
    return asdict(claimed.key) | {"attempt": claimed.attempt}


def _notify(connection: psycopg.Connection, job_name: str) -> None:
    connection.execute(NOTIFY, {"channel": RUNS_CHANNEL, "job_name": job_name})


def _class(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _message(error: BaseException) -> str:
    """Return the error's text as Postgres takes it: without NUL and lone surrogates."""
    return str(error).replace("\0", "").encode(errors="backslashreplace").decode()[:_ERROR_MESSAGE_LIMIT]
