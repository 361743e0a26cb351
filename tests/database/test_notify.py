"""Every statement that changes a table of regions tells, by the table's qualified name, whoever listens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from region_operator.database.migrate import migrate
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INSERT = "INSERT INTO region_index (code, name, cron_schedule) SELECT n, n, '@daily' FROM generate_series(1, 3) n"


def heard(listener: psycopg.Connection) -> list[tuple[str, str]]:
    """Return what was notified so far, as (channel, payload): up to a mark that is made now."""
    with psycopg.connect(listener.info.dsn, password=listener.info.password, autocommit=True) as connection:
        connection.execute(f"NOTIFY {CHANGES_CHANNEL}, 'mark'")
    notifications: list[tuple[str, str]] = []
    for notification in listener.notifies(timeout=10):
        if notification.payload == "mark":
            return notifications
        notifications.append((notification.channel, notification.payload))
    raise AssertionError("nothing is heard on the channel")


@pytest.fixture
def listener(database: str) -> Iterator[psycopg.Connection]:
    """A connection that listens."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANGES_CHANNEL}")
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        INSERT,
        "UPDATE region_index SET cron_schedule = '0 * * * *'",
        "DELETE FROM region_index",
        "TRUNCATE region_index",
    ],
    ids=lambda statement: statement.split()[0],
)
def test_a_change_is_heard_once_a_transaction(database: str, listener: psycopg.Connection, statement: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(statement.encode())
        connection.execute(statement.encode().replace(b"generate_series(1, 3)", b"generate_series(4, 6)"))
        assert heard(listener) == []
    assert heard(listener) == [(CHANGES_CHANNEL, "public.region_index")]


def test_what_is_rolled_back_is_not_heard(database: str, listener: psycopg.Connection) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM region_index")
        connection.rollback()
    assert heard(listener) == []


async def test_the_name_tells_which_table(database: str, listener: psycopg.Connection) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute("CREATE TABLE app.region_index (LIKE public.region_index INCLUDING ALL)")
        await migrate(replace(DatabaseUrl.parse(database), schema="app"))
        add_regions(connection, 3, table="app.region_index")
    assert heard(listener) == [(CHANGES_CHANNEL, "app.region_index")]


def test_a_writer_needs_no_right_to_our_schema(
    stranger: Callable[[str], str], database: str, listener: psycopg.Connection
) -> None:
    url = stranger(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"GRANT INSERT ON region_index TO {urlsplit(url).username}".encode())
    add_regions(url, 3)
    assert heard(listener) == [(CHANGES_CHANNEL, "public.region_index")]
