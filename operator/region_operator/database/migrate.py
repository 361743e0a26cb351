"""Brings a database to the schema of this release, and tells how a database stands.

A migration is one transaction under an advisory lock. So concurrent migrations wait for each other, and a failed
migration changes nothing. The user's table is made together with our first tables and never again. If somebody renames
the table for an hour, a new empty table in its place would mean "no regions". There is no way back to an older schema.
The comments are left to `comments`, the partitions to `partitions`, the user's table to `default_table` and its
triggers to `region_table`. A migration knows nothing of spec.source: it makes the triggers of region_index, if that has
the default columns. The operator makes all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, InternalError
from sqlalchemy.schema import CreateSchema

from region_operator.database.comments import ensure_comments
from region_operator.database.compatibility import may_use
from region_operator.database.default_table import RegionTable, ensure_region_table
from region_operator.database.engine import first_line, is_away, make_engine, set_up, transaction
from region_operator.database.giving_way import explain_holders, wait_briefly
from region_operator.database.partitions import LOCK, ensure_partitions
from region_operator.database.region_table import Trigger, ensure_trigger, has_schema
from region_operator.database.tables import REGION_INDEX, compatibility
from region_operator.scheduler import Columns
from region_tick.contract import MADE_FOR_TESTS, SCHEMA

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from region_tick.database_url import DatabaseUrl

TIMEOUT_SECONDS = 120
"""The time limit of a whole migration. The wait for a migration that runs already counts too."""

LOCK_TIMEOUT_SECONDS = 5
"""The longest wait of a statement for a lock. The readers of the table queue behind a waiting change of the schema."""

MIGRATIONS = Path(__file__).with_name("migrations")
"""The folder of env.py and the revisions, for Alembic. The name of a revision's file begins with the revision's number.
"""

_REVISION = f"SELECT version_num FROM {SCHEMA}.alembic_version"  # noqa: S608 - a constant

_COMMENT = text("SELECT obj_description(CAST(:schema AS regnamespace), 'pg_namespace')")
_MAY_READ = text(
    "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relname = :table AND has_table_privilege(c.oid, 'SELECT'))"
)


class MigrationError(RuntimeError):
    """The database cannot be brought to this release's schema; the message says why and what to do."""


class NewerSchemaError(MigrationError):
    """The database's schema is newer than the schema of this release. This release can migrate nothing."""


class SchemaState(StrEnum):
    """How a database's schema compares with the schema of this release."""

    MISSING = "missing"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class FoundSchema:
    """What `find_schema` found out about a database's schema."""

    state: SchemaState
    revision: str | None
    """None in a database without our schema."""
    min_reader: str | None
    """The oldest release that may use the schema. Read only if the schema is newer than the schema of this release."""

    def may_be_used_by(self, release: str) -> bool:
        """Tell whether `release` may read and write the tables that the schema has."""
        known = self.state is not SchemaState.NEWER
        return may_use(revision_known=known, min_reader=self.min_reader, release=release)


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration found and did."""

    before: str | None
    """The revision before the migration. None in a database without our schema."""
    after: str
    region_table: RegionTable
    trigger: Trigger
    partitions: list[date]
    """The UTC days for which the migration made a partition of job_run."""


async def migrate(
    url: DatabaseUrl, *, make_table: bool = True, make_days: bool = True, today: date | None = None
) -> MigrationReport:
    """Bring a database to the schema of this release, with comments, partitions, and the user's table with its trigger.
    Harmless to repeat.

    `make_table` says whether region_index may be made, in a new database that has no other table. With `make_days`,
    job_run gets partitions from the UTC day `today` on. The default is the day of the database's clock.

    Raises MigrationError, TimeoutError, and sqlalchemy.exc.DBAPIError if the database is away (engine.is_away).
    """
    engine = make_engine(url)
    try:
        async with transaction(
            engine, timeout_seconds=TIMEOUT_SECONDS, lock_timeout_seconds=TIMEOUT_SECONDS
        ) as connection:
            return await _migrate(connection, url.schema, today, make_table=make_table, make_days=make_days)
    except DBAPIError as error:
        if isinstance(error.orig, errors.InsufficientPrivilege):
            raise MigrationError(
                f"the role of DATABASE_URL may not make the schema {SCHEMA}: {first_line(error.orig)}."
                " Grant it CREATE on the database, or run `region-operator migrate` with the URL of a role that has it"
            ) from error
        if isinstance(error.orig, errors.LockNotAvailable):
            raise MigrationError(
                f"the migration to revision {newest_revision()} gave way, and changed nothing:"
                f" {await explain_holders(engine)}"
            ) from error
        if is_away(error):
            raise
        raise MigrationError(
            f"the migration to revision {newest_revision()} failed, and changed nothing: {first_line(error.orig)}"
        ) from error
    finally:
        await engine.dispose()


async def find_schema(connection: AsyncConnection) -> FoundSchema:
    """Compare a database's schema with this release's schema. A revision that this release does not know is newer.

    Raises sqlalchemy.exc.DBAPIError.
    """
    revision = await _revision(connection)
    state = _state(revision)
    min_reader = await _min_reader(connection) if state is SchemaState.NEWER else None
    return FoundSchema(state, revision, min_reader)


def newest_revision() -> str:
    """Return the revision of this release's schema."""
    return max(_known_revisions())


