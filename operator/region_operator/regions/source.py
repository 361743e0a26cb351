"""Reads the regions from the user's table or view, and never writes to the table.

An unreadable table raises an error, so no caller can mistake an unreadable table for an empty table. A
problem of the table raises an error of this module, because the remedy differs from the remedy for a database that is
away. The rows stay unchecked; `region` checks the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from psycopg import errors
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from region_operator.database.engine import first_line, is_away, transaction
from region_operator.database.region_table import Trigger, look_at_trigger
from region_operator.database.table_version import read_table_version
from region_operator.regions.row_values import text_of
from region_operator.regions.slots import ALL_SLOTS, slot_of
from region_operator.runtime.slices import run_in_slices
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.regions.slots import Slots
    from region_operator.scheduler import Columns, Source

READ_TIMEOUT_SECONDS = 30
LOCK_TIMEOUT_SECONDS = 5
ROWS_AT_ONCE = 1000
ROWS_BEYOND = 1000
"""How many rows more than spec.maxRegions are read. So a table that is a little too large is followed as a whole."""

_PREPARE = sa.text("""
WITH policy AS (
    SELECT polpermissive AS permits, coalesce(pg_get_expr(polqual, polrelid), 'true') = 'true' AS everything
    FROM pg_policy JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :table AND polcmd IN ('r', '*')
    AND EXISTS (SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))
)
SELECT set_config('row_security', CASE
    WHEN coalesce(bool_or(everything) FILTER (WHERE permits), false)
        AND coalesce(bool_and(everything) FILTER (WHERE NOT permits), true) THEN 'on' ELSE 'off' END, true),
    set_config('client_encoding', CASE
        WHEN :ascii AND current_setting('server_encoding') = 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, true)
