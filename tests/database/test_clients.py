"""Real clients on a real Postgres: the operator hears each edit within a second, and reads what was written."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from region_operator.regions.region import RegionRow
from region_operator.scheduler import Columns, Source
from tests.clients.clients import CLIENTS
from tests.clients.edits import Act, Edit
from tests.database.listening import listening
from tests.database.notifying import heard, make_triggers
from tests.database.reading import regions
from tests.database.schema import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.clients.clients import ClientOf
    from tests.clients.edits import Client
    from tests.database.listening import Listener

HEARD_WITHIN_SECONDS = 1
SOURCE = Source(columns=Columns(handler="handler"))
DAILY = {"name": "Região 'á' 🌍", "cron_schedule": "@daily"}
HOURLY = {"name": "Again", "cron_schedule": "@hourly"}

EDITS: tuple[tuple[Edit, dict[str, dict[str, str]]], ...] = (
    (Edit(Act.CREATE, ("A", "B", "C"), DAILY), {"A": DAILY, "B": DAILY, "C": DAILY}),
    (Edit(Act.UPDATE, ("A",), HOURLY), {"A": HOURLY, "B": DAILY, "C": DAILY}),
    (Edit(Act.UPDATE_MANY, ("B", "C"), HOURLY), {"A": HOURLY, "B": HOURLY, "C": HOURLY}),
    (Edit(Act.UPSERT, ("C",), DAILY), {"A": HOURLY, "B": HOURLY, "C": DAILY}),
    (Edit(Act.UPSERT, ("D",), DAILY), {"A": HOURLY, "B": HOURLY, "C": DAILY, "D": DAILY}),
    (Edit(Act.UPDATE, ("B",), HOURLY | {"code": "b-2"}), {"A": HOURLY, "b-2": HOURLY, "C": DAILY, "D": DAILY}),
    (Edit(Act.DELETE, ("A", "D")), {"b-2": HOURLY, "C": DAILY}),
)
"""Each edit, and all rows after it."""
ROLLED_BACK = Edit(Act.ROLL_BACK, ("b-2", "C"), {"cron_schedule": "@yearly"})


@pytest.fixture
def table(database: str) -> str:
    """A database whose table has a column for a handler, which a client may leave empty in its own way."""
    run(database, "ALTER TABLE region_index ADD handler text")
    make_triggers(database, columns=SOURCE.columns)
    return database


@pytest.mark.alone
@pytest.mark.parametrize("client_of", CLIENTS.values(), ids=CLIENTS)
async def test_each_edit_is_heard_and_read(
    table: str,
    client_of: ClientOf,
    listener: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    with client_of(table) as client:
        async with listening(table, caplog) as operator:
            await operator.until(lambda: operator.wakes == 1, what="a new connection wakes")
            for edit, rows in EDITS:
                record_property(f"{edit.act} heard after", await seconds_until_heard(operator, client, edit))
                assert await read(table) == rows
                assert set(heard(listener)) == {"public.region_index"}
            await asyncio.to_thread(client, ROLLED_BACK)
            assert heard(listener) == []
            assert await read(table) == EDITS[-1][1]


async def seconds_until_heard(operator: Listener, client: Client, edit: Edit) -> float:
    """Return how long after the client's answer the operator's listener wakes the operator."""
    wakes = operator.wakes
    await asyncio.to_thread(client, edit)
    answered = time.monotonic()
    await operator.until(lambda: operator.wakes > wakes, what=f"{edit.act} wakes", seconds=HEARD_WITHIN_SECONDS)
    return time.monotonic() - answered


async def read(database: str) -> dict[str, dict[str, str]]:
    """Return the regions by code as the operator reads them."""
    found = await regions(database, SOURCE)
    rows = [row for row in found if isinstance(row, RegionRow)]
    assert rows == found, "a row is quarantined"
    assert {row.handler for row in rows} <= {None}
    return {row.code: {"name": row.name, "cron_schedule": row.cron_schedule} for row in rows}
