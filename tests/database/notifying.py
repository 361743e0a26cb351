"""The triggers of a table as the operator makes them, and what a listener hears of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from region_operator.database.engine import make_engine
from region_operator.database.region_table import Trigger, ensure_trigger, look_at_trigger
from region_operator.scheduler import Columns
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

DEFAULT = Columns()


def make_triggers(
    database: str, *, schema: str = "public", table: str = "region_index", columns: Columns = DEFAULT
) -> Trigger:
    """Make the triggers of a table, and return their state."""
    return _ask(ensure_trigger, database, schema=schema, table=table, columns=columns)


def state_of_triggers(
    database: str, *, schema: str = "public", table: str = "region_index", columns: Columns = DEFAULT
) -> Trigger:
    """Return the state of the triggers of a table."""
    return _ask(look_at_trigger, database, schema=schema, table=table, columns=columns)


def _ask(act: Callable[..., Coroutine[Any, Any, Trigger]], database: str, **arguments: Any) -> Trigger:
    async def ask() -> Trigger:
        engine = make_engine(DatabaseUrl.parse(database))
        try:
            async with engine.begin() as connection:
                return await act(connection, **arguments)
        finally:
            await engine.dispose()

    return asyncio.run(ask())


def heard(listener: psycopg.Connection[Any]) -> list[str]:
    """Return the payloads that were notified so far: up to a mark that is made now."""
    with psycopg.connect(listener.info.dsn, password=listener.info.password, autocommit=True) as connection:
        connection.execute(f"NOTIFY {CHANGES_CHANNEL}, 'mark'")
    payloads: list[str] = []
    for notification in listener.notifies(timeout=PATIENCE_SECONDS):
        if notification.payload == "mark":
            return payloads
        payloads.append(notification.payload)
    raise AssertionError("nothing is heard on the channel")
