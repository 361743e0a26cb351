"""listen.py on a real Postgres: what wakes, how a lost connection is noticed, and that none is a warning only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from prometheus_client import REGISTRY
from psycopg import sql
from psycopg.pq import TransactionStatus

from devcluster.postgres import Postgres, StopMode
from region_operator.database.migrate import migrate
from region_operator.database.region_table import Trigger
from region_operator.database.table_version import read_table_version
from region_operator.database.triggers import Triggers
from region_operator.regions import listen as module
from region_operator.scheduler import Columns
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.database.listening import listening
from tests.harness.regions import ROW_TRIGGER, add_regions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'region-operator listen' AND datname = current_database()"


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A Postgres of the test's own, migrated."""
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        yield server


@pytest.mark.parametrize(
    "statement", ["UPDATE region_index SET name = 'x'", "DELETE FROM region_index", "TRUNCATE region_index"]
)
async def test_every_way_to_change_the_table_wakes(
    database: str, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    add_regions(database, 3)
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        listening(database, caplog) as listener,
    ):
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        await connection.execute(statement.encode())
        await listener.until(lambda: listener.wakes == 2, what="the change wakes")


async def test_an_edit_is_timed_from_its_notification(database: str, caplog: pytest.LogCaptureFixture) -> None:
    add_regions(database, 1)
    name = "region_operator_edit_latency_seconds_sum"
    before = REGISTRY.get_sample_value(name) or 0.0
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        listening(database, caplog) as listener,
    ):
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        await connection.execute(b"UPDATE region_index SET name = 'x'")
        await listener.until(lambda: listener.wakes == 2, what="the change wakes")
        listener.clock.now += 7
        listener.hearing.begin_reading(schema="public", table="region_index")
        listener.hearing.measure_edit()
    assert REGISTRY.get_sample_value(name) == before + 7


async def followed(engine: AsyncEngine, table: str) -> Triggers:
    """What a reconcile knows after it has read the table."""
    triggers = Triggers(may_make=False)
    triggers.follow(schema="public", table=table)
    async with engine.connect() as connection:
        version = await read_table_version(connection, schema="public", table=table)
    await triggers.keep(engine, columns=Columns(), found=Trigger.FOUND, version=version)
    return triggers


async def test_only_what_concerns_us_wakes(
    database: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    triggers = await followed(engine, "region_index")
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        listening(database, caplog, triggers) as listener,
    ):
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        for payload in ("public.other", "public.other", "public.region_index", "public.other", ""):
            await connection.execute("SELECT pg_notify(%s, %s)", (CHANGES_CHANNEL, payload))
        await listener.until(lambda: listener.wakes == 3, what="two concern us")


CHANGES = {
    "made anew": "ALTER TABLE region_index RENAME TO old; CREATE TABLE region_index (LIKE old INCLUDING ALL)",
    "dropped": "DROP TABLE region_index CASCADE",
    "a column renamed": "ALTER TABLE region_index RENAME cron_schedule TO schedule",
    "a column dropped": "ALTER TABLE region_index DROP active CASCADE",
    "a trigger disabled": f"ALTER TABLE region_index DISABLE TRIGGER {ROW_TRIGGER}",
    "a trigger dropped": f"DROP TRIGGER {ROW_TRIGGER} ON region_index",
    "all triggers gone, and emptied": f"DROP TRIGGER {ROW_TRIGGER} ON region_index;"
    " DROP TRIGGER region_tick_notify_truncate ON region_index; TRUNCATE region_index",
    "a table inherits": "CREATE TABLE child () INHERITS (region_index)",
    "a view is another": "CREATE OR REPLACE VIEW shown AS SELECT * FROM region_index WHERE false",
    "a partition more": "CREATE TABLE third PARTITION OF parts FOR VALUES IN (3)",
    "a partition's trigger gone": "DROP TRIGGER region_tick_notify_truncate ON second",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_done_to_the_table_itself_wakes(
    database: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.2)
    name = {"a view is another": "shown", "a partition more": "parts", "a partition's trigger gone": "parts"}
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("CREATE VIEW shown AS SELECT * FROM region_index")
        await connection.execute("CREATE TABLE parts (id int) PARTITION BY LIST (id)")
        await connection.execute("CREATE TABLE second PARTITION OF parts FOR VALUES IN (2)")
        await connection.execute(
            "CREATE TRIGGER region_tick_notify_truncate AFTER TRUNCATE ON second"
            " FOR EACH STATEMENT EXECUTE FUNCTION region_tick.notify_change()"
        )
        triggers = await followed(engine, name.get(change, "region_index"))
        async with listening(database, caplog, triggers) as listener:
            await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
            await connection.execute(CHANGES[change].encode())
            await listener.until(lambda: listener.wakes >= 2, what="the change wakes")


async def test_a_change_that_the_reading_has_seen_wakes_nobody(
    database: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.1)
    triggers = await followed(engine, "region_index")
    async with listening(database, caplog, triggers) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        async with engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE region_index ADD other int")
            triggers.version = await read_table_version(connection, schema="public", table="region_index")
        async with engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE region_index DROP other")
        await listener.until(lambda: listener.wakes == 2, what="the second change wakes")


async def test_what_leaves_the_table_as_it_was_wakes_nobody(
    database: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.1)
    asked: list[object] = []
    ask = module._ask_version

    async def counted(connection: module.Connection, table: tuple[str, str] | None) -> object:
        asked.append(await ask(connection, table))
        return asked[-1]

    monkeypatch.setattr(module, "_ask_version", counted)
    triggers = await followed(engine, "region_index")
    add_regions(database, 3)
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        listening(database, caplog, triggers) as listener,
    ):
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        await connection.execute("CREATE TABLE other ()")
        for statement in ("ANALYZE region_index", "VACUUM region_index", "VACUUM FREEZE pg_class, pg_trigger"):
            await connection.execute(statement.encode())
        count = len(asked)
        await listener.until(lambda: len(asked) > count + 2, what="it asked again")
        assert listener.wakes == 1
    assert len(set(asked)) == 1


