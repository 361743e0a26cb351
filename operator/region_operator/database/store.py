"""Opens the database when a reconcile first needs the database, and opens it anew after a change of the URL.

People create Secrets late and rotate them, so each `open` reads the URL again, and an engine lives only as long as its
URL. A newer release may migrate the database at any time, so each `open` also looks at the schema. If this release may
not use the schema, the operator leaves the schema alone and still reads the user's table. Each `open` reads the
database's clock too. Migrations are left to `migrate`, the days of job_run to `upkeep`.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import ProgrammingError

from region_operator.database.clock import observe_clock
from region_operator.database.engine import make_engine, show_pool, transaction
from region_operator.database.history import read_history
from region_operator.database.migrate import MigrationError, NewerSchemaError, SchemaState, find_schema, migrate
from region_operator.database.triggers import Triggers
from region_operator.database.upkeep import Upkeep
from region_operator.runtime.remote_clock import RemoteClock
from region_tick.contract import SCHEMA, VERSION
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.database.migrate import FoundSchema
    from region_operator.runtime.remote_clock import Skew

log = logging.getLogger(__name__)

HISTORY_EVERY_SECONDS = 60.0
"""How often the server's history is read. Edits come more often, and need not wait for what hardly ever changes."""


class SchemaError(Exception):
    """The database's schema is missing or older, and cannot be migrated. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. If `spec.source.table` names no schema, the table is looked for in `schema`."""

    engine: AsyncEngine
    schema: str
    schema_conflict: str = ""
    """The reason why the operator must leave its own tables alone, for people. Empty if the operator may use the
    tables.
    """
    history: str = ""
    """What `history` tells of the server; "" if it does not tell."""


@asynccontextmanager
async def look_at(url: DatabaseUrl) -> AsyncIterator[Database]:
    """Open a database without migrating, for a command that only reads the user's table. Our schema may be missing."""
    engine = make_engine(url)
    try:
        yield Database(engine, url.schema)
    finally:
        await engine.dispose()


class Store:
    """Holds the only engine of the process. As an async context manager, the store disposes of the engine at the end.
    `description` is for people and for /readyz: the revision of the last opened database's schema. `triggers` keeps the
    trigger on the user's table. `api_clock` is the API server's clock.
    """

    def __init__(
        self,
        read_url: Callable[[], str],
        *,
        may_migrate: bool,
        retention: timedelta = timedelta(days=30),
        item_retention: timedelta | None = None,
        api_clock: RemoteClock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_url = read_url
        self._may_migrate = may_migrate
        self.retention = retention
        self._url: str | None = None
        self._database: Database | None = None
        self._found: FoundSchema | None = None
        self._clock, self._api_clock = clock, api_clock
        self._database_clock = RemoteClock(clock)
        self._history_from = -math.inf
        self.triggers = Triggers(may_make=may_migrate)
        self._upkeep = Upkeep(retention=retention, item_retention=item_retention, may_build=may_migrate, clock=clock)
        self.description = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def skew(self) -> Skew | None:
        """How far the database's clock is ahead of the API server's. None: one of them has not been read."""
        return self._database_clock.ahead_of(self._api_clock) if self._api_clock else None

    async def open(self, *, make_table: bool = True) -> Database:
        """Return the database. If the schema may be used, make today's partitions, and begin to forget old days and to
        build missing indexes. `make_table` says whether a migration may make region_index.

        Raises MissingDatabaseUrlError, DatabaseUrlError, SchemaError, and what SQLAlchemy raises if the database is
        away.
        """
        url = self._read_url()
        if self._database is None or url != self._url:
            await self.close()
            database = await self._open(DatabaseUrl.parse(url), make_table=make_table)
            self._url = url
        else:
            database = await self._look_again(self._database, url, make_table=make_table)
        self._database = database
        if self._clock() >= self._history_from:
            self._database = database = replace(database, history=await read_history(database.engine))
            self._history_from = self._clock() + HISTORY_EVERY_SECONDS
        now = self._database_clock.now()
        if now is not None and not database.schema_conflict:
            await self._upkeep.make_partitions(database.engine, now.date())
            self._upkeep.begin(database.engine, now, self.skew)
        return database

    async def close(self) -> None:
        """Dispose of the engine and its connections. The next `open` makes a new engine."""
        database, self._database, self._found = self._database, None, None
        self._database_clock, self._history_from = RemoteClock(self._clock), -math.inf
        await self._upkeep.stop()
        if database is not None:
            await database.engine.dispose()

    async def _open(self, url: DatabaseUrl, *, make_table: bool) -> Database:
        if self._may_migrate:
            await _migrate(url, make_table=make_table)
        database = Database(make_engine(url), url.schema)
        try:
            found = await self._look(database.engine)
            if found.state in (SchemaState.MISSING, SchemaState.OLDER):
                raise SchemaError(f"the database's schema is {found.state}: run `region-operator migrate`")
        except BaseException:
            await database.engine.dispose()
            raise
        show_pool(database.engine)
        log.info("database opened", extra={"address": url.address, "revision": found.revision})
        return self._go_by(found, database)

    async def _look_again(self, database: Database, url: str, *, make_table: bool) -> Database:
        """Look at the schema again, and follow a change. If an older schema took its place, open anew.

        A lost schema is left to the queries, whose errors name what is missing, unless a newer release made the schema.
        """
        try:
            found = await self._look(database.engine)
        except ProgrammingError:
            return database
        if found != self._found and found.state in (SchemaState.CURRENT, SchemaState.NEWER):
            return self._go_by(found, database)
        lost = found.state is SchemaState.MISSING and database.schema_conflict
        if lost or found.state is SchemaState.OLDER:
            await self.close()  # a backup was brought back
            return await self._open(DatabaseUrl.parse(url), make_table=make_table)
        return database

    async def _look(self, engine: AsyncEngine) -> FoundSchema:
        """Look at the clock and the schema, in one transaction: every edit waits for this."""
        async with transaction(engine, timeout_seconds=10) as connection:
            await observe_clock(connection, self._database_clock)
            return await find_schema(connection)

    def _go_by(self, found: FoundSchema, database: Database) -> Database:
        """Use the schema in `found`, or leave the schema alone. Log a schema that is left alone, a newer schema, and a
        return to use.
        """
        self._found = found
        schema_conflict = "" if found.may_be_used_by(VERSION) else _why_left_alone(found)
        self.description = f"schema revision: {found.revision}\n{schema_conflict}".rstrip()
        if schema_conflict:
            log.warning("schema left alone", extra={"reason": schema_conflict})
        elif database.schema_conflict or found.state is SchemaState.NEWER:
            log.info("schema used", extra={"revision": found.revision, "min_reader": found.min_reader})
        return replace(database, schema_conflict=schema_conflict)


async def _migrate(url: DatabaseUrl, *, make_table: bool) -> None:
    """Bring a database to this release's schema. Leave a newer schema as it is, and the coming days to Upkeep, which
    goes on where the role may make none. Raises SchemaError.
    """
    try:
        report = await migrate(url, make_table=make_table, make_days=False)
    except NewerSchemaError:
        return
    except MigrationError as error:
        raise SchemaError(str(error)) from error
    told = {
        "before": report.before,
        "after": report.after,
        "region_table": report.region_table,
        "trigger": report.trigger,
    }
    log.info("migrated", extra=told)


def _why_left_alone(found: FoundSchema) -> str:
    wanted = f"release {found.min_reader} or newer" if found.min_reader else "a newer release"
    return (
        f"the schema {SCHEMA} is at revision {found.revision}, which release {VERSION} may not use,"
        f" so no ledger is kept: run {wanted}"
    )
