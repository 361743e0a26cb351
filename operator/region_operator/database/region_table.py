"""The user's table of regions: made where it is missing, and given the trigger that tells of its changes.

It may be a view, have an id of another type, belong to someone else. So it is never altered but for the trigger; and
the trigger is a luxury, since without it the operator sees a change at its next refresh. What cannot be done here is
therefore reported, not raised.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema, CreateTable

from region_operator.database.tables import region_index
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

TRIGGER = "region_tick_notify"
"""The name of the trigger, the same on every table of regions."""

_REFUSED = (errors.InsufficientPrivilege, errors.LockNotAvailable)

_FIRES = ("O", "A")
"""pg_trigger.tgenabled of a trigger that ordinary sessions fire; not of one that is disabled, or for replicas only."""

_RELATION = text(
    "SELECT c.relkind::text AS kind,"
    " (SELECT t.tgenabled::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = :trigger) AS enabled,"
    " has_table_privilege(c.oid, 'TRIGGER') AS allowed"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relname = :name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
)


class RegionTable(StrEnum):
    """What became of region_index in the URL's schema."""

    CREATED = "created"
    FOUND = "found"
    MISSING = "missing"
    """It is not there, and was not made: there is no right to, or it was there once."""


class Trigger(StrEnum):
    """What became of the trigger that notifies of changes."""

    CREATED = "created"
    FOUND = "found"
    DISABLED = "disabled"
    """It is there, but somebody disabled it: that is his to undo."""
    MISSING = "missing"
    """It is not there, and could be made."""
    NO_TABLE = "no table"
    """There is a view or nothing, on which no trigger would fire."""
    REFUSED = "refused"
    """There is no right to make one, the table was locked for too long, or nothing can be written."""

    @property
    def fires(self) -> bool:
        """Whether edits of the table are notified."""
        return self in (Trigger.CREATED, Trigger.FOUND)


async def ensure_region_table(connection: AsyncConnection, *, schema: str, make: bool) -> RegionTable:
    """Tell whether `schema` has a region_index; where it has none and `make` says so, make the default one."""
    if await _relation(connection, schema, region_index.name) is not None:
        return RegionTable.FOUND
    if not make:
        return RegionTable.MISSING
    table = region_index.to_metadata(MetaData(naming_convention=region_index.metadata.naming_convention), schema=schema)
    try:
        async with connection.begin_nested():
            if not await has_schema(connection, schema):
                await connection.execute(CreateSchema(schema))
            await connection.execute(CreateTable(table))
    except DBAPIError as error:
        if isinstance(error.orig, _REFUSED):
            return RegionTable.MISSING
        raise
    return RegionTable.CREATED


async def look_at_trigger(connection: AsyncConnection, *, schema: str, table: str) -> Trigger:
    """Tell how `schema.table` stands to its trigger, by one query of the catalog."""
    relation = await _relation(connection, schema, table)
    if relation is None or relation.kind not in ("r", "p"):
        return Trigger.NO_TABLE
    if relation.enabled is not None:
        return Trigger.FOUND if relation.enabled in _FIRES else Trigger.DISABLED
    return Trigger.MISSING if relation.allowed else Trigger.REFUSED


async def ensure_trigger(connection: AsyncConnection, *, schema: str, table: str) -> Trigger:
    """Have `schema.table` notify contract.CHANGES_CHANNEL of every statement that writes to it."""
    found = await look_at_trigger(connection, schema=schema, table=table)
    if found is not Trigger.MISSING:
        return found
    quote = connection.dialect.identifier_preparer.quote_identifier
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql(
                f"CREATE TRIGGER {TRIGGER} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE"
                f" ON {quote(schema)}.{quote(table)} FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.notify_change()"
            )
    except DBAPIError as error:
        if isinstance(error.orig, (*_REFUSED, errors.ReadOnlySqlTransaction)):
            return Trigger.REFUSED
        raise
    return Trigger.CREATED


async def has_schema(connection: AsyncConnection, name: str) -> bool:
    """Tell whether a schema exists. CREATE SCHEMA IF NOT EXISTS asks for the right to make one even where it does."""
    found = await connection.execute(
        text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :name)"), {"name": name}
    )
    return bool(found.scalar_one())


async def _relation(connection: AsyncConnection, schema: str, name: str) -> Row[tuple[str, str | None, bool]] | None:
    return (await connection.execute(_RELATION, {"schema": schema, "name": name, "trigger": TRIGGER})).one_or_none()
