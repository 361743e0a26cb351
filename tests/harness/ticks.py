"""Makes a tick's environment and claim for tests, and looks at the tick's row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from region_tick.claim import Claimed, claim
from region_tick.contract import Reason, State, Variable, job_name
from region_tick.environment import Environment
from region_tick.fence import Ending
from tests.harness.waiting import eventually

CRONJOB = "ch-zrh-0123456789ab"
SOURCE = "public.region_index"
LEASE = 30.0
SUCCESS = Ending(state=State.SUCCEEDED, reason=Reason.OK)

TICK_AT = datetime.now(UTC).replace(second=0, microsecond=0)
"""The minute (UTC) in which the tests began, maybe hours ago. The default start deadline is longer, so the tick is
never late.
"""


def variables(database: str, *, tick_at: datetime | None = None, **changes: str) -> dict[str, str]:
    """Return the pod's variables for the tick at `tick_at`, by default TICK_AT. `changes` are by names of Variable."""
    pod: dict[str, str] = {
        Variable.DATABASE_URL: database,
        Variable.CRONJOB_NAME: CRONJOB,
        Variable.JOB_NAME: job_name(CRONJOB, tick_at or TICK_AT),
        Variable.JOB_UID: "6f1c",
        Variable.POD_NAME: "pod-1",
        Variable.NODE_NAME: "node-1",
        Variable.SOURCE: SOURCE,
        Variable.INSTALLATION: "ours",
        Variable.HANDLER: "poke",
        Variable.TIMEOUT_SECONDS: "60",
        Variable.START_DEADLINE_SECONDS: "36000",
        Variable.REGION_ID: "42",
        Variable.REGION_CODE: "ch-zrh",
        Variable.REGION_NAME: "Zürich",
        Variable.REGION_BBOX: "8.440000,47.320000,8.630000,47.440000",
        Variable.REGION_CRON: "*/5 * * * *",
    }
    return pod | {Variable[name]: value for name, value in changes.items()}


def environment(database: str, *, tick_at: datetime | None = None, **changes: str) -> Environment:
    return Environment.read(variables(database, tick_at=tick_at, **changes))


def first(
    database: str,
    connection: psycopg.Connection,
    *,
    tick_at: datetime | None = None,
    lease_seconds: float = LEASE,
    **changes: str,
) -> Claimed:
    """Claim a free tick. The claim must succeed."""
    claimed = claim(connection, environment(database, tick_at=tick_at, **changes), lease_seconds=lease_seconds)
    assert isinstance(claimed, Claimed)
    return claimed


def until_blocked(database: str, connection: psycopg.Connection) -> None:
    """Wait until a statement of `connection` waits for a lock of another session."""
    pid = connection.info.backend_pid
    with psycopg.connect(database, autocommit=True) as watcher:
        eventually(
            lambda: watcher.execute("SELECT pg_blocking_pids(%s)", (pid,)).fetchone() != ([],), what="waits for a lock"
        )


class Observer:
    """Reads and changes job_run over a connection of its own."""

    def __init__(self, database: str) -> None:
        self.connection = psycopg.connect(database, autocommit=True)

    def rows(self) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(
                "SELECT *, clock_timestamp() AS now FROM region_tick.job_run ORDER BY created_at"
            ).fetchall()

    def row(self) -> dict[str, Any]:
        (row,) = self.rows()
        return row

    def insert(self, *, tick_at: datetime | None, manual_uid: str = "") -> None:
        """Insert a running row with a lease of one minute, as another attempt's claim does."""
        self.connection.execute(
            "INSERT INTO region_tick.job_run"
            " (source, region_id, tick_at, manual_uid, region_code, cron, state, attempt, lease_until)"
            " VALUES (%s, '42', %s, %s, 'ch-zrh', '', 'running', 1, clock_timestamp() + interval '1 minute')",
            (SOURCE, tick_at, manual_uid),
        )

    def change(self, **columns: object) -> None:
        """Set columns of every row."""
        assignments = ", ".join(f"{column} = %({column})s" for column in columns)
        self.connection.execute(f"UPDATE region_tick.job_run SET {assignments}", columns)

    def expire(self) -> None:
        """Let every lease run out now."""
        self.connection.execute("UPDATE region_tick.job_run SET lease_until = clock_timestamp() - interval '1 second'")


def ago(**units: float) -> datetime:
    """Return the minute that lies `units` (of timedelta) before TICK_AT."""
    return TICK_AT - timedelta(**units)