async def test_a_table_that_is_newly_followed_wakes(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.1)
    triggers = Triggers(may_make=False)
    async with listening(database, caplog, triggers) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        triggers.follow(schema="public", table="region_index")
        await listener.until(lambda: listener.wakes == 2, what="nobody knows what happened before")


async def test_a_connection_that_is_ended_is_made_again_and_wakes(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(database, caplog) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a first connection")
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            await connection.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}".encode())
        await listener.until(lambda: listener.logged("not listening") == 1, what="it is noticed")
        await listener.until(lambda: listener.wakes == 3, what="the loss wakes, and a second connection")


async def test_a_silent_server_is_asked_and_found_dead(mortal: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(mortal.url(), caplog) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a first connection")
        with mortal.frozen():
            limit = module.PROBE_EVERY_SECONDS + module.ANSWER_SECONDS + 20
            await listener.until(lambda: listener.logged("not listening") == 1, what="it is noticed", seconds=limit)
        await listener.until(lambda: listener.wakes == 3, what="the loss wakes, and a second connection")
        add_regions(mortal.url(), 3)
        await listener.until(lambda: listener.wakes == 4, what="it hears again")


async def test_a_question_that_gets_no_answer_can_be_given_up_at_once(mortal: Postgres) -> None:
    connection = await psycopg.AsyncConnection.connect(mortal.url(), autocommit=True)
    with mortal.frozen():
        asking = asyncio.create_task(module._execute(connection, sql.SQL("SELECT 1")))
        while connection.info.transaction_status != TransactionStatus.ACTIVE:  # noqa: ASYNC110 - not ours to signal
            await asyncio.sleep(0)
        asking.cancel()
        async with asyncio.timeout(4):  # psycopg's own way takes 5 s at least
            await asyncio.wait([asking])
    assert asking.cancelled()
    assert connection.closed


async def test_a_server_that_is_down_is_one_warning(mortal: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(mortal.url(), caplog) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a first connection")
        mortal.stop(StopMode.IMMEDIATE)
        await listener.until(lambda: listener.logged("not listening") > 0, what="it is noticed")
        mortal.start()
        await listener.until(lambda: listener.wakes == 3, what="the loss wakes, and a second connection")
    texts = [record.error for record in caplog.records if record.message == "not listening"]  # type: ignore[attr-defined]
    assert len(texts) == len(set(texts))


async def test_behind_a_pooler_it_says_that_it_is_deaf(pooled: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(pooled, caplog) as listener:
        await listener.until(lambda: listener.logged("not listening") == 1, what="it is noticed")
        [record] = [record for record in caplog.records if record.message == "not listening"]
        assert "DATABASE_DIRECT_URL" in record.error  # type: ignore[attr-defined]
        assert "DATABASE_DIRECT_URL" in listener.hearing.explain_deafness()
        assert listener.wakes == 1  # the reconcile says so in the status
