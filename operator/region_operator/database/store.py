"""The operator's way to the database: opened when it is first needed, opened anew when its URL has changed.

Secrets are created late and rotated, so the URL is read at each opening; an engine is kept only as long as its URL.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import DBAPIError

from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import MigrationError, SchemaState, migrate, newest_revision, schema_state
from region_operator.database.partitions import ensure_partitions
from region_operator.database.retention import PASSING_FOR_SECONDS, forget, is_passing
from region_operator.database.triggers import Triggers
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)


class SchemaError(Exception):
    """The database's schema is not this release's and cannot be made so; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database; a table without a schema of its own is looked for in `schema`."""

    engine: AsyncEngine
    schema: str


@asynccontextmanager
async def look_at(url: DatabaseUrl) -> AsyncIterator[Database]:
    """Open a database as it is, for one who only reads the user's table: our schema need not be there."""
    engine = make_engine(url)
    try:
        yield Database(engine, url.schema)
    finally:
        await engine.dispose()


class Store:
    """Holds the one engine of the process; an async context manager that disposes of it. `description` says for people
    which database was opened last, without its password, and its schema's revision; `triggers` keep the tables' own.
    """

    def __init__(
        self,
        read_url: Callable[[], str],
        *,
        may_migrate: bool,
        retention: timedelta = timedelta(days=30),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_url = read_url
        self._may_migrate = may_migrate
        self.retention = retention
        self._url: str | None = None
        self._database: Database | None = None
        self._partitioned: date | None = None
        self._forgotten: date | None = None
        self._forget_from = -math.inf
        self._clock = clock
        self.triggers = Triggers(may_make=may_migrate)
        self.description = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> Database:
        """Return the database, its schema known to be right, today's partitions made and old ones dropped.

        Raises MissingDatabaseUrlError, DatabaseUrlError, SchemaError, and what SQLAlchemy raises where it is away.
        """
        url = self._read_url()
        if self._database is None or url != self._url:
            await self.close()
            parsed = DatabaseUrl.parse(url)
            await self._prepare_schema(parsed)
            self._database, self._url = Database(make_engine(parsed), parsed.schema), url
            self.description = f"database: {parsed.address}\nschema revision: {newest_revision()}"
        await self._make_partitions(self._database.engine)
        await self._forget(self._database.engine)
        return self._database

    async def close(self) -> None:
        """Dispose of the engine and its connections; what is opened afterwards is opened anew."""
        database, self._database, self._partitioned, self._forgotten = self._database, None, None, None
        self._forget_from = -math.inf
        if database is not None:
            await database.engine.dispose()

    async def _prepare_schema(self, url: DatabaseUrl) -> None:
        if self._may_migrate:
            try:
                report = await migrate(url)
            except MigrationError as error:
                raise SchemaError(str(error)) from error
            log.info("migrated", extra=asdict(report))
            return
        engine = make_engine(url)
        try:
            state = await schema_state(engine)
        finally:
            await engine.dispose()
        if state is not SchemaState.CURRENT:
            remedy = "run a newer release" if state is SchemaState.NEWER else "run `region-operator migrate`"
            raise SchemaError(f"the database's schema is {state}: {remedy}")

    async def _make_partitions(self, engine: AsyncEngine) -> None:
        today = datetime.now(UTC).date()
        if self._partitioned != today:
            try:
                async with transaction(engine) as connection:
                    await ensure_partitions(connection, today)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                # A read-only server, a missing right, a lock: the default partition catches the rows meanwhile.
                remedy = "run `region-operator migrate` once a week, where this does not pass"
                log.warning("no partitions", extra={"remedy": remedy, "error": str(error.orig)})
            self._partitioned = today

    async def _forget(self, engine: AsyncEngine) -> None:
        """Once a day forget what is older than the retention; what cannot be now is tried again after a while."""
        today = datetime.now(UTC).date()
        if self._forgotten == today or self._clock() < self._forget_from:
            return
        try:
            dropped = await forget(engine, before=today - self.retention)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            if is_passing(error):
                self._forget_from = self._clock() + PASSING_FOR_SECONDS
                log.info("not forgotten yet", extra={"reason": str(error.orig)})
                return
            remedy = "let the operator's role own the tables of schema region_tick, or drop job_run's old partitions"
            log.warning("nothing forgotten", extra={"remedy": remedy, "error": str(error.orig)})
        else:
            if dropped:
                log.info("forgotten", extra={"partitions": dropped})
        self._forgotten = today
