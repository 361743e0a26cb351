"""A database as its owner changes and asks it, and the state of its schema."""

from __future__ import annotations

import asyncio
import shutil
from importlib.resources import files
from typing import TYPE_CHECKING

import psycopg

from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import FoundSchema, SchemaState, find_schema, migrate
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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


def migrate_before(revision: str, database: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Migrate an empty database as the release before a revision leaves it. `folder` is the test's own."""
    older = folder / "older"
    shutil.copytree(files("region_operator.database") / "migrations", older)  # type: ignore[arg-type]
    for file in (older / "versions").glob("[0-9]*.py"):
        if file.name >= revision:
            file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("region_operator.database.migrate.MIGRATIONS", older)
        asyncio.run(migrate(DatabaseUrl.parse(database)))
