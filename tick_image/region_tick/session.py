"""Connects a tick to Postgres, and bounds the waits of each transaction.

No state outlives a transaction (no prepared statement, no session setting), so the tick also works through a pooler in
transaction mode. A connection is trusted only to execute statements, because the handler may have changed the
connection's settings.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow, tuple_row

from region_tick.adaptation import adapt_to_encoding, server_encoding
from region_tick.statements import BOUNDS
from region_tick.text_encoding import escape

if TYPE_CHECKING:
    from region_tick.database_url import DatabaseUrl

IDLE_SECONDS = 60.0
"""How long a transaction may be idle before the server ends the session.

The end of the session frees the locks of a frozen process, or of a process on a lost node; TCP keepalive would take two
hours to notice. A working handler may be idle in a transaction for as long as this. Kubernetes takes longer to give up
the pod of a lost node: 40 to 50 s until the node is unreachable, and 30 s more.
"""


def connect(database: DatabaseUrl, *, within: float | None = None) -> psycopg.Connection:
    """Connect in autocommit mode, without prepared statements.

    The timeout is `within` seconds, at least 2 by libpq's rule; without `within`, the URL's connect_timeout applies.

    Transactions are READ COMMITTED, whatever the server's default. With a stricter isolation level, a lease renewal
    during a handler's transaction would be a serialization failure. Dates come in ISO's form, whatever the database's
    DateStyle: psycopg reads no other form. Raises psycopg.OperationalError.
    """
    return _connect(database.conninfo, within=within)


def connect_again(connection: psycopg.Connection) -> psycopg.Connection:
    """Connect once more, to the server and the database of `connection`. Raises psycopg.OperationalError."""
    known = connection.info
    return _connect(make_conninfo(**known.get_parameters(), password=known.password or None))


def _connect(conninfo: str, *, within: float | None = None) -> psycopg.Connection:
    os.environ["PGDATESTYLE"] = "ISO"  # libpq has no other way to say so, and every pooler understands it
    connection = psycopg.connect(
        conninfo,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=None if within is None else max(2, int(within)),
    )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    adapt_to_encoding(connection)
    return connection


def bound(connection: psycopg.Connection, *, idle_seconds: float = IDLE_SECONDS) -> tuple[datetime, datetime]:
    """Set timeouts and formats of the transaction that has just begun.

    Return the database's time, and when the transaction began (UTC). Raises psycopg.Error.
    """
    row = cursor(connection).execute(BOUNDS, {"idle": f"{idle_seconds}s"}).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: a SELECT without FROM has one row
    now: datetime = row[0]
    begun: datetime = row[1]
    return now.astimezone(UTC), begun.astimezone(UTC)


def storable(text: str, connection: psycopg.Connection) -> str:
    """Return a text that the connection's database can store, with escapes for what it cannot store."""
    return escape(text, server_encoding(connection))


def cursor(connection: psycopg.Connection) -> psycopg.Cursor[TupleRow]:
    """Return a cursor that gives rows as tuples, even if the handler has changed the connection's row factory."""
    return psycopg.Cursor(connection, row_factory=tuple_row)
