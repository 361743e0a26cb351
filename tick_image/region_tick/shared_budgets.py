"""Counts in Postgres what a platform's keys spend in a day, for all ticks and workers of a database together.

`region_tick.budget` has a row for each key and day. The units are counted before a request is sent, in a transaction of
their own: a request that then gets no answer was perhaps counted by the platform too. A database without the table, or
one that lets nobody write to it, keeps no budget; the platform then says when its quota is used up. The log says so
once.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import UTC
from threading import Lock
from typing import TYPE_CHECKING

import psycopg

from region_tick.retry import ThrottledError
from region_tick.session import connect_again, cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from logging import Logger

    from region_tick.daily_budget import DailyBudget

AWAY_SECONDS = 60.0
"""The pause of an upstream for whose request nobody could say whether the day has units left."""
JITTER_SECONDS = 120.0
"""Over which time the first requests of a new day are spread."""
_NOT_KEPT = (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue)
"""The last one is what a Postgres without time zones says of a zone's name."""

SPEND = """
WITH bounds AS MATERIALIZED (
    SELECT pg_catalog.set_config('lock_timeout', '2s', true)
), today AS MATERIALIZED (
    SELECT (clock_timestamp() AT TIME ZONE %(zone)s::text)::date AS day FROM bounds
), forgotten AS (
    DELETE FROM region_tick.budget WHERE (platform, account, day) IN (
        SELECT platform, account, day FROM region_tick.budget WHERE day < (SELECT day - 30 FROM today)
        FOR UPDATE SKIP LOCKED)
), spent AS (
    INSERT INTO region_tick.budget AS known (platform, account, day, units)
    SELECT %(platform)s::text, %(account)s::text, day, %(units)s::integer FROM today
    WHERE %(units)s::integer <= %(limit)s::integer
    ON CONFLICT (platform, account, day) DO UPDATE SET units = known.units + excluded.units
    WHERE known.units + excluded.units <= %(limit)s::integer
    RETURNING 1
)
SELECT EXISTS (SELECT FROM spent), (day + 1)::timestamp AT TIME ZONE %(zone)s::text,
    extract(epoch FROM (day + 1)::timestamp AT TIME ZONE %(zone)s::text - clock_timestamp())::float8
FROM today
"""
"""Spends the units if the day has them: whoever comes at the same time waits for the row, and then adds to it. Returns
whether they were spent, and when the next day begins. Forgets what was spent a month ago.
"""


class SharedBudgets:
    """Counts for all pods. Any thread may spend.

    `connect` returns a context manager with a connection in autocommit mode, on which no transaction is open.
    """

    def __init__(self, connect: Callable[[], AbstractContextManager[psycopg.Connection]], *, log: Logger) -> None:
        self._connect, self._log = connect, log
        self._warned = False

    def spend(self, budget: DailyBudget, units: int) -> None:
        """Take units from the day. Raises ThrottledError, also if the database cannot be asked."""
        parameters = {
            "platform": budget.platform,
            "account": budget.account,
            "zone": budget.zone,
            "units": units,
            "limit": budget.units,
        }
        try:
            with self._connect() as connection:
                row = cursor(connection).execute(SPEND, parameters).fetchone()
        except _NOT_KEPT as error:
            self._warn(error)
            return
        except psycopg.Error as error:
            message = f"{budget.platform}'s units of the day cannot be counted: {type(error).__name__}"
            raise ThrottledError(message, AWAY_SECONDS, whole_host=False) from None
        assert row is not None  # noqa: S101 - for the type checker: `today` has one row
        is_spent, renewal, seconds = row
        if not is_spent:
            raise ThrottledError(
                f"{budget.platform} is not asked: the {budget.units} units of its day ({budget.setting}) are spent, "
                f"until {renewal.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
                seconds + random.uniform(0.0, JITTER_SECONDS),  # noqa: S311
                whole_host=False,
            )

    def _warn(self, error: psycopg.Error) -> None:
        if not self._warned:
            remedy = "let the operator migrate the database, and run `region-operator grants` again"
            fields = {"error": f"{type(error).__name__}: {error}", "remedy": remedy}
            self._log.warning("daily units are not counted", extra=fields)
        self._warned = True


class ConnectionBeside:
    """A second connection to a tick's database, made when it is first needed, for one thread at a time.

    The tick's own connection may be amid a transaction, which would take along what is spent meanwhile.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._first = connection
        self._second: psycopg.Connection | None = None
        self._lock = Lock()

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection]:
        """Lend the connection to the calling thread. After an error, the next one gets a new connection."""
        with self._lock:
            if self._second is None:
                self._second = connect_again(self._first)
            try:
                yield self._second
            except psycopg.Error:
                self._close()
                raise

    def close(self) -> None:
        """Close the connection, unless a thread waits for the database on it: the process ends all the same."""
        if self._lock.acquire(blocking=False):
            self._close()
            self._lock.release()

    def _close(self) -> None:
        second, self._second = self._second, None
        if second is not None:
            second.close()
