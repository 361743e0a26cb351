"""Reading the regions from the user's table or view. It is read, never written.

A table that cannot be read raises, so that nobody downstream can mistake it for a table without rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from region_operator.database.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.crd import Columns, Source

READ_TIMEOUT_SECONDS = 30


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


async def read_regions(engine: AsyncEngine, source: Source, *, default_schema: str) -> Sequence[Mapping[str, Any]]:
    """Return the active rows by id, keyed by the names of `crd.Columns`. Raises what SQLAlchemy raises where the table
    cannot be read.
    """
    table = Table.parse(source.table, default_schema=default_schema)
    async with transaction(engine, timeout_seconds=READ_TIMEOUT_SECONDS) as connection:
        rows: Sequence[Mapping[str, Any]] = (await connection.execute(_select(table, source.columns))).mappings().all()
    return rows


def _select(table: Table, columns: Columns) -> sa.Select[Any]:
    names = columns.model_dump(exclude_none=True)
    active = sa.column(names.pop("active"), sa.Boolean)
    selected: list[sa.Label[Any]] = [sa.column(name).label(key) for key, name in names.items()]
    return (
        sa.select(*selected).select_from(sa.table(table.name, schema=table.schema)).where(active).order_by(selected[0])
    )
