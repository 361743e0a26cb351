"""Reads the worker's settings from environment variables: the database's URLs and the settings of `poll`.

region_tick.poll_settings reads the variables for requests to upstreams (POLL_*, keys), for worker and `poll` alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from region_tick.contract import SCHEMA
from region_tick.database_url import DatabaseUrl, DatabaseUrlError
from region_tick.hook import OnItems, load_hook
from region_tick.poll_settings import PollSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


QUEUE_SESSION = {
    "search_path": f"{SCHEMA},pg_temp",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
}
"""The settings of a session with the queue. procrastinate uses table names without a schema, and sets no timeouts:
a worker that freezes while taking a task would block the task for all other workers.
"""


class WorkerSettingError(ValueError):
    """A variable is missing or cannot be used. The message has the variable's name and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The worker's settings, as docs/queue.md explains."""

    database: DatabaseUrl
    """The database for creators and items. The URL may lead to a pooler."""
    direct: DatabaseUrl
    """The database for the queue, without a pooler: the queue needs LISTEN and a search_path of its own."""
    poll: PollSettings
    on_items: OnItems | None
    """The user's function, as for `poll`."""
    health_port: int
    """The port of /healthz and /metrics; 8080 by default. 0: any free port, which the event `working` names."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> WorkerSettings:
        """Read the variables. Raises WorkerSettingError and PollSettingError."""
        database = _url(variables, "DATABASE_URL")
        direct = _url(variables, "DATABASE_DIRECT_URL") if variables.get("DATABASE_DIRECT_URL") else database
        return cls(
            database=database,
            direct=direct,
            poll=PollSettings.read(variables),
            on_items=load_hook(variables),
            health_port=_port(variables, "HEALTH_PORT"),
        )

    def queue_conninfo(self) -> str:
        """Return libpq's connection string for the queue, with the settings of QUEUE_SESSION."""
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


def _port(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "").strip() or "8080"
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise WorkerSettingError(f"{name} is {text!r}: write a port from 0 to 65535, e.g. 8080")
    return int(text)
