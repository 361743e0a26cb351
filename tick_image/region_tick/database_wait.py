"""Tells errors of Postgres that pass by themselves from errors that stay. A claim waits only where the error passes.

A failover takes a minute or two. A server that is down, starts, stops, has no connection to spare or is still a
read-only standby will soon be what it was. A wrong password, an unknown database or a server without TLS stays wrong,
and a wait would only hide the mistake.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

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

DATABASE = "the database"
"""What a process waits for while the database is away."""
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
    seconds: dict[str, float] = field(default_factory=dict)
    """For how long it waited, by what it waited for: DATABASE, a lock or another attempt."""
    error: str = ""
    """What the database said last while it was away."""

    def add(self, cause: str, seconds: float) -> None:
        """Count some seconds more for what was waited for."""
        self.seconds[cause] = self.seconds.get(cause, 0.0) + seconds

    def made_late(self, age_seconds: float, *, allowed_seconds: float) -> bool:
        """Tell whether the database is why a claim is late that came `age_seconds` after the tick's minute.

        It is if the claim would have been in time without the wait for the database. A pod that began after the
        `allowed_seconds` is late by itself: it may be a retry of a pod that waited in vain, but cannot know so.
        """
        return DATABASE in self.seconds and age_seconds - self.seconds[DATABASE] <= allowed_seconds

    def describe(self, age_seconds: float) -> str:
        """Say what made a claim late that came `age_seconds` after the tick's minute, as far as this process knows."""
        began = f"this pod began {age_seconds - (time.monotonic() - self.began):.0f} s after the minute"
        waits = [f"{seconds:.0f} s for {cause}" for cause, seconds in self.seconds.items() if cause != DATABASE]
        if DATABASE in self.seconds:
            waits.append(f"{self.seconds[DATABASE]:.0f} s for {DATABASE}: {self.error}")
        return f"{began}, and waited {' and '.join(waits)}" if waits else began
