"""Builds the indexes that standing partitions of job_run lack, while ticks go on.

A revision makes a new index on job_run alone, without the partitions: otherwise all ticks would wait until a month of
rows is read. A new partition gets the index when it is made. For a standing partition the index is built concurrently
and attached then, partition by partition, the newest first (https://www.postgresql.org/docs/current/ddl-partitioning.
html). Building an index concurrently waits for every transaction that is under way, but lets nothing else wait. Nothing
depends on these indexes but the speed of queries. When to build is left to `upkeep`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

BUILD_SECONDS = 600
"""The time limit for one index of one partition. A transaction that lasts longer holds up the build."""

_MISSING = text("""
SELECT parent.relname AS parent, partition.relname AS partition, pg_get_indexdef(parent.oid) AS definition
FROM pg_index AS row
JOIN pg_class AS parent ON parent.oid = row.indexrelid
JOIN pg_inherits AS child ON child.inhparent = row.indrelid
JOIN pg_class AS partition ON partition.oid = child.inhrelid
WHERE row.indrelid = CAST(:table AS regclass) AND NOT EXISTS (
    SELECT FROM pg_inherits AS attached JOIN pg_index AS own ON own.indexrelid = attached.inhrelid
    WHERE attached.inhparent = parent.oid AND own.indrelid = partition.oid)
ORDER BY partition.relname DESC, parent.relname
""")


@dataclass(frozen=True, slots=True)
class MissingIndex:
    """An index of job_run that a partition lacks: the index's name and definition, and the partition's name."""

    parent: str
    partition: str
    definition: str

    @property
    def name(self) -> str:
        """The name of the partition's index."""
        return f"{self.partition}_{self.parent.removeprefix('job_run_')}"


async def find_missing_indexes(engine: AsyncEngine) -> list[MissingIndex]:
    """Return what is to be built, the newest partition first. Raises sqlalchemy.exc.DBAPIError."""
    async with transaction(engine) as connection:
        rows = await connection.execute(_MISSING, {"table": f"{SCHEMA}.job_run"})
        return [MissingIndex(row.parent, row.partition, row.definition) for row in rows]


async def build_indexes(engine: AsyncEngine) -> list[str]:
    """Build the missing indexes, and return their names. What was built before an error stays.

    Raises sqlalchemy.exc.DBAPIError, and TimeoutError if one index takes more than BUILD_SECONDS.
    """
    built: list[str] = []
    for missing in await find_missing_indexes(engine):
        async with asyncio.timeout(BUILD_SECONDS):
            await _build(engine, missing)
        built.append(missing.name)
    return built


async def _build(engine: AsyncEngine, missing: MissingIndex) -> None:
    """Build and attach one index. A build that was cut off earlier left a useless index of the name, which goes."""
    body = missing.definition.partition(" USING ")[2]
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{missing.name}"))
        create = f"CREATE INDEX CONCURRENTLY {missing.name} ON {SCHEMA}.{missing.partition} USING {body}"
        await connection.exec_driver_sql(create, execution_options={"no_parameters": True})
    async with transaction(engine) as connection:
        attach = f"ALTER INDEX {SCHEMA}.{missing.parent} ATTACH PARTITION {SCHEMA}.{missing.name}"
        await connection.execute(text(attach))
