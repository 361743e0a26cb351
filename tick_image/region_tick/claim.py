"""Who may do a tick, decided by one row of job_run and the database's clock.

A claim carries an attempt, which is the fencing token, and a lease. Whoever comes later finds the tick final (nothing
to do), leased (wait) or its lease over (take over, attempt + 1). What a stale attempt still writes is refused, because
every write names its attempt and needs a lease that holds. The handler may have changed the connection it was given, so
nothing is believed of it here but that it can execute.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.rows import TupleRow, tuple_row

from region_tick.contract import LATENESS_TOLERANCE_SECONDS, RUNS_CHANNEL, State
from region_tick.handlers import Window
from region_tick.statements import (
    BOUNDS,
    CLAIM,
    FINISH,
    FINISHED,
    GUARD,
    MANUAL_LOCK,
    MANUAL_TICK_AT,
    NOTIFY,
    RENEW,
    ROW_OF_JOB,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.database_url import DatabaseUrl
    from region_tick.environment import Environment

SCHEDULED_WITHIN = timedelta(days=1)
"""How far from the database's clock the time in a Job's name may lie; farther off, no controller wrote that name, but
within a longer start deadline, or for a tick that has a row of that very Job.
"""
IDLE_SECONDS = 60.0
"""How long nothing may be asked in a transaction before the server ends its session, and with it the locks of a process
that is frozen or whose node is lost: TCP keepalive takes two hours to notice. A handler that is at work may take as
long; Kubernetes takes longer to give up the pod of a lost node (40 to 50 s until it is unreachable, and 30 s more).
"""
_ERROR_MESSAGE_LIMIT = 2000


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
    window: Window


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


def connect(database: DatabaseUrl, *, within: float | None = None) -> psycopg.Connection:
    """Connect in autocommit mode, without prepared statements; within so many seconds (2 at least, which is libpq's
    rule), or the URL's connect_timeout.

    Transactions are READ COMMITTED, whatever the server's default: with a snapshot of their own, a renewal of the lease
    in mid-transaction would be a serialization failure. Raises psycopg.OperationalError.
    """
    connection = psycopg.connect(
        database.conninfo,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=None if within is None else max(2, int(within)),
    )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    return connection


def claim(connection: psycopg.Connection, environment: Environment, *, lease_seconds: float) -> Verdict:
    """Try to claim the tick. Lateness is judged here and nowhere else, and only where the tick has no row yet.

    Raises psycopg.Error.
    """
    asked = time.monotonic()
    with connection.transaction():
        now = bound(connection)
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
        row = _cursor(connection).execute(CLAIM, parameters).fetchone()
        if row is None:  # its row was made between this statement's snapshot and its insert: the next look shows it
            return Leased(key, attempt=0, until=now)
        mine, state, reason, attempt, lease_until, since = row[0], State(row[1]), *row[2:]
        if mine and state.final:
            _notify(connection, environment.job_name)
    if state.final:
        return Final(key, state, reason)
    if not mine:
        return Leased(key, attempt, lease_until.astimezone(UTC))
    return Claimed(key, attempt, asked, Window(start=since and since.astimezone(UTC), end=key.tick_at))


def renew(connection: psycopg.Connection, claimed: Claimed, *, lease_seconds: float) -> bool:
    """Renew the lease for `lease_seconds` from now; False where it is lost. Raises psycopg.Error."""
    with connection.transaction():
        bound(connection)
        return _cursor(connection).execute(RENEW, _fence(claimed) | {"lease_seconds": lease_seconds}).rowcount == 1


def finish(connection: psycopg.Connection, claimed: Claimed, ending: Ending, *, job_name: str) -> bool:
    """Write how the attempt ended, end its lease and tell who listens; False, nothing written, where the lease is lost.

    A success carries the region's cursor on to the end of its window, never back: ticks of one region can overlap, and
    an older one may end last. Nor over a gap, where somebody set the cursor back meanwhile. Raises psycopg.Error.
    """
    with connection.transaction():
        bound(connection)
        return finish_within(connection, claimed, ending, job_name=job_name)


def finish_within(connection: psycopg.Connection, claimed: Claimed, ending: Ending, *, job_name: str) -> bool:
    """Do as `finish` does in the caller's transaction. From here to its end nobody can take the tick over.

    Raises psycopg.Error.
    """
    parameters = _fence(claimed) | {
        "state": ending.state,
        "reason": storable(ending.reason),
        "counts": _counts(ending.counts) if ending.counts else None,
        "error_class": _class(ending.error) if ending.error else None,
        "error_message": _message(ending.error) if ending.error else None,
    }
    written = _cursor(connection).execute(FINISH, parameters).rowcount == 1
    if written:
        _notify(connection, job_name)
    return written


def is_finished(connection: psycopg.Connection, claimed: Claimed, ending: Ending) -> bool:
    """Tell whether the attempt's row says this very ending. Raises psycopg.Error."""
    parameters = _fence(claimed) | {"state": ending.state, "reason": storable(ending.reason)}
    with connection.transaction():
        bound(connection)
        return _cursor(connection).execute(FINISHED, parameters).rowcount == 1


