"""database/triggers.py on a real Postgres: when the triggers are made, which states are logged, whose word counts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from region_operator.database.engine import make_engine
from region_operator.database.region_table import Trigger
from region_operator.database.triggers import REFUSED_FOR_SECONDS, Triggers
from region_operator.regions.source import read_regions
from region_operator.scheduler import Source
from region_tick.database_url import DatabaseUrl
from tests.harness.clock import Clock
from tests.harness.regions import ROW_TRIGGER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

DROP = f"DROP TRIGGER {ROW_TRIGGER} ON region_index"
ALTER = f"ALTER TABLE region_index {{}} TRIGGER {ROW_TRIGGER}"
OLD = (
    "CREATE TRIGGER region_tick_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON region_index"
    " FOR EACH STATEMENT EXECUTE FUNCTION region_tick.notify_change()"
)
"""What release 0.1 made."""


class Keeper:
    """Does what a reconcile does about the trigger, and tells what it logged."""

    def __init__(self, engine: AsyncEngine, log: pytest.LogCaptureFixture, *, may_make: bool = True) -> None:
        log.set_level("INFO")
        self._engine, self._log = engine, log
        self.clock = Clock()
        self.triggers = Triggers(may_make=may_make, clock=self.clock)

    async def keep(self, table: str = "region_index") -> Trigger:
        source = Source(table=table)
        self.triggers.follow(schema="public", table=table)
        reading = await read_regions(self._engine, source, default_schema="public")
        return await self.triggers.keep(
            self._engine, columns=source.columns, found=reading.trigger, version=reading.version
        )

    def said(self) -> list[str]:
        lines = [f"{record.message}: {getattr(record, 'reason', 'well')}" for record in self._log.records]
        self._log.clear()
        return lines


@pytest.fixture
async def engine_of_nobody(stranger: Callable[[str], str], database: str) -> AsyncIterator[AsyncEngine]:
    """An engine of a role that may read and no more."""
    engine = make_engine(DatabaseUrl.parse(stranger(database)))
    yield engine
    await engine.dispose()


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def test_one_that_is_dropped_is_made_again(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(engine, caplog)
    assert await keeper.keep() is Trigger.FOUND
    assert keeper.said() == []
    await execute(engine, DROP)
    assert [await keeper.keep() for _ in range(3)] == [Trigger.CREATED, Trigger.FOUND, Trigger.FOUND]
    assert keeper.said() == ["trigger created: well"]


@pytest.mark.parametrize("how", ["DISABLE", "ENABLE REPLICA"])
async def test_one_that_somebody_disabled_is_left_so_and_said_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    keeper = Keeper(engine, caplog)
    await execute(engine, ALTER.format(how))
    assert [await keeper.keep() for _ in range(3)] == [Trigger.DISABLED] * 3
    assert keeper.said() == ["no trigger: disabled"]
    await execute(engine, ALTER.format("ENABLE ALWAYS"))
    assert [await keeper.keep() for _ in range(2)] == [Trigger.FOUND] * 2
    assert keeper.said() == ["trigger found: well"]


async def test_without_the_right_to_it_nothing_is_tried_until_there_is_one(
    engine_of_nobody: AsyncEngine, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    role = await name_of_role(engine_of_nobody)
    await execute(engine, DROP, f"GRANT SELECT ON region_index TO {role}")
    keeper = Keeper(engine_of_nobody, caplog)
    assert [await keeper.keep() for _ in range(2)] == [Trigger.REFUSED] * 2
    assert keeper.said() == ["no trigger: refused"]
    await execute(engine, f"GRANT TRIGGER ON region_index TO {role}", f"GRANT USAGE ON SCHEMA region_tick TO {role}")
    assert await keeper.keep() is Trigger.CREATED
    assert keeper.said() == ["trigger created: well"]
    await execute(engine, f"DROP OWNED BY {role}")


async def name_of_role(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str((await connection.execute(text("SELECT current_user"))).scalar_one())


async def test_one_that_was_refused_is_not_asked_for_again_at_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog)
    await execute(engine, DROP)
    async with engine.begin() as writing:
        await writing.execute(text("LOCK TABLE region_index IN ROW EXCLUSIVE MODE"))
        assert await keeper.keep() is Trigger.REFUSED
    keeper.clock.now += REFUSED_FOR_SECONDS - 1
    assert await keeper.keep() is Trigger.REFUSED
    assert keeper.said() == ["no trigger: refused"]
    keeper.clock.now += 1
    assert await keeper.keep() is Trigger.CREATED


async def test_a_server_that_cannot_be_written_to_refuses(
    database: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    name = urlsplit(database).path.removeprefix("/")
    await execute(engine, DROP, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    read_only = make_engine(DatabaseUrl.parse(database))
    assert await Keeper(read_only, caplog).keep() is Trigger.REFUSED
    await read_only.dispose()


async def test_who_may_not_migrate_makes_none_and_says_so(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog, may_make=False)
    await execute(engine, DROP)
    assert [await keeper.keep() for _ in range(2)] == [Trigger.MISSING] * 2
    assert keeper.said() == ["no trigger: missing"]


async def test_of_each_table_it_is_said_anew(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(engine, caplog)
    for number in (1, 2):
        await execute(engine, f"CREATE VIEW view_{number} AS SELECT * FROM region_index")
        assert [await keeper.keep(f"view_{number}") for _ in range(2)] == [Trigger.NO_TABLE] * 2
    assert keeper.said() == ["no trigger: no table"] * 2


async def test_the_trigger_of_an_older_release_is_replaced(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog)
    await execute(engine, DROP, OLD)
    assert [await keeper.keep() for _ in range(2)] == [Trigger.CREATED, Trigger.FOUND]
    assert keeper.said() == ["trigger created: well"]
    assert await names(engine) == [ROW_TRIGGER, "region_tick_notify_truncate"]


async def names(engine: AsyncEngine) -> list[str]:
    query = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'region_index'::regclass ORDER BY tgname"
    async with engine.connect() as connection:
        return list((await connection.execute(text(query))).scalars())


async def test_who_may_not_make_the_new_ones_has_the_old_one_all_the_same(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog, may_make=False)
    await execute(engine, DROP, OLD)
    assert [await keeper.keep() for _ in range(2)] == [Trigger.STATEMENT] * 2
    assert keeper.said() == []


async def test_an_old_one_that_cannot_be_replaced_now_is_replaced_later(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog)
    await execute(engine, DROP, OLD)
    async with engine.begin() as writing:
        await writing.execute(text("LOCK TABLE region_index IN ROW EXCLUSIVE MODE"))
        assert await keeper.keep() is Trigger.STATEMENT
    keeper.clock.now += REFUSED_FOR_SECONDS - 1
    assert await keeper.keep() is Trigger.STATEMENT
    keeper.clock.now += 1
    assert await keeper.keep() is Trigger.CREATED


async def test_an_old_one_that_somebody_disabled_is_left_so(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog)
    await execute(engine, DROP, OLD, "ALTER TABLE region_index DISABLE TRIGGER region_tick_notify")
    assert [await keeper.keep() for _ in range(2)] == [Trigger.DISABLED] * 2
    assert keeper.said() == ["no trigger: disabled"]
    await execute(engine, "ALTER TABLE region_index ENABLE TRIGGER region_tick_notify")
    assert await keeper.keep() is Trigger.CREATED


async def test_another_tables_word_does_not_count_once_the_own_table_is_known(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(engine, caplog)
    payloads = ["public.region_index", "public.other", "", "of a person"]
    assert [keeper.triggers.concerns(payload) for payload in payloads] == [True] * 4
    await keeper.keep()
    assert [keeper.triggers.concerns(payload) for payload in payloads] == [True, False, True, True]
    keeper.triggers.follow(
        schema="public", table="other"
    )  # a change that comes while the new table is read for the first time
    assert [keeper.triggers.concerns(payload) for payload in payloads] == [True] * 4
    await execute(engine, "CREATE TABLE other (LIKE region_index INCLUDING ALL)")
    await keeper.keep("other")
    assert [keeper.triggers.concerns(payload) for payload in payloads] == [False, True, True, True]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW other AS SELECT * FROM region_index",
        "CREATE TABLE other (LIKE region_index INCLUDING ALL); CREATE TABLE child () INHERITS (other)",
    ],
)
async def test_below_a_view_and_in_a_child_any_table_may_have_changed(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    keeper = Keeper(engine, caplog)
    await execute(engine, *statement.split("; "))
    assert not (await keeper.keep("other")).fires
    assert keeper.triggers.concerns("public.region_index")
