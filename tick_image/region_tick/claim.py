"""Decides which attempt may do a tick, by one row of job_run and the database's clock.

A claim has an attempt number, which is the fencing token, and a lease. A later attempt finds the tick in one of three
states: final (nothing is to be done), leased (the later attempt waits), or with an expired lease (the later attempt
takes over as attempt + 1). The first attempt is refused if the region belongs to another installation. The database
refuses the writes of a stale attempt: every write names its attempt and needs a valid lease (see fence). A connection
is trusted only to execute statements, because the handler may have changed the connection's settings. How somebody has
a final tick run again is left to `rerun`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from region_tick.contract import LATENESS_TOLERANCE_SECONDS, Reason, State
from region_tick.handlers import Window
from region_tick.session import bound, cursor, storable
from region_tick.statements import CLAIM, FIRST_CLAIM, MANUAL_LOCK, MANUAL_TICK_AT, ROW_OF_JOB

if TYPE_CHECKING:
    import psycopg

    from region_tick.database_wait import Wait
    from region_tick.environment import Environment

SCHEDULED_WITHIN = timedelta(days=1)
"""How far the time in a Job's name may be from the database's clock.

A name with a time farther away was not written by the CronJob controller, and the Job counts as a manual run. There are
two exceptions: a time within a longer start deadline, and a tick that already has a row of the same Job.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """What identifies a run: the primary key of its row. `manual_uid` is the Job's uid for a manual run, or empty."""

    source: str
    region_id: str
    tick_at: datetime
    manual_uid: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """This attempt holds the tick and is to do the tick's work."""

    key: RunKey
    attempt: int
    pod: str
    """The pod of this attempt. After the database lost a claim, another pod's attempt may have the same number."""
    asked: float
    """When this process asked for the claim, in seconds of time.monotonic(): the lease began at that time or later."""
    window: Window
    rerun: bool = False
    """Whether somebody has this tick run again: its success moves no cursor."""


@dataclass(frozen=True, slots=True)
class Final:
    """The tick never runs again: an earlier attempt finished the tick, or this claim was late and recorded the fact."""

    key: RunKey
    state: State
    reason: str | None
    detail: str | None = field(default=None, compare=False)
    """Why this claim was late, if it was."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Another attempt holds a lease that has not expired. That attempt is at work, or died after its last renewal."""

    key: RunKey
    attempt: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """Another installation has owned the region since before the tick was due, and its own CronJob does the tick."""

    key: RunKey
    owner: str
    since: datetime


@dataclass(frozen=True, slots=True)
class NotDue:
    """The ledger knows no such tick, so there is nothing to run again. `why` says so to people."""

    key: RunKey
    why: str


ClaimResult: TypeAlias = Claimed | Final | Leased | Refused | NotDue


def claim(
    connection: psycopg.Connection, environment: Environment, *, lease_seconds: float, wait: Wait | None = None
) -> ClaimResult:
    """Try to claim the tick for `lease_seconds`, counted on the database's clock.

    Lateness and the region's owner are judged in this function only, and only for a tick that has no row yet: the retry
    of a tick that has one is never late and never refused. `wait` is what this process has waited for; the row of a
    late tick tells of it.
    Raises psycopg.Error.
    """
    asked = time.monotonic()
    with connection.transaction():
        now, _ = bound(connection)
        key = _identify_run(connection, environment, now)
        late_after = None if key.manual_uid else environment.start_deadline_seconds + LATENESS_TOLERANCE_SECONDS
        late_state, late_reason, detail = _explain_lateness(now, key, environment, wait)
        parameters = asdict(key) | {
            "region_code": environment.region.code,
            "cron": environment.cron,
            "handler": environment.handler,
            "installation": environment.installation,
            "job_name": environment.job_name,
            "pod": environment.pod,
            "node": environment.node,
            "late_after": late_after,
            "late_state": late_state,
            "late_reason": late_reason,
            "lease_seconds": lease_seconds,
            "max_window": environment.max_window_seconds,
            "waited_for": storable(detail, connection),
        }
        rows = cursor(connection)
        row = rows.execute(FIRST_CLAIM, parameters).fetchone() or rows.execute(CLAIM, parameters).fetchone()
        if row is None:  # another attempt inserted the row after this statement's snapshot: the next claim sees the row
            return Leased(key, attempt=0, until=now)
        if row[1] is None:
            return Refused(key, owner=row[2], since=row[4].astimezone(UTC))
        mine, state, reason, attempt, lease_until, window_start, window_end = row[0], State(row[1]), *row[2:]
    if state.final:
        return Final(key, state, reason, detail if mine else None)
    if not mine:
        return Leased(key, attempt, lease_until.astimezone(UTC))
    window = Window(start=window_start and window_start.astimezone(UTC), end=window_end.astimezone(UTC))
    return Claimed(key, attempt, environment.pod, asked, window)


def _identify_run(connection: psycopg.Connection, environment: Environment, now: datetime) -> RunKey:
    """Return the key of the Job's run: a scheduled tick if the time in the Job's name is credible, or a manual run."""
    source, region_id = environment.source, environment.region.id
    if environment.scheduled_at is not None:
        scheduled = RunKey(source=source, region_id=region_id, tick_at=environment.scheduled_at, manual_uid="")
        start_deadline = timedelta(seconds=environment.start_deadline_seconds)
        is_credible = -SCHEDULED_WITHIN <= now - scheduled.tick_at <= max(SCHEDULED_WITHIN, start_deadline)
        if is_credible or _has_row(connection, scheduled, environment.job_name):
            return scheduled
    manual = {"source": source, "region_id": region_id, "manual_uid": environment.job_uid}
    cursor(connection).execute(MANUAL_LOCK, manual)  # two pods of one Job must agree on the minute, also when it ends
    row = cursor(connection).execute(MANUAL_TICK_AT, manual).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: a SELECT without FROM has one row
    return RunKey(source=source, region_id=region_id, tick_at=row[0].astimezone(UTC), manual_uid=environment.job_uid)


def _explain_lateness(
    now: datetime, key: RunKey, environment: Environment, wait: Wait | None
) -> tuple[State, Reason, str]:
    """Return what the tick's row says if the claim is late: state, reason and message."""
    age, deadline = (now - key.tick_at).total_seconds(), environment.start_deadline_seconds
    text = f"the claim came {age:.0f} s after the minute, and startDeadline allows {deadline}"
    if wait is None:
        return State.SKIPPED, Reason.LATE, text
    text += f"; {wait.describe(age)}"
    allowed = deadline + LATENESS_TOLERANCE_SECONDS
    if wait.made_late(age, allowed_seconds=allowed):
        return State.MISSED, Reason.DATABASE, text
    return State.SKIPPED, Reason.LATE, text


def _has_row(connection: psycopg.Connection, key: RunKey, job_name: str) -> bool:
    return cursor(connection).execute(ROW_OF_JOB, asdict(key) | {"job_name": job_name}).rowcount == 1
