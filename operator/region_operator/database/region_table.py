"""Creates the user's table of regions if missing, and the trigger that notifies the operator of edits.

The user's table may be a view, have an id of another type, or belong to another role. So the operator never alters the
table, except for the trigger. The trigger is a luxury: without the trigger, the operator sees an edit at the next
refresh. So a trigger or a table that cannot be made is reported, not raised. When the trigger is made is left to
`triggers`.
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
"""The values of pg_trigger.tgenabled for a trigger that ordinary sessions fire, neither disabled nor for replicas only.
"""

_RELATION = text(
    "SELECT c.relkind::text AS kind,"
    " (SELECT t.tgenabled::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = :trigger) AS enabled,"
    " has_table_privilege(c.oid, 'TRIGGER') AS allowed"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relname = :name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
)


class RegionTable(StrEnum):
    """The state of region_index in the URL's schema."""

    CREATED = "created"
    FOUND = "found"
    MISSING = "missing"
    """The table does not exist and was not created, because the right is missing, or because the table existed once."""


class Trigger(StrEnum):
    """The state of the trigger that notifies of edits."""

    CREATED = "created"
    FOUND = "found"
    DISABLED = "disabled"
    """The trigger exists, but somebody disabled the trigger. Only that person can know whether to enable it."""
    MISSING = "missing"
    """The trigger does not exist, and could be made."""
    NO_TABLE = "no table"
    """No table exists, or only a view. A trigger on a view would not fire."""
    REFUSED = "refused"
    """The trigger cannot be made: no right, a table locked for too long, or a read-only server."""

    @property
    def fires(self) -> bool:
        """Whether an edit of the table notifies the operator."""
        return self in (Trigger.CREATED, Trigger.FOUND)


async def ensure_region_table(connection: AsyncConnection, *, schema: str, make: bool) -> RegionTable:
    """Return the state of region_index in `schema`. Create the default table if missing, and if `make` is true.

    Raises sqlalchemy.exc.DBAPIError, except for a missing right or a lock held for too long.
    """
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
    """Return the state of the trigger on `schema.table`, by one query of the catalog. Makes nothing."""
    relation = await _relation(connection, schema, table)
    if relation is None or relation.kind not in ("r", "p"):
        return Trigger.NO_TABLE
    if relation.enabled is not None:
        return Trigger.FOUND if relation.enabled in _FIRES else Trigger.DISABLED
    return Trigger.MISSING if relation.allowed else Trigger.REFUSED


async def ensure_trigger(connection: AsyncConnection, *, schema: str, table: str) -> Trigger:
    """Make the trigger on `schema.table` if the trigger is missing; return the trigger's state.

    The trigger notifies contract.CHANGES_CHANNEL after every statement that writes to the table. Raises
    sqlalchemy.exc.DBAPIError, except for a missing right, a lock held for too long or a read-only server.
    """
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
    """Return whether a schema exists.

    Call this function before CREATE SCHEMA: CREATE SCHEMA IF NOT EXISTS needs the right to create, even if the schema
    exists.
    """
    result = await connection.execute(
        text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :name)"), {"name": name}
    )
    return bool(result.scalar_one())


async def _relation(connection: AsyncConnection, schema: str, name: str) -> Row[tuple[str, str | None, bool]] | None:
    return (await connection.execute(_RELATION, {"schema": schema, "name": name, "trigger": TRIGGER})).one_or_none()
