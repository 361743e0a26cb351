"""database/region_table.py on a real Postgres: the user's table in any shape and with any rights, or created."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from region_operator.database.migrate import SchemaState, migrate
from region_operator.database.region_table import RegionTable, Trigger
from region_tick.database_url import DatabaseUrl
from tests.database.schema import run, state, value

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("relation", "trigger"),
    [
        ("CREATE TABLE region_index (id bigint PRIMARY KEY, cron_schedule text)", Trigger.CREATED),
        ("CREATE TABLE region_index (id bigint) PARTITION BY HASH (id)", Trigger.CREATED),
        ("CREATE VIEW region_index AS SELECT 1::bigint AS id", Trigger.NO_TABLE),
        ("CREATE MATERIALIZED VIEW region_index AS SELECT 1::bigint AS id", Trigger.NO_TABLE),
    ],
)
async def test_a_table_that_is_there_is_left_as_it_is(empty_database: str, relation: str, trigger: Trigger) -> None:
    run(empty_database, relation)
    report = await migrate(DatabaseUrl.parse(empty_database))
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, trigger)
    assert value(empty_database, "SELECT pg_typeof((SELECT max(id) FROM region_index))::text") == "bigint"


@pytest.mark.parametrize("schema", ["app", 'Odd " name: %s'])
async def test_the_schema_of_the_url(empty_database: str, schema: str) -> None:
    report = await migrate(replace(DatabaseUrl.parse(empty_database), schema=schema))
    assert (report.region_table, report.trigger) == (RegionTable.CREATED, Trigger.CREATED)
    assert value(empty_database, "SELECT schemaname FROM pg_tables WHERE tablename = 'region_index'") == schema


async def test_a_dropped_table_is_not_made_again(database: str) -> None:
    run(database, "ALTER TABLE region_index RENAME TO away")
    report = await migrate(DatabaseUrl.parse(database))
    assert (report.region_table, report.trigger) == (RegionTable.MISSING, Trigger.NO_TABLE)


async def test_a_locked_table_gets_its_trigger_another_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_operator.database.migrate.LOCK_TIMEOUT_SECONDS", 0.1)
    run(database, "DROP TRIGGER region_tick_notify ON region_index")
    with psycopg.connect(database) as writer:
        writer.execute("UPDATE region_index SET active = active")
        assert (await migrate(DatabaseUrl.parse(database))).trigger is Trigger.REFUSED
    assert (await migrate(DatabaseUrl.parse(database))).trigger is Trigger.CREATED


async def test_without_rights_on_the_users_table(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    run(
        empty_database,
        "CREATE TABLE region_index (id bigint PRIMARY KEY)",
        f"CREATE SCHEMA region_tick AUTHORIZATION {urlsplit(url).username}",
    )
    report = await migrate(DatabaseUrl.parse(url))
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, Trigger.REFUSED)
    run(empty_database, f"GRANT TRIGGER ON region_index TO {urlsplit(url).username}")
    assert (await migrate(DatabaseUrl.parse(url))).trigger is Trigger.CREATED


async def test_without_the_right_to_make_the_users_table(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    run(
        empty_database,
        "REVOKE CREATE ON SCHEMA public FROM public",  # as it is from Postgres 15 on
        f"CREATE SCHEMA region_tick AUTHORIZATION {urlsplit(url).username}",
    )
    report = await migrate(DatabaseUrl.parse(url))
    assert (report.region_table, report.trigger) == (RegionTable.MISSING, Trigger.NO_TABLE)
    assert await state(url) is SchemaState.CURRENT
