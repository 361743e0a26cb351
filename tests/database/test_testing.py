"""The kit for tests of handlers: a real Tick on any Postgres, and the few tables that it needs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.database.migrate import MigrationError, migrate
from region_tick.database_url import DatabaseUrl
from region_tick.few_tables import make_missing_tables
from region_tick.handlers import BoundingBox, Outcome, PermanentError
from region_tick.testing import run_handler, tick_on
from tests.harness.ticks import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from region_tick.handlers import Tick

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'region_tick' AND table_name = ANY(%s)
"""
KEYS = """
SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'p' AND conrelid IN ('region_tick.job_run'::regclass, 'region_tick.region_cursor'::regclass)
"""
AT = datetime(2026, 1, 5, 10, 40, tzinfo=UTC)


@pytest.fixture
def own(empty_database: str) -> Iterator[Observer]:
    observer = Observer(empty_database)
    yield observer
    observer.connection.close()


def asked(url: str, statement: str, *parameters: Any) -> set[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return set(connection.execute(statement.encode(), parameters).fetchall())


def test_the_few_tables_are_like_the_migrated_ones(database: str, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert make_missing_tables(connection)
        assert not make_missing_tables(connection)
    tables = ["job_run", "region_cursor", "suspension", "slot_owner"]
    made, migrated = (asked(url, COLUMNS, tables) for url in (empty_database, database))
    assert made <= migrated
    whole = ("job_run", "region_cursor")
    assert {column for column in made if column[0] in whole} == {column for column in migrated if column[0] in whole}
    assert asked(empty_database, KEYS) == asked(database, KEYS)


def test_tests_that_begin_at_the_same_time_make_the_tables_once(empty_database: str) -> None:
    def make(_: int) -> bool:
        with psycopg.connect(empty_database, autocommit=True) as connection:
            return make_missing_tables(connection)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(make, range(6))) == [False] * 5 + [True]


def test_a_migration_of_the_tests_database_names_the_remedy(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        make_missing_tables(connection)
        with pytest.raises(MigrationError, match="DROP SCHEMA region_tick CASCADE"):
            asyncio.run(migrate(DatabaseUrl.parse(empty_database)))
        connection.execute("DROP SCHEMA region_tick CASCADE")
        asyncio.run(migrate(DatabaseUrl.parse(empty_database)))
        assert not make_missing_tables(connection)


def test_a_handler_has_a_tick_in_an_empty_database_and_its_end_is_on_record(empty_database: str, own: Observer) -> None:
    def handler(tick: Tick) -> None:
        assert tick.region.bbox == BoundingBox(Decimal("8.4"), Decimal("47.3"), Decimal("8.6"), Decimal("47.5"))
        assert (tick.region.code, tick.params, tick.manual) == ("ch-zrh", {"depth": 3}, False)
        with tick.transaction() as connection:
            connection.execute("CREATE TABLE found AS SELECT 1")
            tick.finish(Outcome({"found": 1}))

    with tick_on(empty_database, code="ch-zrh", bbox=(8.4, 47.3, 8.6, 47.5), params={"depth": 3}) as tick:
        assert run_handler(handler, tick) == Outcome({"found": 1})
    row = own.row()
    assert (row["state"], row["counts"]) == ("succeeded", {"found": 1})


@pytest.mark.parametrize("returned", [None, Outcome({"seen": 2}), Outcome(reason="nothing new")])
def test_a_returned_outcome_ends_the_tick_too(returned: Outcome | None, empty_database: str, own: Observer) -> None:
    with tick_on(empty_database) as tick:
        assert run_handler(lambda _: returned, tick) == (returned or Outcome())
    row = own.row()
    assert (row["state"], row["reason"]) == ("succeeded", (returned or Outcome()).reason)


def test_an_async_handler_and_one_that_fails(empty_database: str) -> None:
    async def later(tick: Tick) -> Outcome:
        return Outcome({"attempt": tick.attempt})

    def fails(_: Tick) -> None:
        raise PermanentError("no box")

    with tick_on(empty_database) as tick:
        assert run_handler(later, tick).counts == {"attempt": 1}
    with tick_on(empty_database, manual=True) as tick, pytest.raises(PermanentError, match="no box"):
        run_handler(fails, tick)


def test_windows_follow_each_other(empty_database: str) -> None:
    day = timedelta(days=1)
    with tick_on(empty_database, region_id="1", tick_at=AT, window_start=AT - day, max_window_seconds=3600) as tick:
        assert (tick.window.start, tick.window.end) == (AT - day, AT - day + timedelta(hours=1))
        run_handler(lambda _: Outcome(fetched_until=AT - day + timedelta(minutes=5)), tick)
    with tick_on(empty_database, region_id="1", tick_at=AT + timedelta(minutes=5)) as tick:
        assert tick.window.start == AT - day + timedelta(minutes=5)


def test_a_tick_that_was_claimed_is_not_claimed_again(empty_database: str) -> None:
    with (
        tick_on(empty_database, region_id="1", tick_at=AT),
        pytest.raises(ValueError, match="give it another region_id or tick_at"),
        tick_on(empty_database, region_id="1", tick_at=AT),
    ):
        raise AssertionError("it was claimed")


TEST_OF_A_STRANGER = """
from region_tick.handlers import Outcome
from region_tick.testing import run_handler

def count(tick):
    return Outcome({"params": len(tick.params)})

def test_it_counts(make_tick):
    assert run_handler(count, make_tick(params={"a": 1})).counts == {"params": 1}
"""


def test_the_fixture_is_there_for_who_asks_for_it(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["region_tick.pytest_plugin"]\n')
    (tmp_path / "test_theirs.py").write_text(TEST_OF_A_STRANGER)

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py"]
        return subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=120
        )

    assert "1 passed" in run(TEST_DATABASE_URL=empty_database).stdout
    assert "TEST_DATABASE_URL is missing" in run().stdout


def test_the_kit_needs_no_pytest() -> None:
    program = "import sys, region_tick.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
