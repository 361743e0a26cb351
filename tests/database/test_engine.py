"""database/engine.py on a real Postgres: limits of connections and of time, also behind PgBouncer."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from prometheus_client import REGISTRY
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFreeError

from devcluster.postgres import Postgres, StopMode
from region_operator.database.engine import MIN_POOL_SIZE, POOL_SIZE, Failure, make_engine, show_pool, transaction
from region_operator.database.migrate import SchemaState, find_schema, migrate
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

PID = text("SELECT pg_backend_pid()")


async def backend(connection: AsyncConnection) -> int:
    """Return the process of a connection at the server."""
    return int((await connection.execute(PID)).scalar_one())


async def test_a_transaction_is_kept_or_undone_as_a_whole(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await connection.execute(text("CREATE TABLE kept ()"))
    with pytest.raises(DBAPIError, match="division by zero"):
        async with transaction(engine) as connection:
            await connection.execute(text("CREATE TABLE undone AS SELECT 1 / count(*) FROM kept"))
    async with transaction(engine) as connection:
        tables = await connection.execute(text("SELECT relname FROM pg_class WHERE relname IN ('kept', 'undone')"))
        assert list(tables.scalars()) == ["kept"]


async def test_timeouts_hold_for_their_transaction_alone(engine: AsyncEngine) -> None:
    show = text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), pg_backend_pid()")
    async with transaction(engine, timeout_seconds=7, lock_timeout_seconds=0.25) as connection:
        statement, lock, pid = (await connection.execute(show)).one()
        assert (statement, lock) == ("7s", "250ms")
    async with engine.connect() as connection:
        assert (await connection.execute(show)).one() == ("0", "0", pid)


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with transaction(engine, timeout_seconds=0.05) as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))
    assert isinstance(caught.value.orig, errors.QueryCanceled)


async def test_a_server_that_hangs_does_not_hang_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_operator.database.engine.GRACE_SECONDS", 0.1)
    with Postgres.temporary() as server:
        engine = make_engine(DatabaseUrl.parse(server.url()))
        async with transaction(engine) as connection:
            pid = await backend(connection)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with transaction(engine, timeout_seconds=0.1):
                pass
        async with transaction(engine) as connection:
            assert await backend(connection) != pid
        await engine.dispose()


@pytest.mark.parametrize(("connection_limit", "expected"), [(None, POOL_SIZE), (5, 5), (1, MIN_POOL_SIZE)])
async def test_connections_are_few(database: str, connection_limit: int | None, expected: int) -> None:
    engine = make_engine(replace(DatabaseUrl.parse(database), connection_limit=connection_limit))
    all_in_use = asyncio.Barrier(expected)

    async def hold() -> int:
        async with transaction(engine) as connection:
            pid = await backend(connection)
            await all_in_use.wait()
            return pid

    assert len(set(await asyncio.gather(*(hold() for _ in range(2 * expected))))) == expected
    await engine.dispose()


async def test_an_engine_outlives_the_server() -> None:
    with Postgres.temporary() as server:
        engine = make_engine(DatabaseUrl.parse(server.url()))
        async with transaction(engine) as connection:
            await connection.execute(text("CREATE TABLE t AS SELECT 1 AS n"))
        server.stop(StopMode.IMMEDIATE)
        with pytest.raises(OperationalError):
            async with transaction(engine):
                pass
        server.start()
        async with transaction(engine) as connection:
            assert (await connection.execute(text("SELECT n FROM t"))).scalar_one() == 1
        await engine.dispose()


async def test_a_refused_password_is_told_apart(stranger: Callable[[str], str], database: str) -> None:
    url = DatabaseUrl.parse(stranger(database).replace("@", "-rotated@"))
    engine = make_engine(url)
    with pytest.raises(OperationalError, match="password authentication failed"):
        async with transaction(engine):
            pass
    await engine.dispose()


async def test_through_pgbouncer(pooled: str, empty_database: str) -> None:
    url = DatabaseUrl.parse(pooled)
    reports = await asyncio.gather(*(migrate(url) for _ in range(3)))
    assert sorted(report.before is None for report in reports) == [False, False, True]
    engines = [make_engine(url) for _ in range(3)]
    async with transaction(engines[0]) as begun:
        assert (await find_schema(begun)).state is SchemaState.CURRENT

    async def write(engine: AsyncEngine, number: int) -> int:
        async with transaction(engine) as connection:
            await connection.execute(
                text("INSERT INTO public.region_index (code, name, cron_schedule) VALUES (:code, :code, '@daily')"),
                {"code": str(number)},
            )
            return await backend(connection)

    backends = await asyncio.gather(*(write(engines[number % 3], number) for number in range(60)))
    assert len(set(backends)) == 2
    for engine in engines:
        await engine.dispose()
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM region_index").fetchone() == (60,)


def failed(kind: Failure) -> float:
    return REGISTRY.get_sample_value("region_operator_database_errors_total", {"kind": kind}) or 0.0


def connections() -> list[float | None]:
    name = "region_operator_database_connections"
    return [REGISTRY.get_sample_value(name, {"state": state}) for state in ("in_use", "idle")]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT pg_sleep(60)", Failure.TOO_SLOW),
        ("SELECT 1 / 0", Failure.REFUSED),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Failure.AWAY),
        ("LOCK region_index", Failure.LOCKED),
    ],
)
async def test_a_transaction_that_fails_is_counted_by_what_is_wrong(
    engine: AsyncEngine, statement: str, kind: Failure
) -> None:
    before = failed(kind)
    async with engine.begin() as other:
        await other.execute(text("LOCK region_index"))
        with pytest.raises(DBAPIError):
            async with transaction(engine, timeout_seconds=1, lock_timeout_seconds=0.1) as connection:
                await connection.execute(text(statement))
    assert failed(kind) == before + 1


async def test_what_the_pool_has_is_served_and_a_pool_without_a_free_connection_counted(database: str) -> None:
    engine = make_engine(replace(DatabaseUrl.parse(database), connection_limit=MIN_POOL_SIZE))
    show_pool(engine)
    assert connections() == [0, 0]
    before, engine.pool._timeout = failed(Failure.NO_CONNECTION_FREE), 0.1  # type: ignore[attr-defined]
    async with engine.connect(), engine.connect():
        async with engine.connect():
            assert connections() == [3, 0]
            with pytest.raises(NoConnectionFreeError):
                async with transaction(engine):
                    pass
        assert connections() == [2, 1]
    assert failed(Failure.NO_CONNECTION_FREE) == before + 1
    await engine.dispose()
    assert connections() == [0, 0]
