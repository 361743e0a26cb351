"""listen.py on a real Postgres: what wakes, how a lost connection is noticed, and that none is a warning only."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus

from devcluster.postgres import Postgres, StopMode
from region_operator.database.migrate import migrate
from region_operator.regions import listen as module
from region_operator.regions.listen import listen
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'region-operator listen' AND datname = current_database()"


class Listener:
    """What a running `listen` did so far."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self.wakes = 0
        self._log = log

    def wake(self) -> None:
        self.wakes += 1

    def logged(self, event: str) -> int:
        return [record.message for record in self._log.records].count(event)

    async def until(self, condition: Callable[[], bool], *, what: str, seconds: float = 30) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - it waits for many things
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}") from None


@asynccontextmanager
async def listening(
    url: str, log: pytest.LogCaptureFixture, *, concerns: Callable[[str], bool] = lambda _: True
) -> AsyncIterator[Listener]:
    log.set_level(logging.INFO)
    listener = Listener(log)
    task = asyncio.create_task(listen(lambda: url, listener.wake, concerns=concerns))
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


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


async def test_only_what_concerns_us_wakes(database: str, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def concerns(payload: str) -> bool:
        heard.append(payload)
        return payload != "public.other"

    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        listening(database, caplog, concerns=concerns) as listener,
    ):
        await listener.until(lambda: listener.wakes == 1, what="a new connection wakes")
        for payload in ("public.other", "public.other", "public.region_index", ""):
            await connection.execute("SELECT pg_notify(%s, %s)", (CHANGES_CHANNEL, payload))
        await listener.until(lambda: len(heard) == 4, what="all are heard")
        await listener.until(lambda: listener.wakes == 3, what="two concern us")
    assert heard == ["public.other", "public.other", "public.region_index", ""]


async def test_a_connection_that_is_ended_is_made_again_and_wakes(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(database, caplog) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a first connection")
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            await connection.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}".encode())
        await listener.until(lambda: listener.logged("not listening") == 1, what="it is noticed")
        await listener.until(lambda: listener.wakes == 2, what="a second connection")


async def test_a_silent_server_is_asked_and_found_dead(mortal: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(mortal.url(), caplog) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a first connection")
        with mortal.frozen():
            limit = module.PROBE_EVERY_SECONDS + module.ANSWER_SECONDS + 2
            await listener.until(lambda: listener.logged("not listening") == 1, what="it is noticed", seconds=limit)
        await listener.until(lambda: listener.wakes == 2, what="a second connection")
        add_regions(mortal.url(), 3)
        await listener.until(lambda: listener.wakes == 3, what="it hears again")


async def test_a_question_that_gets_no_answer_can_be_given_up_at_once(mortal: Postgres) -> None:
    connection = await psycopg.AsyncConnection.connect(mortal.url(), autocommit=True)
    with mortal.frozen():
        asking = asyncio.create_task(module._execute(connection, sql.SQL("SELECT 1")))
        while connection.info.transaction_status != TransactionStatus.ACTIVE:  # noqa: ASYNC110 - not ours to signal
            await asyncio.sleep(0)
        asking.cancel()
        async with asyncio.timeout(2):  # psycopg's own way takes 5 s at least
            await asyncio.wait([asking])
    assert asking.cancelled()
    assert connection.closed


async def test_a_server_that_is_down_is_one_warning(mortal: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(mortal.url(), caplog) as listener:
        await listener.until(lambda: listener.wakes == 1, what="a first connection")
        mortal.stop(StopMode.IMMEDIATE)
        await listener.until(lambda: listener.logged("not listening") > 0, what="it is noticed")
        mortal.start()
        await listener.until(lambda: listener.wakes == 2, what="a second connection")
    texts = [record.error for record in caplog.records if record.message == "not listening"]  # type: ignore[attr-defined]
    assert len(texts) == len(set(texts))


async def test_behind_a_pooler_it_says_that_it_is_deaf(pooled: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(pooled, caplog) as listener:
        await listener.until(lambda: listener.logged("not listening") == 1, what="it is noticed")
        [record] = [record for record in caplog.records if record.message == "not listening"]
        assert "DATABASE_DIRECT_URL" in record.error  # type: ignore[attr-defined]
        assert listener.wakes == 0