def guard_within(connection: psycopg.Connection, claimed: Claimed) -> bool:
    """Tell whether the lease holds; if so, nobody can take the tick over before the end of the caller's transaction.

    Raises psycopg.Error.
    """
    return _cursor(connection).execute(GUARD, _fence(claimed)).rowcount == 1


def bound(connection: psycopg.Connection, *, idle_seconds: float = IDLE_SECONDS) -> datetime:
    """Bound the waits of the transaction just begun; return the database's time, in UTC. Raises psycopg.Error."""
    row = _cursor(connection).execute(BOUNDS, {"idle": f"{idle_seconds}s"}).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: a SELECT without FROM has one row
    now: datetime = row[0]
    return now.astimezone(UTC)


def storable(text: str) -> str:
    """Return a text as Postgres takes it: without NUL and lone surrogates."""
    return text.replace("\0", "").encode(errors="backslashreplace").decode()


def _cursor(connection: psycopg.Connection) -> psycopg.Cursor[TupleRow]:
    return psycopg.Cursor(connection, row_factory=tuple_row)


def _key(connection: psycopg.Connection, environment: Environment, now: datetime) -> Key:
    source, region_id = environment.source, environment.region.id
    if environment.scheduled_at is not None:
        scheduled = Key(source=source, region_id=region_id, tick_at=environment.scheduled_at, manual_uid="")
        start_deadline = timedelta(seconds=environment.start_deadline_seconds)
        near = -SCHEDULED_WITHIN <= now - scheduled.tick_at <= max(SCHEDULED_WITHIN, start_deadline)
        if near or _has_row(connection, scheduled, environment.job_name):
            return scheduled
    manual = {"source": source, "region_id": region_id, "manual_uid": environment.job_uid}
    _cursor(connection).execute(
        MANUAL_LOCK, manual
    )  # two pods of one Job must agree on the minute, also around its end
    row = _cursor(connection).execute(MANUAL_TICK_AT, manual).fetchone()
    assert row is not None  # noqa: S101 - as above
    return Key(source=source, region_id=region_id, tick_at=row[0].astimezone(UTC), manual_uid=environment.job_uid)


def _has_row(connection: psycopg.Connection, key: Key, job_name: str) -> bool:
    return _cursor(connection).execute(ROW_OF_JOB, asdict(key) | {"job_name": job_name}).rowcount == 1


def _fence(claimed: Claimed) -> dict[str, Any]:
    return asdict(claimed.key) | {"attempt": claimed.attempt}


def _notify(connection: psycopg.Connection, job_name: str) -> None:
    _cursor(connection).execute(NOTIFY, {"channel": RUNS_CHANNEL, "job_name": job_name})


def _class(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _counts(counts: Mapping[str, int]) -> str:
    return json.dumps({storable(name): count for name, count in counts.items()})


def _message(error: BaseException) -> str:
    return storable(str(error))[:_ERROR_MESSAGE_LIMIT]
