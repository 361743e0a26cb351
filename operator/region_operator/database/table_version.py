"""One cheap question to the catalog: has anybody altered, replaced or dropped the table of regions, or its triggers?

A table that was dropped and made again has no trigger, so no notification tells of its edits, or of the drop itself. An
event trigger would tell, but needs a superuser. So the listening connection asks this question beside its probe. The
answer has no meaning but for its difference from what the last reading of the table found. What a difference means is
left to the reconcile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

TABLE_VERSION = sql.SQL("""
WITH source AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema} AND c.relname = {table}
), member AS (
    SELECT oid FROM source UNION SELECT relid FROM source, pg_partition_tree(source.oid)
), version AS (
    SELECT 'relation', c.oid, c.xmin FROM member JOIN pg_class c USING (oid)
    UNION ALL SELECT 'column', a.attnum, a.xmin FROM source JOIN pg_attribute a ON a.attrelid = source.oid
    UNION ALL SELECT 'trigger', t.oid, t.xmin FROM member JOIN pg_trigger t ON t.tgrelid = member.oid
    UNION ALL SELECT 'view', r.oid, r.xmin FROM source JOIN pg_rewrite r ON r.ev_class = source.oid
    UNION ALL SELECT 'child', i.inhrelid, i.xmin FROM source JOIN pg_inherits i ON i.inhparent = source.oid
)
SELECT md5(string_agg(version::text, ',' ORDER BY version::text)) FROM version
""")
"""Yields one row with one text, or null without the table. `xmin` is the transaction that wrote a row of the catalog
last: every ALTER, CREATE OR REPLACE and TRUNCATE writes one. VACUUM and ANALYZE write their figures in place, which
leaves `xmin` as it is (heap_inplace_update). Takes no lock of the table.
"""


def ask_table_version(*, schema: str, table: str) -> sql.Composed:
    """Return the question about one table."""
    return TABLE_VERSION.format(schema=sql.Literal(schema), table=sql.Literal(table))


async def read_table_version(connection: AsyncConnection, *, schema: str, table: str) -> str | None:
    """Return the version of a table, None without the table. Raises sqlalchemy.exc.DBAPIError."""
    question = ask_table_version(schema=schema, table=table).as_string()
    answer = await connection.exec_driver_sql(question, execution_options={"no_parameters": True})
    version: str | None = answer.scalar_one()
    return version
