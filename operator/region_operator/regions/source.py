"""Reading the regions from the user's table or view. It is read, never written.

A table that cannot be read raises, so that nobody downstream can mistake it for a table without rows. What is wrong
with the table, and not with the database, raises errors of its own: what is to be done is another thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from psycopg import errors
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from region_operator.database.engine import first_line, transaction
from region_operator.database.region_table import Trigger, look_at_trigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.scheduler import Columns, Source

READ_TIMEOUT_SECONDS = 30
LOCK_TIMEOUT_SECONDS = 5


class UnreadableSourceError(Exception):
    """The table, a column or the right to it is missing, or is not what is believed; the message says which."""


class SlowSourceError(Exception):
    """The table was not read in time; the message says what took how long, and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's schema and name."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, *, default_schema: str) -> Self:
        """Read `name` or `schema.name`."""
        schema, dot, name = text.rpartition(".")
        return cls(schema if dot else default_schema, name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The active rows by id, keyed by the names of `crd.Columns`, and whether whoever listens would have heard of what
    changed since.
    """

    rows: Sequence[Mapping[str, Any]]
    trigger: Trigger


async def read_regions(engine: AsyncEngine, source: Source, *, default_schema: str) -> Reading:
    """Read the table, after a look at its trigger. Raises UnreadableSourceError, SlowSourceError, and what SQLAlchemy
    raises where the database is away.
    """
    table = Table.parse(source.table, default_schema=default_schema)
    try:
        async with transaction(
            engine, timeout_seconds=READ_TIMEOUT_SECONDS, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS
        ) as connection:
            trigger = await look_at_trigger(connection, schema=table.schema, table=table.name)
            rows = (await connection.execute(_select(table, source.columns))).mappings().all()
    except (ProgrammingError, DataError) as error:
        raise UnreadableSourceError(f"the region table {table} cannot be read: {first_line(error.orig)}") from error
    except DBAPIError as error:
        raise (_slow(table, error.orig) or error) from error
    return Reading(rows, trigger)


def _slow(table: Table, cause: BaseException | None) -> SlowSourceError | None:
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
