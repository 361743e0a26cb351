"""Keeps the limits of each host in Postgres, so that they hold for all ticks and workers of a database together.

`region_tick.host` has the hosts that are in trouble: left alone until a time, or failing. A host that answers has no
row. `region_tick.host_place` has the places that are taken. A place is a lease: the place of a pod that died becomes
free by itself. Each statement is a transaction of its own, so no row stays locked while a request is under way.

If the statements fail (an older schema, a missing right, a database that is away), the limits of this process hold
alone. The log says so once.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import psycopg

from region_tick.host_places import BUSY_SECONDS, UNASKED, LocalPlaces, Outcome, Place, Verdict, Wait
from region_tick.session import cursor, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from logging import Logger

    from psycopg.rows import TupleRow

FAILURES = 3
"""After how many failures in a row a host is left alone between two requests."""
PAUSE_SECONDS = 60.0
"""The first such pause. The pause doubles with each further failure."""
PAUSE_LIMIT_SECONDS = 900.0
JITTER = 0.25
"""By how much of its length a pause may be longer, so that the hosts of an outage are not asked all at once."""
_AGAIN_SECONDS = 10.0
"""After a statement that failed, how long to go on without the database."""
_ERROR_LIMIT = 500

TAKE = """
WITH bounds AS MATERIALIZED (
    SELECT pg_catalog.set_config('lock_timeout', '2s', true)
), known AS (
    SELECT failures, not_before, last_error FROM region_tick.host WHERE name = %(host)s::text
), free AS (
    SELECT candidate.number
    FROM bounds, generate_series(
        1, CASE WHEN (SELECT failures FROM known) > 0 THEN 1 ELSE %(at_once)s::integer END) AS candidate (number)
    WHERE NOT EXISTS (SELECT FROM known WHERE not_before > clock_timestamp())
      AND NOT EXISTS (
        SELECT FROM region_tick.host_place AS place
        WHERE place.host = %(host)s::text AND place.number = candidate.number AND place.until > clock_timestamp())
    ORDER BY random()
    LIMIT 1
), taken AS (
    INSERT INTO region_tick.host_place AS place (host, number, until)
    SELECT %(host)s::text, number, clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8) FROM free
    ON CONFLICT (host, number) DO UPDATE SET until = excluded.until WHERE place.until <= clock_timestamp()
    RETURNING number, until
)
SELECT taken.number, taken.until, coalesce(known.failures, 0),
    extract(epoch FROM known.not_before - clock_timestamp())::float8, known.last_error
FROM (VALUES (true)) AS one (line) LEFT JOIN taken ON true LEFT JOIN known ON true
"""
"""Takes a place, or returns a row without a number and with the host's state. A host whose last request failed has one
place. Two sessions may choose the same free place: the slower one gets none then, and tries again. The place is chosen
at random, so that this is rare.
"""

_GIVEN = """
WITH bounds AS MATERIALIZED (
    SELECT pg_catalog.set_config('lock_timeout', '2s', true)
), given AS (
    DELETE FROM region_tick.host_place
    WHERE host = %(host)s::text AND number = %(number)s::integer AND until = %(until)s::timestamptz
      AND EXISTS (SELECT FROM bounds)
)"""

GIVE = f"{_GIVEN} SELECT true"

ANSWERED = f"""{_GIVEN}, well AS (
    DELETE FROM region_tick.host
    WHERE name = %(host)s::text AND coalesce(not_before <= clock_timestamp(), true)
)
SELECT true
"""  # noqa: S608 - a constant
"""Forgets the host's failures. An answer to a request from before a pause does not end the pause."""

THROTTLED = f"""{_GIVEN}, told AS (
    INSERT INTO region_tick.host AS known (name, not_before, last_error)
    VALUES (%(host)s::text, clock_timestamp() + make_interval(secs => %(seconds)s::float8), %(error)s::text)
    ON CONFLICT (name) DO UPDATE SET
        not_before = greatest(known.not_before, excluded.not_before), failures = 0, failed_creator = NULL,
        last_error = excluded.last_error, changed_at = clock_timestamp()
)
SELECT true
"""  # noqa: S608 - a constant

