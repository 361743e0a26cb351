"""What can happen to a database, each as a context: the fault lasts as long as its block. All are caused for real."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from devcluster.postgres import StopMode
from region_operator.database.migrate import migrate
from region_operator.plan.conditions import ReadyReason
from region_tick.database_url import DatabaseUrl
from tests.harness.pgbouncer import PgBouncer
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.faults.site import Site


Way: TypeAlias = "Callable[[Site], AbstractContextManager[Any]]"
"""Yields what stands between the operator and the database."""

Cause: TypeAlias = "Callable[[Site, Any], AbstractContextManager[None]]"
"""Harms the database or what stands before it, until the context ends."""


@contextmanager
def straight(_site: Site) -> Iterator[None]:
    """Nothing in between."""
    yield


@contextmanager
def proxied(site: Site) -> Iterator[Proxy]:
    """Reads, and listens, through a proxy."""
    with Proxy.to(site.server.port) as proxy:
        site.url_file.write_text(site.through(proxy.port))
        yield proxy


@contextmanager
def pooled(site: Site) -> Iterator[PgBouncer]:
    """Reads through a PgBouncer in transaction mode; listens straight."""
    with PgBouncer.before(site.url) as bouncer:
        site.url_file.write_text(bouncer.url)
        yield bouncer


@contextmanager
def stopped(site: Site, _way: object) -> Iterator[None]:
    """The server is shut down, as for an upgrade."""
    site.server.stop(StopMode.FAST)
    try:
        yield
    finally:
        site.server.start()


@contextmanager
def killed(site: Site, _way: object) -> Iterator[None]:
    """The server is lost with all its sessions, as with its machine."""
    site.server.kill()
    try:
        yield
    finally:
        site.server.start()


@contextmanager
def restarted(site: Site, _way: object) -> Iterator[None]:
    """The server is gone and back at once."""
    site.server.stop(StopMode.IMMEDIATE)
    site.server.start()
    yield


@contextmanager
def out_of_connections(site: Site, _way: object) -> Iterator[None]:
    """Others hold every connection."""
    with site.without_a_free_connection():
        yield


@contextmanager
def frozen(site: Site, _way: object) -> Iterator[None]:
    """The server keeps its connections and answers nothing."""
    with site.server.frozen():
        yield


@contextmanager
def slow(_site: Site, way: object) -> Iterator[None]:
    """Every packet is late, both ways."""
    assert isinstance(way, Proxy)
    way.delay = 0.3
    try:
        yield
    finally:
        way.delay = 0.0


@contextmanager
def cut(_site: Site, way: object) -> Iterator[None]:
    """Nothing passes, either way, and nobody says so."""
    assert isinstance(way, Proxy)
    way.cut()
    try:
        yield
    finally:
        way.mend()


@contextmanager
def sessions_ended(site: Site, _way: object) -> Iterator[None]:
    """Somebody ends the operators' sessions."""
    site.end_sessions()
    yield


@contextmanager
def refused(site: Site, _way: object) -> Iterator[None]:
    """The role's password is another, until somebody sets it back."""
    site.administer(f"ALTER ROLE {site.role} PASSWORD 'another'")
    site.end_sessions()
    try:
        yield
    finally:
        site.administer(f"ALTER ROLE {site.role} PASSWORD '{site.password}'")


@contextmanager
def rotated(site: Site, _way: object) -> Iterator[None]:
    """The role's password is another, until somebody puts that into the Secret."""
    site.administer(f"ALTER ROLE {site.role} PASSWORD 'another'")
    site.end_sessions()
    try:
        yield
    finally:
        site.password = "another"
        site.url_file.write_text(site.url)


@contextmanager
def without_table(site: Site, _way: object) -> Iterator[None]:
    """The table has another name for a while."""
    site.sql("ALTER TABLE region_index RENAME TO region_index_old")
    try:
        yield
    finally:
        site.sql("ALTER TABLE region_index_old RENAME TO region_index")


@contextmanager
def without_column(site: Site, _way: object) -> Iterator[None]:
    """A column has another name for a while."""
    site.sql("ALTER TABLE region_index RENAME cron_schedule TO schedule")
    try:
        yield
    finally:
        site.sql("ALTER TABLE region_index RENAME schedule TO cron_schedule")


