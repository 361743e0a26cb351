"""A database as its owner changes and asks it, and the state of its schema."""

from __future__ import annotations

import psycopg

from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import FoundSchema, SchemaState, find_schema
from region_tick.database_url import DatabaseUrl


def run(database: str, *statements: str) -> None:
    """Run statements as the database's owner."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def value(database: str, query: str) -> object:
    """Return the one value of a query."""
    with psycopg.connect(database) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


async def found(database: str) -> FoundSchema:
    """Return the schema of a database as this release finds it."""
    engine = make_engine(DatabaseUrl.parse(database))
    try:
        async with transaction(engine) as connection:
            return await find_schema(connection)
    finally:
        await engine.dispose()


async def state(database: str) -> SchemaState:
    """Return the state of a database's schema."""
    return (await found(database)).state