FROM policy
""")
"""Makes Postgres refuse a query from which row security would hide rows: row security hides them and says nothing. With
row_security off, Postgres also refuses where a policy shows every row, so such a policy is looked for. And a database
in SQL_ASCII gives its bytes as they are, where it would refuse the whole query for a byte that is not UTF-8. `ascii`
says whether the query is in ASCII, because psycopg sends queries in the session's encoding.
"""

_REMEDIES = {
    errors.UndefinedTable: "create it, or name the table in spec.source.table and its schema in DATABASE_URL's schema="
    " (region_index is made only in a database that has no other table, and not with spec.source.create: false)",
    errors.UndefinedColumn: "name the table's columns in spec.source.columns",
    errors.DatatypeMismatch: "spec.source.columns.active must name a boolean column: add one that is GENERATED ALWAYS"
    " AS (status = 'ACTIVE') STORED, or name a view that selects it so",
    errors.ObjectNotInPrerequisiteState: "REFRESH MATERIALIZED VIEW {table}",
    errors.InsufficientPrivilege: "GRANT SELECT ON {table} TO the operator's role",
}
_HIDDEN_ROWS = "row-level security"
_REMEDY_FOR_HIDDEN_ROWS = (
    "row security would hide rows from the operator's role: ALTER ROLE ... BYPASSRLS, or, where {table} is a table"
    " itself, CREATE POLICY ... ON {table} FOR SELECT TO that role USING (true)"
)


class UnreadableSourceError(Exception):
    """The table, a column or the right to read is missing, or a column has a wrong type. The message says which."""


class SlowSourceError(Exception):
    """The table was not read in time. The message says what took how long, and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's schema and name."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, *, default_schema: str) -> Self:
        """Parse `name` or `schema.name`."""
        schema, dot, name = text.rpartition(".")
        return cls(schema if dot else default_schema, name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading the table.

    `rows` are the active rows, sorted by id; a row's keys are the field names of `scheduler.Columns`. `complete` says
    that the table has no more active rows. `trigger` says whether a change after the reading causes a notification,
    and `version` is the table's version before the reading (`database.table_version`).
    """

    rows: Sequence[Mapping[str, Any]]
    trigger: Trigger
    version: str | None
    complete: bool = True


async def read_regions(
    engine: AsyncEngine,
    source: Source,
    *,
    default_schema: str,
    slots: Slots = ALL_SLOTS,
    max_rows: int = 10_000 + ROWS_BEYOND,
) -> Reading:
    """Look at the table's triggers, then read the table's regions in `slots`, at most the first `max_rows` active rows.

    Raises UnreadableSourceError, SlowSourceError, and SQLAlchemy's errors if the database is away.
    """
    table = Table.parse(source.table, default_schema=default_schema)
    if table.schema == SCHEMA:
        raise UnreadableSourceError(
            f"the region table {table} is in the operator's own schema, which migrations change: move it to another"
            " schema, and name that in spec.source.table or in DATABASE_URL's ?schema="
        )
    select = _select(table, source.columns, slots).limit(max_rows + 1)
    names = {"schema": table.schema, "table": table.name}
    try:
        async with transaction(
            engine, timeout_seconds=READ_TIMEOUT_SECONDS, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS
        ) as connection:
            await connection.execute(_PREPARE, names | {"ascii": str(select).isascii()})
            version = await read_table_version(connection, schema=table.schema, table=table.name)
            trigger = await look_at_trigger(connection, schema=table.schema, table=table.name, columns=source.columns)
            result = await connection.execute(select)
            rows = await run_in_slices(_as_dicts(result))
    except DBAPIError as error:
        raise (_timeout_error(table, error.orig) or _unreadable_error(table, error) or error) from error
    _check_slots(table, rows, slots)
    return Reading(rows[:max_rows], trigger, version, complete=len(rows) <= max_rows)


def _as_dicts(result: sa.CursorResult[Any]) -> Generator[None, None, list[dict[str, Any]]]:
    """Return the rows, each by its keys. Yield after each ROWS_AT_ONCE rows.

    A server-side cursor would give the rows in portions too, but Postgres plans for the first tenth of a cursor's rows.
    """
    keys, rows = tuple(result.keys()), list[dict[str, Any]]()
    for portion in result.partitions(ROWS_AT_ONCE):
        rows += [dict(zip(keys, row, strict=True)) for row in portion]
        yield
    return rows


def _timeout_error(table: Table, cause: BaseException | None) -> SlowSourceError | None:
    """Return the error for a reading that took too long, or None for any other cause."""
    match cause:
        case errors.QueryCanceled():
            what = f"{table} was not read within {READ_TIMEOUT_SECONDS:g} s"
            remedy = "EXPLAIN what it selects; a view may need an index, or to be a materialized one"
        case errors.LockNotAvailable():
            what = f"{table} was locked for more than {LOCK_TIMEOUT_SECONDS:g} s"
            remedy = "pg_locks says by whom; an ALTER TABLE or a VACUUM FULL may be under way"
        case _:
            return None
    return SlowSourceError(f"{what} ({cause.diag.message_primary}): {remedy}")


def _unreadable_error(table: Table, error: DBAPIError) -> UnreadableSourceError | None:
    """Return the error for a table that Postgres refuses to read, with the remedy, or None if the database is away."""
    if is_away(error) and not isinstance(error, ProgrammingError | DataError):
        return None
    remedies = [remedy for kind, remedy in _REMEDIES.items() if isinstance(error.orig, kind)]
    if _HIDDEN_ROWS in str(error.orig):
        remedies = [_REMEDY_FOR_HIDDEN_ROWS]
    said = [first_line(error.orig), *(remedy.format(table=table) for remedy in remedies)]
    return UnreadableSourceError(f"the region table {table} cannot be read: {': '.join(said)}")


def _check_slots(table: Table, rows: Sequence[Mapping[str, Any]], slots: Slots) -> None:
    """Refuse ids whose texts differ between Postgres and Python: the slots differ too. Raises UnreadableSourceError."""
    if slots == ALL_SLOTS:
        return
    for row in rows:
        if slot_of(text_of(row["id"])) not in slots:
            raise UnreadableSourceError(
                f"the region table {table} cannot be divided into shards: its ids have a type whose text is ambiguous,"
                f" e.g. {text_of(row['id'])}: use uuid, bigint or text, by a view if need be"
            )


def _select(table: Table, columns: Columns, slots: Slots) -> sa.Select[Any]:
    names = columns.model_dump(exclude_none=True)
    active = sa.column(names.pop("active"), sa.Boolean)
    selected: list[sa.Label[Any]] = [_selected(key, name) for key, name in names.items()]
    query = sa.select(*selected).select_from(sa.table(table.name, schema=table.schema)).where(active)
    if slots != ALL_SLOTS:
        wanted = sa.any_(sa.literal(sorted(slots), sa.ARRAY(sa.Integer)))
        query = query.where(_slot(selected[0].element) == wanted if slots else sa.false())
    return query.order_by(selected[0])


def _selected(key: str, name: str) -> sa.Label[Any]:
    """Return a column under its key. Params are read as Postgres writes them: Python would round their numbers."""
    column: sa.ColumnElement[Any] = sa.column(name)
    return (sa.cast(column, sa.Text) if key == "params" else column).label(key)


def _slot(region_id: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Return the slot of a region as `slots.slot_in_sql` does, from a column whose name may need quotes.

    A row without an id has a slot too, so that one of the shards says what is wrong with the row.
    """
    text = sa.func.coalesce(sa.cast(region_id, sa.Text), "")
    return sa.func.get_byte(sa.func.sha256(sa.func.convert_to(text, "UTF8")), 0)
