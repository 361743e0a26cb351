"""Opens the database for the console: every transaction is read-only and short, whatever the role may do.

People create Secrets late and rotate them, so the URL is read again for each transaction, and an engine lives as long
as its URL. Nothing is migrated.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from region_operator.database.engine import make_engine, transaction
from region_operator.database.store import Database
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

STATEMENT_SECONDS = 5.0
"""The longest statement of a page. What takes longer is answered by how to ask for less."""


class Reader:
    """Holds the console's only engine. `read_url` returns the present URL, or raises MissingDatabaseUrlError."""

    def __init__(self, read_url: Callable[[], str]) -> None:
        self._read_url = read_url
        self._url = ""
        self._database: Database | None = None

    async def open(self) -> Database:
        """Return the database. Its engine begins every transaction as READ ONLY.

        Raises MissingDatabaseUrlError and DatabaseUrlError.
        """
        text = self._read_url()
        if self._database is None or text != self._url:
            url = DatabaseUrl.parse(text)
            await self.close()
            engine = make_engine(url).execution_options(postgresql_readonly=True)
            self._database, self._url = Database(engine, url.schema), text
        return self._database

    async def close(self) -> None:
        """Close all connections. The next `open` makes new ones."""
        database, self._database = self._database, None
        if database is not None:
            await database.engine.dispose()

    @asynccontextmanager
    async def reading(self, *, statement_seconds: float = STATEMENT_SECONDS) -> AsyncIterator[AsyncConnection]:
        """Run the body in a transaction that writes nothing. Raises what `open` and `engine.transaction` raise."""
        database = await self.open()
        async with transaction(database.engine, timeout_seconds=statement_seconds) as connection:
            yield connection
