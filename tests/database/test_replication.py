"""The triggers on a table whose rows logical replication writes: two real databases, a publication, a subscription."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_operator.database.region_table import Trigger
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.database.notifying import make_triggers, state_of_triggers
from tests.database.schema import run, value
from tests.harness.regions import ROW_TRIGGER, add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server that publishes, with two migrated databases."""
    with Postgres.temporary() as server:
        run(server.url(), "ALTER SYSTEM SET wal_level = logical")
        server.stop()
        server.start()
        for name in ("there", "here"):
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            asyncio.run(migrate(DatabaseUrl.parse(server.url(name))))
        yield server


def test_rows_that_replication_writes_are_told_of_only_by_triggers_that_always_fire(server: Postgres) -> None:
    there, here = server.url("there"), server.url("here")
    run(there, "CREATE PUBLICATION areas FOR TABLE region_index")
    run(there, "SELECT pg_create_logical_replication_slot('areas', 'pgoutput')")
    assert state_of_triggers(here) is Trigger.FOUND
    run(
        here,
        f"CREATE SUBSCRIPTION areas CONNECTION '{there}' PUBLICATION areas"
        " WITH (create_slot = false, slot_name = 'areas')",
    )
    # The first copy holds the table while its slot waits for every open transaction of the server.
    # A DROP TRIGGER that waits for the table is such a transaction, and nothing detects this deadlock.
    eventually(lambda: value(here, "SELECT srsubstate FROM pg_subscription_rel") == "r", what="the first copy is there")
    assert state_of_triggers(here) is Trigger.PARTIAL
    run(here, f"DROP TRIGGER {ROW_TRIGGER} ON region_index")
    assert make_triggers(here) is Trigger.PARTIAL

    for trigger in (ROW_TRIGGER, "region_tick_notify_truncate"):
        run(here, f"ALTER TABLE region_index ENABLE ALWAYS TRIGGER {trigger}")
    assert state_of_triggers(here) is Trigger.FOUND
    with psycopg.connect(here, autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANGES_CHANNEL}".encode())
        add_regions(there, 1)
        [notification] = connection.notifies(timeout=60, stop_after=1)
    assert notification.payload == "public.region_index"
