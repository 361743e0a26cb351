"""A database to be harmed, and the ways to it: direct, through PgBouncer, through a slow network."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import psycopg

from region_operator.database.migrate import migrate
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import EVERY_FIVE_MINUTES, add_regions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.postgres import Postgres

REGIONS = 20


class Site:
    """One database of `server`, and a role that owns it. The operator reads its URL from `url_file`."""

    def __init__(self, server: Postgres, url_file: Path) -> None:
        self.server, self.url_file = server, url_file
        self.role = f"app_{secrets.token_hex(4)}"
        self.password = secrets.token_hex(8)

    @classmethod
    @contextmanager
    def on(cls, server: Postgres, url_file: Path) -> Iterator[Self]:
        """Make the database, migrated and with REGIONS regions; drop it in the end."""
        site = cls(server, url_file)
        server.create_database(site.role)
        site.administer(f"CREATE ROLE {site.role} LOGIN PASSWORD '{site.password}'")
        site.administer(f"ALTER DATABASE {site.role} OWNER TO {site.role}")
        asyncio.run(migrate(DatabaseUrl.parse(site.url)))
        site.add_regions(REGIONS)
        url_file.write_text(site.url)
        try:
            yield site
        finally:
            server.drop_database(site.role)
            site.administer(f"DROP ROLE {site.role}")

    @property
    def url(self) -> str:
        """The owner's URL, straight to the server."""
        return self.through(self.server.port)

    def through(self, port: int) -> str:
        """Return the owner's URL by another port of this machine."""
        place = f"{self.role}:{self.password}@127.0.0.1:{port}"
        return urlsplit(self.server.url(self.role))._replace(netloc=place).geturl()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as a superuser on the database, committed, whatever the default is; return its rows."""
        return self._run(self.server.url(self.role), statement)

    def administer(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as a superuser elsewhere on the server."""
        return self._run(self.server.url(), statement)

    def add_regions(self, codes: int | list[str], *, cron: str = EVERY_FIVE_MINUTES) -> None:
        add_regions(self.server.url(self.role), codes, cron=cron)

    def end_sessions(self) -> int:
        """End the sessions that operators have in the database; return how many there were."""
        return len(self.administer(f"SELECT pg_terminate_backend(pid) FROM {self._sessions}"))

    def sessions(self) -> int:
        """Return how many sessions operators have in the database."""
        return len(self.administer(f"SELECT pid FROM {self._sessions}"))

    @property
    def _sessions(self) -> str:
        return f"pg_stat_activity WHERE datname = '{self.role}' AND application_name LIKE 'region-operator%'"

    @contextmanager
    def without_a_free_connection(self) -> Iterator[None]:
        """Hold every connection that the server has for others than superusers."""
        with ExitStack() as held:
            while True:
                with suppress(psycopg.OperationalError):
                    while True:
                        held.enter_context(closing(psycopg.connect(self.url, application_name="holder")))
                if not self.end_sessions():
                    break
            yield

    @contextmanager
    def holding(self, statement: str) -> Iterator[None]:
        """Run a statement as a superuser on the database, in a transaction that lasts as long as the context."""
        with psycopg.connect(self.server.url(self.role), connect_timeout=10) as connection:
            connection.execute(statement.encode())
            yield

    @staticmethod
    def _run(url: str, statement: str) -> list[tuple[Any, ...]]:
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(url, autocommit=True, options=options, connect_timeout=10) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []
