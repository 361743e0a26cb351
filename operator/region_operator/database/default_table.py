"""Creates region_index, the table of regions by default, in a new database that has no other table.

An application's tables belong to the application's own migrations. Prisma refuses to begin in a schema that has a table
(P3005), `prisma db push` drops a table that Prisma does not know, and Alembic writes a migration that drops it. So the
operator makes no table beside others, and no schema. A table that is not made is reported, not raised: reading the
table says what to do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg import errors
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from region_operator.database.region_table import has_schema
from region_operator.database.tables import region_index
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_RELATION = text(
    "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relname = :table AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))"
)

_OTHER_TABLES = text("""
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', :ours) AND pg_get_userbyid(c.relowner) !~ '^supabase_'
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
    )
)
""")
"""Whether the database has tables or views of the user's. What belongs to an extension (PostGIS) or to Supabase itself
does not count.
"""


class RegionTable(StrEnum):
    """The state of region_index in the URL's schema."""

    CREATED = "created"
    FOUND = "found"
    MISSING = "missing"
    """The table does not exist and was not created: nobody wants it, the right or the URL's schema is missing, or the
    table existed once.
    """
    BESIDE_OTHERS = "not made beside other tables"
    """The table does not exist and was not created, because the database has other tables. They belong to an
    application, whose migrations would trip over region_index or drop it.
    """


async def ensure_region_table(connection: AsyncConnection, *, schema: str, make: bool) -> RegionTable:
    """Return the state of region_index in `schema`. Create the default table if it is missing, `make` is true, the
    schema exists, and the database has no table but ours and those of extensions.

    Raises sqlalchemy.exc.DBAPIError, except for a missing right or a lock held for too long.
    """
    if (await connection.execute(_RELATION, {"schema": schema, "table": region_index.name})).scalar_one():
        return RegionTable.FOUND
    if not make or not await has_schema(connection, schema):
        return RegionTable.MISSING
    if (await connection.execute(_OTHER_TABLES, {"ours": SCHEMA})).scalar_one():
        return RegionTable.BESIDE_OTHERS
    table = region_index.to_metadata(MetaData(naming_convention=region_index.metadata.naming_convention), schema=schema)
    try:
        async with connection.begin_nested():
            await connection.execute(CreateTable(table))
    except DBAPIError as error:
        if isinstance(error.orig, (errors.InsufficientPrivilege, errors.LockNotAvailable)):
            return RegionTable.MISSING
        raise
    return RegionTable.CREATED
