"""Who may do a tick, decided by one row of job_run and the database's clock.

A claim carries an attempt, which is the fencing token, and a lease. Whoever comes later finds the tick final (nothing
to do), leased (wait) or its lease over (take over, attempt + 1). What a stale attempt still writes is refused, because
every write names its attempt and needs a lease that holds. The handler may have changed the connection it was given, so
nothing is believed of it here but that it can execute.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from region_tick.contract import LATENESS_TOLERANCE_SECONDS, State
from region_tick.handlers import Window
from region_tick.session import bound, cursor, notify
from region_tick.statements import (
    CLAIM,
    MANUAL_LOCK,
    MANUAL_TICK_AT,
    ROW_OF_JOB,
)

if TYPE_CHECKING:
    import psycopg

    from region_tick.environment import Environment

SCHEDULED_WITHIN = timedelta(days=1)
"""How far from the database's clock the time in a Job's name may lie; farther off, no controller wrote that name, but
within a longer start deadline, or for a tick that has a row of that very Job.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """What makes a run one: its row's primary key. `manual_uid` is the Job's uid for a manual run, else empty."""

    source: str
    region_id: str
    tick_at: datetime
    manual_uid: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The tick is ours to do."""

    key: RunKey
    attempt: int
    asked: float
    """When the claim was asked for, in seconds of time.monotonic(): the lease began no earlier."""
    window: Window


@dataclass(frozen=True, slots=True)
class Final:
    """The tick never runs again: it was done before, or this very claim came too late and recorded that."""

    key: RunKey
    state: State
    reason: str | None


@dataclass(frozen=True, slots=True)
class Leased:
    """Another attempt is at work, or was when it last renewed its lease."""

    key: RunKey
    attempt: int
    until: datetime


ClaimResult: TypeAlias = Claimed | Final | Leased


def claim(connection: psycopg.Connection, environment: Environment, *, lease_seconds: float) -> ClaimResult:
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
        row = cursor(connection).execute(CLAIM, parameters).fetchone()
        if row is None:  # its row was made between this statement's snapshot and its insert: the next look shows it
            return Leased(key, attempt=0, until=now)
        mine, state, reason, attempt, lease_until, since = row[0], State(row[1]), *row[2:]
        if mine and state.final:
            notify(connection, environment.job_name)
    if state.final:
        return Final(key, state, reason)
    if not mine:
        return Leased(key, attempt, lease_until.astimezone(UTC))
    return Claimed(key, attempt, asked, Window(start=since and since.astimezone(UTC), end=key.tick_at))


def _key(connection: psycopg.Connection, environment: Environment, now: datetime) -> RunKey:
    source, region_id = environment.source, environment.region.id
    if environment.scheduled_at is not None:
        scheduled = RunKey(source=source, region_id=region_id, tick_at=environment.scheduled_at, manual_uid="")
        start_deadline = timedelta(seconds=environment.start_deadline_seconds)
        near = -SCHEDULED_WITHIN <= now - scheduled.tick_at <= max(SCHEDULED_WITHIN, start_deadline)
        if near or _has_row(connection, scheduled, environment.job_name):
            return scheduled
    manual = {"source": source, "region_id": region_id, "manual_uid": environment.job_uid}
    cursor(connection).execute(MANUAL_LOCK, manual)  # two pods of one Job must agree on the minute, also around its end
    row = cursor(connection).execute(MANUAL_TICK_AT, manual).fetchone()
    assert row is not None  # noqa: S101 - as above
    return RunKey(source=source, region_id=region_id, tick_at=row[0].astimezone(UTC), manual_uid=environment.job_uid)


def _has_row(connection: psycopg.Connection, key: RunKey, job_name: str) -> bool:
    return cursor(connection).execute(ROW_OF_JOB, asdict(key) | {"job_name": job_name}).rowcount == 1
