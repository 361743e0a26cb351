"""Tells errors of Postgres that pass by themselves from errors that stay. A claim waits only where the error passes.

A failover takes a minute or two. A server that is down, starts, stops, has no connection to spare or is still a
read-only standby will soon be what it was. A wrong password, an unknown database or a server without TLS stays wrong,
and a wait would only hide the mistake.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import psycopg

_PASSING_STATES = ("08", "25006", "40", "53", "57")
"""SQLSTATEs, or their beginnings: connection lost, read-only, rolled back for others' sake, no resources left, stopped
by an operator (https://www.postgresql.org/docs/18/errcodes-appendix.html).
"""

_LASTING = re.compile(
    r"authentication|no password supplied|pg_hba\.conf|certificate|does not support (?:SSL|TLS)|does not exist"
    r"|no such (?:database|user)|not permitted to log in|not currently accepting|permission denied"
)
"""What libpq, Postgres and PgBouncer say of a connection that will never be made. libpq gives no SQLSTATE for a refused
connection. A server that speaks another language than English is therefore waited for.
"""
_QUOTED = re.compile(r"""(["']).*?\1""")
"""Matches a name: a host may be called authentication-db."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 4.0


def passes_by_itself(error: psycopg.Error) -> bool:
    """Tell whether the statement or the connection may succeed later without anybody's help."""
    if error.sqlstate:
        return error.sqlstate.startswith(_PASSING_STATES)
    return isinstance(error, psycopg.OperationalError) and _LASTING.search(_QUOTED.sub("", str(error))) is None


def pause_seconds(failures: int, *, share: float) -> float:
    """Return how long to wait after so many failures in a row, 1 or more. `share` (0 to 1) is the jitter."""
    longest = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10), _LONGEST_PAUSE_SECONDS)
    return longest * (0.5 + share / 2)


def first_line(error: psycopg.Error) -> str:
    """Return the first line of an error's message, cut to a readable length."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


@dataclass(slots=True)
class Wait:
    """What one process has waited for before its claim."""

    began: float
    """When the process began, in seconds of time.monotonic()."""
    cause: str = ""
    """What the process waited for last; "" if for nothing."""
    is_for_database: bool = False
    """Whether that is the database itself."""

    def made_late(self, age_seconds: float, *, allowed_seconds: float, timeout_seconds: float) -> bool:
        """Tell whether the database is why a claim is late that came `age_seconds` after the tick's minute.

        A pod that began after the `allowed_seconds` is late by itself. But it may also be a retry, which nothing tells
        it: an earlier pod of the Job waits for the database for `timeout_seconds` at least before it gives up.
        """
        began = age_seconds - (time.monotonic() - self.began)
        return self.is_for_database and (began <= allowed_seconds or began >= timeout_seconds)

    def describe(self, age_seconds: float) -> str:
        """Say what made a claim late that came `age_seconds` after the tick's minute, as far as this process knows."""
        waited = time.monotonic() - self.began
        began = f"this pod began {age_seconds - waited:.0f} s after the minute"
        return f"{began}, and waited {waited:.0f} s for {self.cause}" if self.cause else began
