"""database/history.py on a real Postgres, and on a pair of which the standby is promoted before it has everything.

The promotion shows what "exactly once" then means: what the new server has, it has with its claims.
"""

from __future__ import annotations

import shutil
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from devcluster.postgres import Postgres
from region_operator.database.engine import make_engine
from region_operator.database.history import explain_change, read_history
from region_operator.database.migrate import migrate
from region_tick.claim import Final, claim
from region_tick.contract import State
from region_tick.database_url import DatabaseUrl
from region_tick.fence import finish, guard_within, renew
from region_tick.session import connect
from tests.database.schema import run, value
from tests.harness.ticks import LEASE, SUCCESS, TICK_AT, environment, first
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine


async def test_a_server_keeps_its_history(engine: AsyncEngine, database: str) -> None:
    history = await read_history(engine)
    identifier = value(database, "SELECT system_identifier FROM pg_control_system()")
    assert history.startswith(f"{identifier}/")
    assert await read_history(engine) == history


async def test_a_server_that_does_not_tell_is_none_that_changed(engine: AsyncEngine, database: str) -> None:
    name = value(database, "SELECT current_database()")
    refusal = "BEGIN RAISE feature_not_supported; END"
    run(
        database,
        "CREATE SCHEMA hosted",
        f"CREATE FUNCTION hosted.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql AS $$ {refusal} $$",
        f"ALTER DATABASE {name} SET search_path = hosted, pg_catalog, public",
    )
    await engine.dispose()
    assert await read_history(engine) == ""


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("7/1", "7/2", "its timeline is 2 now, was 1"),
        ("7/2", "8/1", "its system identifier is 8 now, was 7"),
        ("7/2", "8/2", "its system identifier is 8 now, was 7"),
        ("7/1", "7/1", ""),
        ("", "7/1", ""),
        ("7/1", "", ""),
    ],
)
def test_a_change_is_told_and_nothing_else(before: str, now: str, words: str) -> None:
    text = explain_change(before, now)
    assert words in text
    assert bool(text) is bool(words)


@contextmanager
def standby_of(primary: Postgres) -> Iterator[Postgres]:
    """Run an asynchronous standby, made from a base backup."""
    with (primary._data / "pg_hba.conf").open("a") as access:
        access.write("host replication all all scram-sha-256\n")
    run(primary.url(), "SELECT pg_reload_conf()")
    with Postgres.temporary() as standby:
        standby.stop()
        shutil.rmtree(standby._data)
        (standby.folder / "password").write_text((primary.folder / "password").read_text())
        standby._run("pg_basebackup", "-d", primary.url(), "-D", "data", "-R", "-c", "fast", "--no-sync")
        standby.start()
        yield standby


async def history_of(url: str) -> str:
    engine = make_engine(DatabaseUrl.parse(url))
    try:
        return await read_history(engine)
    finally:
        await engine.dispose()


async def test_a_promoted_standby_has_each_tick_with_its_claim_or_not_at_all_and_says_that_it_is_new() -> None:
    lost = TICK_AT - timedelta(minutes=1)
    with Postgres.temporary() as primary:
        primary.create_database("app")
        before_url = primary.url("app")
        await migrate(DatabaseUrl.parse(before_url))
        with standby_of(primary) as standby:
            url = standby.url("app")
            with closing(connect(DatabaseUrl.parse(before_url))) as connection:
                kept = first(before_url, connection)
                assert finish(connection, kept, SUCCESS)
                count = "SELECT count(*) FROM region_tick.job_run WHERE state = 'succeeded'"
                eventually(lambda: value(url, count) == 1, what="the standby has the first tick")
                before = await history_of(before_url)
                assert await history_of(url) == ""  # a standby is nobody's database yet
                standby.stop()
                in_flight = first(before_url, connection, tick_at=lost)
            primary.kill()
            standby.start()
            run(url, "SELECT pg_promote()")
            assert "its timeline is 2 now, was 1" in explain_change(before, await history_of(url))
            with closing(connect(DatabaseUrl.parse(url))) as connection:
                again = claim(connection, environment(url), lease_seconds=LEASE)
                assert isinstance(again, Final)
                assert again.state is State.SUCCEEDED
                assert not renew(connection, in_flight, lease_seconds=LEASE)  # its claim is lost, and so is its lease
                anew = first(url, connection, tick_at=lost, POD_NAME="pod-2")
                assert anew.attempt == in_flight.attempt  # the same number, and yet another attempt
                assert not renew(connection, in_flight, lease_seconds=LEASE)
                assert not finish(connection, in_flight, SUCCESS)
                with connection.transaction():
                    assert not guard_within(connection, in_flight)
                assert finish(connection, anew, SUCCESS)
