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

from region_operator.database.engine import first_line, transaction
from region_operator.database.region_table import Trigger, look_at_trigger
from region_operator.runtime.slices import run_in_slices
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.scheduler import Columns, Source

READ_TIMEOUT_SECONDS = 30
LOCK_TIMEOUT_SECONDS = 5
ROWS_AT_ONCE = 1000


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

    `rows` are the active rows, sorted by id; a row's keys are the field names of `scheduler.Columns`. `trigger` says
    whether a change after the reading causes a notification.
    """

    rows: Sequence[Mapping[str, Any]]
    trigger: Trigger


async def read_regions(engine: AsyncEngine, source: Source, *, default_schema: str) -> Reading:
    """Look at the table's triggers, then read the table.

    Raises UnreadableSourceError, SlowSourceError, and SQLAlchemy's errors if the database is away.
    """
    table = Table.parse(source.table, default_schema=default_schema)
    if table.schema == SCHEMA:
        raise UnreadableSourceError(
            f"the region table {table} is in the operator's own schema, which migrations change: move it to another"
            " schema, and name that in spec.source.table or in DATABASE_URL's ?schema="
        )
    try:
        async with transaction(
            engine, timeout_seconds=READ_TIMEOUT_SECONDS, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS
        ) as connection:
            trigger = await look_at_trigger(connection, schema=table.schema, table=table.name, columns=source.columns)
            result = await connection.execute(_select(table, source.columns))
            rows = await run_in_slices(_as_dicts(result))
    except (ProgrammingError, DataError) as error:
        raise UnreadableSourceError(f"the region table {table} cannot be read: {first_line(error.orig)}") from error
    except DBAPIError as error:
        raise (_timeout_error(table, error.orig) or error) from error
    return Reading(rows, trigger)


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


def _select(table: Table, columns: Columns) -> sa.Select[Any]:
    names = columns.model_dump(exclude_none=True)
    active = sa.column(names.pop("active"), sa.Boolean)
    selected: list[sa.Label[Any]] = [sa.column(name).label(key) for key, name in names.items()]
    return (
        sa.select(*selected).select_from(sa.table(table.name, schema=table.schema)).where(active).order_by(selected[0])
    )