@contextmanager
def without_right(site: Site, _way: object) -> Iterator[None]:
    """The table is somebody else's for a while."""
    site.sql("ALTER TABLE region_index OWNER TO postgres")
    try:
        yield
    finally:
        site.sql(f"ALTER TABLE region_index OWNER TO {site.role}")


@contextmanager
def without_schema(site: Site, _way: object) -> Iterator[None]:
    """Somebody drops all tables that are ours, and the trigger with them, until somebody makes them anew."""
    site.sql("DROP SCHEMA region_tick CASCADE")
    try:
        yield
    finally:
        asyncio.run(migrate(DatabaseUrl.parse(site.url)))


@contextmanager
def locked(site: Site, _way: object) -> Iterator[None]:
    """Somebody holds the table for himself for a while."""
    with site.holding("LOCK TABLE region_index IN ACCESS EXCLUSIVE MODE"):
        yield


@contextmanager
def slow_view(site: Site, _way: object) -> Iterator[None]:
    """What is read becomes a view that takes for ever."""
    site.sql("ALTER TABLE region_index RENAME TO region_index_old")
    site.sql("CREATE VIEW region_index AS SELECT r.* FROM region_index_old r, pg_sleep(3600)")
    site.sql(f"GRANT SELECT ON region_index TO {site.role}")
    try:
        yield
    finally:
        site.sql("DROP VIEW region_index")
        site.sql("ALTER TABLE region_index_old RENAME TO region_index")


@contextmanager
def read_only(site: Site, _way: object) -> Iterator[None]:
    """The server is lost, and its replica cannot be written to before it is made the primary."""
    site.administer("ALTER SYSTEM SET default_transaction_read_only = on")
    site.server.kill()
    site.server.start()
    try:
        yield
    finally:
        site.administer("ALTER SYSTEM RESET default_transaction_read_only")
        site.administer("SELECT pg_reload_conf()")


@contextmanager
def pooler_killed(_site: Site, way: object) -> Iterator[None]:
    """PgBouncer is lost."""
    assert isinstance(way, PgBouncer)
    way.kill()
    try:
        yield
    finally:
        way.start()


@dataclass(frozen=True, slots=True)
class Fault:
    """A cause, and what the status says while it lasts: `reason`, and each of `words` in the message; without a reason,
    that all is well, because it is.
    """

    cause: Cause
    reason: ReadyReason | None = None
    words: tuple[str, ...] = ()
    way: Way = straight
    failures: int = 2
    """How many reconciles are to fail before the fault ends."""

    def __str__(self) -> str:
        return self.cause.__name__ + ("" if self.way is straight else f"-{self.way.__name__}")


AWAY = ReadyReason.DATABASE_UNAVAILABLE
UNREADABLE = ReadyReason.SOURCE_UNREADABLE
SLOW = ReadyReason.SOURCE_SLOW

FAULTS = [
    Fault(stopped, AWAY, ("refused",)),
    Fault(killed, AWAY, ("refused",)),
    Fault(restarted),
    Fault(out_of_connections, AWAY, ("connection",)),
    Fault(frozen, AWAY, ("no answer within",), failures=1),
    Fault(slow, way=proxied),
    Fault(refused, AWAY, ("password authentication failed",)),
    Fault(rotated, AWAY, ("password authentication failed",)),
    Fault(without_table, UNREADABLE, ("region_index", "does not exist")),
    Fault(without_column, UNREADABLE, ("cron_schedule", "does not exist")),
    Fault(without_right, UNREADABLE, ("permission denied", "region_index")),
    Fault(without_schema, ReadyReason.SCHEMA_MISMATCH, ("region_tick", "does not exist", "region-operator migrate")),
    Fault(locked, SLOW, ("region_index", "locked for more than 5 s", "pg_locks")),
    Fault(slow_view, SLOW, ("region_index", "not read within 30 s", "statement timeout"), failures=1),
    Fault(read_only),
    Fault(killed, AWAY, ("cannot be reached",), way=pooled),
    Fault(pooler_killed, AWAY, ("refused",), way=pooled),
]