FAILED = f"""{_GIVEN}, forgotten AS (
    DELETE FROM region_tick.host WHERE name IN (
        SELECT name FROM region_tick.host
        WHERE changed_at < clock_timestamp() - interval '30 days' AND name <> %(host)s::text
        FOR UPDATE SKIP LOCKED)
), failed AS (
    INSERT INTO region_tick.host AS known (name, failures, failed_creator, last_error)
    VALUES (%(host)s::text, 1, %(creator)s::text, %(error)s::text)
    ON CONFLICT (name) DO UPDATE SET
        failures = known.failures + (excluded.failed_creator IS DISTINCT FROM known.failed_creator
            OR excluded.failed_creator IS NULL)::integer,
        not_before = greatest(known.not_before, CASE WHEN known.failures + 1 >= %(failures)s::integer THEN
            clock_timestamp() + make_interval(secs => %(jitter)s::float8 * least(
                %(pause)s::float8 * power(2, least(known.failures + 1 - %(failures)s::integer, 20)),
                %(pause_limit)s::float8)) END),
        failed_creator = excluded.failed_creator, last_error = excluded.last_error, changed_at = clock_timestamp()
    WHERE known.failures = 0 OR excluded.failed_creator IS NULL
        OR excluded.failed_creator IS DISTINCT FROM known.failed_creator OR known.failures >= %(failures)s::integer
)
SELECT true
"""  # noqa: S608 - a constant
"""Counts the failure. The same answer for the same creator counts once: it tells nothing new of the host. Forgets hosts
that nobody has asked for a month.
"""

_STATEMENTS: Mapping[Verdict, str] = {
    Verdict.ANSWERED: ANSWERED,
    Verdict.FAILED: FAILED,
    Verdict.THROTTLED: THROTTLED,
    Verdict.UNASKED: GIVE,
}


class SharedPlaces:
    """The places of all pods. Any thread may call the methods, if `connect` gives each thread its own connection.

    `connect` returns a context manager with a connection in autocommit mode. A place lasts `lease_seconds`.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[psycopg.Connection]],
        *,
        at_once: int,
        lease_seconds: float,
        log: Logger,
    ) -> None:
        self._connect, self._log = connect, log
        self._at_once, self._lease_seconds = at_once, lease_seconds
        self._local = LocalPlaces(at_once)
        self._away_until = 0.0
        self._was_away = False

    def take(self, host: str) -> Place | Wait:
        """Take a place that is free in this process and in the database."""
        local = self._local.take(host)
        if isinstance(local, Wait):
            return local
        row = self._execute(TAKE, {"host": host, "at_once": self._at_once, "lease_seconds": self._lease_seconds})
        if row is None:
            return local
        number, until, failures, seconds, error = row
        if number is not None:
            return Place(host=host, number=number, until=until, failing=failures > 0)
        self._local.give(local, UNASKED)
        if seconds is not None and seconds > 0:
            return Wait(seconds=seconds, reason=error or "it asked for a pause")
        return Wait(seconds=BUSY_SECONDS)

    def give(self, place: Place, outcome: Outcome) -> None:
        """Give a place back. A place that cannot be given back becomes free when its lease is over."""
        parameters = {
            "host": place.host,
            "number": place.number,
            "until": place.until,
            "seconds": outcome.seconds,
            "error": outcome.error,
            "creator": outcome.creator,
            "failures": FAILURES,
            "pause": PAUSE_SECONDS,
            "pause_limit": PAUSE_LIMIT_SECONDS,
            "jitter": random.uniform(1.0, 1.0 + JITTER),  # noqa: S311
        }
        recorded = self._execute(_STATEMENTS[outcome.verdict], parameters) is not None
        self._local.give(place, UNASKED if recorded else outcome)

    def _execute(self, statement: str, parameters: dict[str, object]) -> TupleRow | None:
        """Return the statement's row, or None if the database cannot say. Never raises psycopg.Error."""
        if time.monotonic() < self._away_until:
            return None
        try:
            with self._connect() as connection:
                for name in ("error", "creator"):
                    if isinstance(text := parameters.get(name), str):
                        parameters[name] = storable(text, connection)[:_ERROR_LIMIT]
                row = cursor(connection).execute(statement.encode(), parameters).fetchone()
        except psycopg.Error as error:
            self._away_until = time.monotonic() + _AGAIN_SECONDS
            if not self._was_away:
                remedy = "let the operator migrate the database, and run `region-operator grants` again"
                fields = {"error": f"{type(error).__name__}: {error}", "remedy": remedy}
                self._log.warning("limits of hosts hold in this process only", extra=fields)
            self._was_away = True
            return None
        self._was_away = False
        return row
