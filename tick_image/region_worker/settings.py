"""What the worker reads from its environment: the database, and how much to do at once.

What it asks upstreams with (POLL_*, keys) is read as `poll` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from region_tick.contract import SCHEMA
from region_tick.database_url import DatabaseUrl, DatabaseUrlError
from region_tick.poll_settings import PollSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


QUEUE_SESSION = {
    "search_path": f"{SCHEMA},pg_temp",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
}
"""What a session with the queue needs: procrastinate says bare names and sets no timeouts, and a worker that is frozen
while it takes a task would keep it from all others.
"""


class WorkerSettingError(ValueError):
    """A variable that is missing or cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The worker's knobs; docs/queue.md explains them."""

    database: DatabaseUrl
    """For what is fetched; may be a pooler's."""
    direct: DatabaseUrl
    """For the queue, which needs sessions of its own: LISTEN, and a search_path."""
    poll: PollSettings

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> WorkerSettings:
        """Read the variables. Raises WorkerSettingError and PollSettingError."""
        database = _url(variables, "DATABASE_URL")
        direct = _url(variables, "DATABASE_DIRECT_URL") if variables.get("DATABASE_DIRECT_URL") else database
        return cls(database=database, direct=direct, poll=PollSettings.read(variables))

    def queue_conninfo(self) -> str:
        """Return where the queue is, for libpq, with QUEUE_SESSION."""
        given = conninfo_to_dict(self.direct.conninfo).get("options") or ""
        options = " ".join((str(given), *(f"-c {name}={value}" for name, value in QUEUE_SESSION.items())))
        return make_conninfo(self.direct.conninfo, options=options.strip(), fallback_application_name="region-worker")


def _url(variables: Mapping[str, str], name: str) -> DatabaseUrl:
    text = variables.get(name, "").strip()
    if not text:
        raise WorkerSettingError(f"{name} is missing: set it to postgresql://USER:PASSWORD@HOST/DATABASE")
    try:
        return DatabaseUrl.parse(text)
    except DatabaseUrlError as error:
        raise WorkerSettingError(f"{name} cannot be used: {error}") from error
