"""The database says of each of our tables, views and functions what it is, in the words of this release."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg

from region_operator.database.comments import FUNCTIONS, TABLES, VIEWS, Description
from region_operator.database.migrate import migrate
from region_operator.database.row_trigger import RowTrigger
from region_operator.scheduler import Columns
from region_tick.database_url import DatabaseUrl
from tests.database.schema import run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

RELATIONS = r"""
SELECT c.relname, a.attname,
    CASE WHEN a.attnum > 0 THEN col_description(c.oid, a.attnum) ELSE obj_description(c.oid, 'pg_class') END
FROM pg_class c
JOIN LATERAL (
    SELECT 0 AS attnum, '' AS attname
    UNION ALL
    SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
) AS a ON true
WHERE c.relnamespace = 'region_tick'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND c.relname NOT LIKE 'job\_run\_%' AND c.relname NOT LIKE 'procrastinate\_%'
"""
FUNCTION_TEXTS = r"""
SELECT proname, obj_description(oid, 'pg_proc') FROM pg_proc
WHERE pronamespace = 'region_tick'::regnamespace AND proname NOT LIKE 'procrastinate\_%'
"""
LAST_WRITE = "SELECT max(xmin::text::bigint) FROM pg_description"
TEXT = "SELECT obj_description('region_tick.ledger'::regclass)"


def ask(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def texts(relations: dict[str, Description]) -> set[tuple[str, str, str]]:
    return {
        (name, part, said)
        for name, description in relations.items()
        for part, said in {"": description.text, **description.columns}.items()
    }


def test_a_migrated_database_says_what_everything_is(database: str) -> None:
    assert set(ask(database, RELATIONS)) == texts(TABLES | VIEWS)
    row_trigger = RowTrigger.of(Columns())
    assert dict(ask(database, FUNCTION_TEXTS)) == FUNCTIONS | {row_trigger.function: row_trigger.comment}


def test_the_users_table_is_not_spoken_for(database: str) -> None:
    assert value(database, "SELECT count(*) FROM pg_description WHERE objoid = 'region_index'::regclass") == 0


async def test_texts_are_written_where_they_differ_and_nowhere_else(database: str) -> None:
    before = value(database, LAST_WRITE)
    await migrate(DatabaseUrl.parse(database))
    assert value(database, LAST_WRITE) == before
    run(
        database,
        "COMMENT ON TABLE region_tick.ledger IS 'of an older release: it''s another'",
        "COMMENT ON COLUMN region_tick.runs.duration IS NULL",
    )
    await migrate(DatabaseUrl.parse(database))
    assert set(ask(database, RELATIONS)) == texts(TABLES | VIEWS)


async def test_who_does_not_own_the_tables_migrates_all_the_same(
    stranger: Callable[[str], str], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = stranger(database)
    role = url.removeprefix("postgresql://").partition(":")[0]
    run(
        database,
        "COMMENT ON TABLE region_tick.ledger IS NULL",
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA region_tick TO {role}",
    )
    caplog.set_level(logging.INFO)
    await migrate(DatabaseUrl.parse(url))
    assert "comments not written" in [record.message for record in caplog.records]
    assert value(database, TEXT) is None
    run(database, f"DROP OWNED BY {role}")


async def test_a_read_only_server_keeps_its_texts(empty_database: str) -> None:
    url = DatabaseUrl.parse(empty_database)
    await migrate(url)
    run(
        empty_database,
        "COMMENT ON TABLE region_tick.ledger IS NULL",
        f"ALTER DATABASE {value(empty_database, 'SELECT current_database()')} SET default_transaction_read_only = on",
    )
    await migrate(url)
    assert value(empty_database, TEXT) is None


def test_a_days_partition_does_not_repeat_them(database: str) -> None:
    partitions = "SELECT count(*) FROM pg_description WHERE objoid IN (SELECT inhrelid FROM pg_inherits)"
    assert value(database, partitions) == 0
