"""A tick's session with Postgres: how it connects, and what bounds each of its transactions.

Nothing outlives a transaction, so a pooler in transaction mode may stand between. The handler may have changed the
connection that it was given, so nothing is believed of a connection here but that it can execute.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import TupleRow, tuple_row

from region_tick.contract import RUNS_CHANNEL
from region_tick.statements import BOUNDS, NOTIFY

if TYPE_CHECKING:
    from region_tick.database_url import DatabaseUrl

IDLE_SECONDS = 60.0
"""How long nothing may be asked in a transaction before the server ends its session, and with it the locks of a process
that is frozen or whose node is lost: TCP keepalive takes two hours to notice. A handler that is at work may take as
long; Kubernetes takes longer to give up the pod of a lost node (40 to 50 s until it is unreachable, and 30 s more).
"""


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


def bound(connection: psycopg.Connection, *, idle_seconds: float = IDLE_SECONDS) -> datetime:
    """Bound the waits of the transaction just begun; return the database's time, in UTC. Raises psycopg.Error."""
    row = cursor(connection).execute(BOUNDS, {"idle": f"{idle_seconds}s"}).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: a SELECT without FROM has one row
    now: datetime = row[0]
    return now.astimezone(UTC)


def storable(text: str) -> str:
    """Return a text as Postgres takes it: without NUL and lone surrogates."""
    return text.replace("\0", "").encode(errors="backslashreplace").decode()


def cursor(connection: psycopg.Connection) -> psycopg.Cursor[TupleRow]:
    """Return a cursor that gives rows as tuples, whatever the handler made of the connection."""
    return psycopg.Cursor(connection, row_factory=tuple_row)


def notify(connection: psycopg.Connection, job_name: str) -> None:
    """Tell who listens that the tick of a Job has ended, once the transaction is committed."""
    cursor(connection).execute(NOTIFY, {"channel": RUNS_CHANNEL, "job_name": job_name})
