"""Creates and drops databases in any Postgres server. devcluster.postgres runs a server of the project's own."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from region_tick.database_url import DatabaseUrl


class Server:
    """A Postgres in which databases may be created. The database of `url` itself is left alone."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str | None = None) -> str:
        """Return a database's URL with the password. Without a name, return the URL that the server was given."""
        return (
            self._url
            if database is None
            else urlsplit(self._url)._replace(path=f"/{quote(database, safe='')}").geturl()
        )

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create a database as a copy of `template`. `template` must have no sessions. Raises psycopg.Error."""
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))

    def drop_database(self, name: str) -> None:
        """Drop a database, if it exists, and end its sessions. Raises psycopg.Error."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(DatabaseUrl.parse(self.url()).conninfo, autocommit=True) as connection:
            connection.execute(statement)