def _known_revisions() -> set[str]:
    return {path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")}


def _state(revision: str | None) -> SchemaState:
    if revision is None:
        return SchemaState.MISSING
    if revision == newest_revision():
        return SchemaState.CURRENT
    return SchemaState.OLDER if revision in _known_revisions() else SchemaState.NEWER


async def _migrate(
    connection: AsyncConnection, schema: str, today: date | None, *, make_table: bool, make_days: bool
) -> MigrationReport:
    await connection.execute(LOCK)
    await set_up(connection, statement_seconds=TIMEOUT_SECONDS, lock_seconds=LOCK_TIMEOUT_SECONDS)
    before = await _revision(connection)
    state = _state(before)
    if state is SchemaState.NEWER:
        raise NewerSchemaError(
            f"the schema {SCHEMA} is at revision {before}, which this release does not know: run a newer release"
        )
    if state is not SchemaState.CURRENT:
        await _upgrade(connection)
    await ensure_comments(connection)
    make = (
        make_table and before is None and schema != SCHEMA
    )  # in our schema nobody would look for a table of the user's
    region_table = await ensure_region_table(connection, schema=schema, make=make)
    now = (await connection.execute(text("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"))).scalar_one()
    return MigrationReport(
        before=before,
        after=newest_revision(),
        region_table=region_table,
        trigger=await ensure_trigger(connection, schema=schema, table=REGION_INDEX, columns=Columns()),
        partitions=await _partitions(connection, today or now) if make_days else [],
    )


async def _partitions(connection: AsyncConnection, today: date) -> list[date]:
    """Make the missing partitions and return their days. Make none on a read-only server, which can still be read."""
    try:
        return await ensure_partitions(connection, today)
    except InternalError as error:
        if not isinstance(error.orig, errors.ReadOnlySqlTransaction):
            raise
        return []


async def _upgrade(connection: AsyncConnection) -> None:
    from alembic import command  # a fifth of the operator's start, and nearly every start finds nothing to upgrade
    from alembic.config import Config

    if not await has_schema(connection, SCHEMA):  # alembic_version needs it before the first revision runs
        await connection.execute(CreateSchema(SCHEMA))
    elif (await connection.execute(_COMMENT, {"schema": SCHEMA})).scalar_one() == MADE_FOR_TESTS:
        raise MigrationError(
            f"the schema {SCHEMA} was made by tests of handlers: give the tests a database of their own, or delete the"
            f" schema with all their rows: DROP SCHEMA {SCHEMA} CASCADE"
        )

    await wait_briefly(connection, most_seconds=LOCK_TIMEOUT_SECONDS)

    def upgrade(sync: Connection) -> None:
        config = Config(attributes={"connection": sync})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "head")

    await connection.run_sync(upgrade)


async def _revision(connection: AsyncConnection) -> str | None:
    """Return the revision of the database, or None without our schema."""
    exists = await connection.execute(
        text("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = :schema AND tablename = 'alembic_version')"),
        {"schema": SCHEMA},
    )
    if not exists.scalar_one():
        return None
    return (await connection.execute(text(_REVISION))).scalar_one_or_none()


async def _min_reader(connection: AsyncConnection) -> str | None:
    """Return the oldest release that may use the schema. Return None without `min_reader`, or without the right to read
    the table.
    """
    if not (await connection.execute(_MAY_READ, {"schema": SCHEMA, "table": compatibility.name})).scalar_one():
        return None
    return (await connection.execute(select(compatibility.c.min_reader))).scalar_one_or_none()
