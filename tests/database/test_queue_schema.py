"""The queue's schema is what procrastinate of the pinned version would make, and works without a search_path."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import psycopg

from region_operator.database.migrate import migrate
from region_tick.contract import SCHEMA
from region_tick.database_url import DatabaseUrl

EVERYTHING = r"""
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    concat_ws(' ', a.attnotnull, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid))
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::text::regnamespace AND c.relkind IN ('r', 'c') AND c.relname LIKE 'procrastinate\_%%'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '' FROM pg_indexes
WHERE schemaname = %(schema)s::text AND tablename LIKE 'procrastinate\_%%'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '' FROM pg_constraint
WHERE connamespace = %(schema)s::text::regnamespace AND conrelid::regclass::text LIKE 'procrastinate\_%%'
    AND contype <> 'n'
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '' FROM pg_trigger
WHERE tgrelid::regclass::text LIKE 'procrastinate\_%%' AND NOT tgisinternal
UNION ALL
SELECT 'function', proname, pg_get_function_identity_arguments(oid), pg_get_function_result(oid), prosrc FROM pg_proc
WHERE pronamespace = %(schema)s::text::regnamespace AND proname LIKE 'procrastinate\_%%'
UNION ALL
SELECT 'enum', t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder), '', ''
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
WHERE t.typnamespace = %(schema)s::text::regnamespace GROUP BY t.typname
"""
"""NOT NULL stands with the columns: only Postgres 18 has constraints of that kind."""


def everything(connection: psycopg.Connection, schema: str = SCHEMA) -> set[tuple[Any, ...]]:
    with connection.transaction():
        connection.execute(f"SET LOCAL search_path = {schema}".encode())
        rows = connection.execute(EVERYTHING, {"schema": schema}).fetchall()
    return {tuple(" ".join(str(part).split()) for part in row) for row in rows}


def test_the_migrations_make_what_the_pinned_procrastinate_makes(database: str, empty_database: str) -> None:
    """Where this fails after an update of procrastinate, a revision has to bring what its new scripts bring."""
    with psycopg.connect(empty_database) as connection:
        connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
        connection.execute(f"SET LOCAL search_path = {SCHEMA}".encode())
        connection.execute(files("procrastinate.sql").joinpath("schema.sql").read_bytes())
        expected = everything(connection)
    assert len(expected) >= 80
    with psycopg.connect(database) as connection:
        assert everything(connection) == expected


def test_each_function_brings_its_own_search_path(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            r"SELECT DISTINCT proconfig FROM pg_proc WHERE pronamespace = %s::regnamespace"
            r" AND proname LIKE 'procrastinate\_%%'",
            (SCHEMA,),
        ).fetchall()
    assert rows == [(["search_path=region_tick, pg_temp"],)]


async def test_a_procrastinate_of_the_users_own_is_not_touched(empty_database: str) -> None:
    own = files("procrastinate.sql").joinpath("schema.sql").read_bytes()
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(own)
        before = everything(connection, "public")
        await migrate(DatabaseUrl.parse(empty_database))
        assert everything(connection, "public") == before
        connection.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('theirs', 'theirs')")
        assert connection.execute("SELECT count(*) FROM region_tick.procrastinate_jobs").fetchone() == (0,)
