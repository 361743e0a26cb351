"""Opens the database when a reconcile first needs the database, and opens it anew after a change of the URL.

People create Secrets late and rotate them, so each `open` reads the URL again, and an engine lives only as long as its
URL. A newer release may migrate the database at any time, so each `open` also looks at the schema. If this release may
not use the schema, the operator leaves the schema alone and still reads the user's table. Migrations are left to
`migrate`, old rows to `retention`, missing indexes to `indexes`.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import DBAPIError, ProgrammingError

from region_operator.database.engine import make_engine, transaction
from region_operator.database.indexes import Indexes
from region_operator.database.migrate import MigrationError, NewerSchemaError, SchemaState, find_schema, migrate
from region_operator.database.partitions import ensure_partitions
from region_operator.database.retention import PASSING_FOR_SECONDS, forget, is_passing
from region_operator.database.triggers import Triggers
from region_tick.contract import SCHEMA, VERSION
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.database.migrate import FoundSchema

log = logging.getLogger(__name__)


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
    `description` is for people: the address of the last opened database, without the password, and the schema's
    revision. `triggers` keeps the trigger on the user's table.
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
        self._address = ""
        self._database: Database | None = None
        self._found: FoundSchema | None = None
        self._partitioned: date | None = None
        self._forgotten: date | None = None
        self._forget_from = -math.inf
        self._clock = clock
        self.triggers = Triggers(may_make=may_migrate)
        self._indexes = Indexes(may_build=may_migrate)
        self.description = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> Database:
        """Return the database. If the schema may be used, make today's partitions, drop old partitions, and begin to
        build missing indexes.

        Raises MissingDatabaseUrlError, DatabaseUrlError, SchemaError, and what SQLAlchemy raises if the database is
        away.
        """
        url = self._read_url()
        if self._database is None or url != self._url:
            await self.close()
            database = await self._open(DatabaseUrl.parse(url))
            self._url = url
        else:
            database = await self._look_again(self._database, url)
        self._database = database
        if not database.schema_conflict:
            await self._make_partitions(database.engine)
            await self._forget(database.engine)
            self._indexes.keep(database.engine, datetime.now(UTC).date())
        return database

    async def close(self) -> None:
        """Dispose of the engine and its connections. The next `open` makes a new engine."""
        database, self._database, self._partitioned, self._forgotten = self._database, None, None, None
        self._found, self._forget_from = None, -math.inf
        await self._indexes.stop()
        if database is not None:
            await database.engine.dispose()

    async def _open(self, url: DatabaseUrl) -> Database:
        if self._may_migrate:
            await _migrate(url)
        database = Database(make_engine(url), url.schema)
        try:
            found = await find_schema(database.engine)
            if found.state in (SchemaState.MISSING, SchemaState.OLDER):
                raise SchemaError(f"the database's schema is {found.state}: run `region-operator migrate`")
        except BaseException:
            await database.engine.dispose()
            raise
        self._address = url.address
        return self._go_by(found, database)

    async def _look_again(self, database: Database, url: str) -> Database:
        """Look at the schema again, and follow a change. If an older schema replaced a newer schema, open anew.

        A lost schema is left to the queries: their errors name what is missing.
        """
        try:
            found = await find_schema(database.engine)
        except ProgrammingError:
            return database
        if found != self._found and found.state in (SchemaState.CURRENT, SchemaState.NEWER):
            return self._go_by(found, database)
        if database.schema_conflict and found.state in (SchemaState.MISSING, SchemaState.OLDER):
            await self.close()  # a backup was brought back in the place of the newer schema
            return await self._open(DatabaseUrl.parse(url))
        return database

    def _go_by(self, found: FoundSchema, database: Database) -> Database:
        """Use the schema in `found`, or leave the schema alone. Log a schema that is left alone, a newer schema, and a
        return to use.
        """
        self._found = found
        schema_conflict = "" if found.may_be_used_by(VERSION) else _why_left_alone(found)
        self.description = f"database: {self._address}\nschema revision: {found.revision}\n{schema_conflict}".rstrip()
        if schema_conflict:
            log.warning("schema left alone", extra={"reason": schema_conflict})
        elif database.schema_conflict or found.state is SchemaState.NEWER:
            log.info("schema used", extra={"revision": found.revision, "min_reader": found.min_reader})
        return replace(database, schema_conflict=schema_conflict)

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
        """Delete what is older than the retention, once a day. After a temporary error, wait PASSING_FOR_SECONDS and
        try again.
        """
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


async def _migrate(url: DatabaseUrl) -> None:
    """Bring a database to this release's schema. Leave a newer schema as it is. Raises SchemaError."""
    try:
        report = await migrate(url)
    except NewerSchemaError:
        return
    except MigrationError as error:
        raise SchemaError(str(error)) from error
    log.info("migrated", extra=asdict(report))


def _why_left_alone(found: FoundSchema) -> str:
    wanted = f"release {found.min_reader} or newer" if found.min_reader else "a newer release"
    return (
        f"the schema {SCHEMA} is at revision {found.revision}, which release {VERSION} may not use,"
        f" so no ledger is kept: run {wanted}"
    )
