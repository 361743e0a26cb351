"""What a listener hears of a table of regions: its qualified name, once a transaction, if an active region changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from region_operator.database.migrate import migrate
from region_operator.database.region_table import Trigger
from region_operator.scheduler import Columns
from region_tick.database_url import DatabaseUrl
from tests.database.notifying import heard, make_triggers, state_of_triggers
from tests.database.schema import run
from tests.harness.regions import ROW_TRIGGER, add_regions

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "public.region_index"
VALUES = "(code, name, cron_schedule, active)"
MERGE = (
    "MERGE INTO region_index r USING (VALUES ('R1', '{cron}')) v (code, cron) ON r.code = v.code"
    " WHEN MATCHED THEN UPDATE SET cron_schedule = v.cron"
    f" WHEN NOT MATCHED THEN INSERT {VALUES} VALUES (v.code, v.code, v.cron, true)"
)
UPSERT = (
    f"INSERT INTO region_index {VALUES} VALUES ('R1', 'Region R1', '{{cron}}', true)"
    " ON CONFLICT (code) DO UPDATE SET cron_schedule = excluded.cron_schedule"
)
WRITES = {
    "an insert": f"INSERT INTO region_index {VALUES} VALUES ('R9', 'N', '@daily', true)",
    "an insert of several": f"INSERT INTO region_index {VALUES} SELECT n, n, n, true FROM generate_series(1, 9) n",
    "an upsert": UPSERT.format(cron="@hourly"),
    "a delete": "DELETE FROM region_index WHERE code = 'R1'",
    "a truncate": "TRUNCATE region_index",
    "a region that goes to sleep": "UPDATE region_index SET active = false WHERE code = 'R1'",
    "a region that wakes": "UPDATE region_index SET active = true WHERE code = 'OFF'",
    "an id": "UPDATE region_index SET id = gen_random_uuid() WHERE code = 'R1'",
    "a code": "UPDATE region_index SET code = 'R8' WHERE code = 'R1'",
    "a name": "UPDATE region_index SET name = 'x' WHERE code = 'R1'",
    "a schedule": "UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1'",
    "a corner": "UPDATE region_index SET bbox_min_lon = 2 WHERE code = 'R1'",
    "a second corner": "UPDATE region_index SET bbox_min_lat = 2 WHERE code = 'R1'",
    "a third corner": "UPDATE region_index SET bbox_max_lon = NULL WHERE code = 'R1'",
    "a fourth corner": "UPDATE region_index SET bbox_max_lat = 2 WHERE code = 'R1'",
    "a column among others": "UPDATE region_index SET seen_at = now(), name = 'x' WHERE code = 'R1'",
    "a row among others": "UPDATE region_index SET name = CASE code WHEN 'R2' THEN 'x' ELSE name END",
}
SILENT = {
    "an update of no row": "UPDATE region_index SET name = 'x' WHERE false",
    "an update that changes nothing": "UPDATE region_index SET name = name, cron_schedule = cron_schedule",
    "an update of columns that nobody maps": "UPDATE region_index SET seen_at = now(), updated_at = now()",
    "a delete of no row": "DELETE FROM region_index WHERE false",
    "a region that is born asleep": f"INSERT INTO region_index {VALUES} VALUES ('R9', 'N', '@daily', false)",
    "a region that changes in its sleep": "UPDATE region_index SET name = 'x' WHERE code = 'OFF'",
    "a region that dies in its sleep": "DELETE FROM region_index WHERE code = 'OFF'",
    "an upsert of the same": UPSERT.format(cron="@daily"),
    "an upsert that does nothing": f"INSERT INTO region_index {VALUES} VALUES ('R1', 'N', 'x', true)"
    " ON CONFLICT DO NOTHING",
}


@pytest.fixture
def regions(database: str) -> str:
    """The URL of a database whose region_index has the active regions R1 to R3, the inactive OFF, and a column of its
    own.
    """
    run(
        database,
        "ALTER TABLE region_index ADD seen_at timestamptz",
        f"INSERT INTO region_index {VALUES}"
        " SELECT 'R' || n, 'Region R' || n, '@daily', true FROM generate_series(1, 3) n",
        f"INSERT INTO region_index {VALUES} VALUES ('OFF', 'Off', '@daily', false)",
        "UPDATE region_index SET bbox_min_lon = 1, bbox_min_lat = 1, bbox_max_lon = 1, bbox_max_lat = 1",
    )
    return database


@pytest.mark.parametrize("statement", WRITES.values(), ids=WRITES)
def test_what_changes_an_active_region_is_heard(regions: str, listener: psycopg.Connection, statement: str) -> None:
    heard(listener)
    run(regions, statement)
    assert heard(listener) == [OURS]


@pytest.mark.parametrize("statement", SILENT.values(), ids=SILENT)
def test_what_changes_no_active_region_says_nothing(regions: str, listener: psycopg.Connection, statement: str) -> None:
    heard(listener)
    run(regions, statement)
    assert heard(listener) == []


@pytest.mark.parametrize(("cron", "told"), [("@hourly", [OURS]), ("@daily", [])])
def test_a_merge_is_heard_where_there_is_one(
    regions: str, listener: psycopg.Connection, cron: str, told: list[str]
) -> None:
    heard(listener)
    if listener.info.server_version < 150000:
        with pytest.raises(psycopg.errors.SyntaxError):
            run(regions, MERGE.format(cron=cron))
        return
    run(regions, MERGE.format(cron=cron))
    assert heard(listener) == told


def test_a_copy_is_heard(regions: str, listener: psycopg.Connection) -> None:
    heard(listener)
    with (
        psycopg.connect(regions) as connection,
        connection.cursor().copy(f"COPY region_index {VALUES} FROM STDIN") as copy,
    ):
        for number in range(100):
            copy.write_row((f"C{number}", "C", "@daily", True))
    assert heard(listener) == [OURS]


def test_a_transaction_is_heard_once_and_at_its_end(regions: str, listener: psycopg.Connection) -> None:
    heard(listener)
    with psycopg.connect(regions) as connection:
        for statement in ("UPDATE region_index SET name = 'x'", WRITES["an insert"], "DELETE FROM region_index"):
            connection.execute(statement.encode())
        connection.execute("TRUNCATE region_index")
        assert heard(listener) == []
    assert heard(listener) == [OURS]


def test_what_is_rolled_back_is_not_heard(regions: str, listener: psycopg.Connection) -> None:
    heard(listener)
    with psycopg.connect(regions) as connection:
        connection.execute("DELETE FROM region_index")
        connection.rollback()
        connection.execute("SAVEPOINT here")
        connection.execute("UPDATE region_index SET name = 'x'")
        connection.execute("ROLLBACK TO SAVEPOINT here")
    assert heard(listener) == []


def test_a_writer_that_fires_no_triggers_is_not_heard(regions: str, listener: psycopg.Connection) -> None:
    """As logical replication and a restore by pg_restore --disable-triggers are."""
    heard(listener)
    run(regions, "SET session_replication_role = replica; UPDATE region_index SET name = 'x'")
    assert heard(listener) == []


def test_a_writer_needs_no_right_to_our_schema(
    stranger: Callable[[str], str], regions: str, listener: psycopg.Connection
) -> None:
    url = stranger(regions)
    run(regions, f"GRANT INSERT, SELECT, UPDATE, DELETE, TRUNCATE ON region_index TO {urlsplit(url).username}")
    for statement in (WRITES["an insert"], WRITES["a name"], WRITES["a delete"], WRITES["a truncate"]):
        heard(listener)
        run(url, statement)
        assert heard(listener) == [OURS]


async def test_the_name_tells_which_table(database: str, listener: psycopg.Connection) -> None:
    run(database, "CREATE SCHEMA app", "CREATE TABLE app.region_index (LIKE public.region_index INCLUDING ALL)")
    await migrate(replace(DatabaseUrl.parse(database), schema="app"))
    add_regions(database, 3, table="app.region_index")
    assert heard(listener) == ["app.region_index"]


def test_a_renamed_table_tells_its_new_name(regions: str, listener: psycopg.Connection) -> None:
    run(
        regions,
        "CREATE SCHEMA app",
        "ALTER TABLE region_index SET SCHEMA app",
        "ALTER TABLE app.region_index RENAME TO r",
    )
    assert state_of_triggers(regions, schema="app", table="r") is Trigger.FOUND
    heard(listener)
    run(regions, "UPDATE app.r SET name = 'x'")
    assert heard(listener) == ["app.r"]


NAMES = (
    "id",
    "code",
    "name",
    "cron_schedule",
    "bbox_min_lon",
    "bbox_min_lat",
    "bbox_max_lon",
    "bbox_max_lat",
    "active",
)
ODD = {name: f"""{name.upper()} "of" it's {{0}} %s $$ \\ é""" for name in NAMES}
TYPES = {
    "id": ("text", "bigint", "uuid", "json"),
    "code": ("text", "varchar(9)", "name", "jsonb"),
    "cron_schedule": ("text", "char(20)"),
    "bbox_min_lon": ("numeric(9, 6)", "float8", "text", "point"),
    "active": ("boolean",),
}
"""Types that a column may have. json and point have no operator `=`."""
SAMPLES = {
    "bigint": ("1", "2"),
    "uuid": ("5f0c3be4-0000-4000-8000-000000000001", "5f0c3be4-0000-4000-8000-000000000002"),
    "json": ('"\\u0000"', '"\\ud800"'),
    "jsonb": ("[1]", "[2]"),
    "numeric(9, 6)": ("1", "1.000001"),
    "float8": ("1", "NaN"),
    "point": ("(1,2)", "(1,3)"),
}


@pytest.mark.parametrize(("column", "kind"), [(column, kind) for column, kinds in TYPES.items() for kind in kinds])
def test_a_table_of_any_names_and_types(database: str, listener: psycopg.Connection, column: str, kind: str) -> None:
    schema, table = 'Geo "s"', "The 'Regions'"
    kinds = dict.fromkeys(NAMES, "text") | {"active": "boolean DEFAULT true", column: kind}
    before, after = SAMPLES.get(kind, ("true", "false") if column == "active" else ("a", "b"))

    def execute(statement: str) -> list[str]:
        """Execute a statement about the table and its column, and return what is heard of it."""
        names = {"schema": sql.Identifier(schema), "table": sql.Identifier(schema, table)}
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(column=sql.Identifier(ODD[column]), **names))
        return heard(listener)

    execute("CREATE SCHEMA {schema}")
    execute("CREATE TABLE {table} (seen_at timestamptz)")
    with psycopg.connect(database) as connection:
        for name in NAMES:
            add = sql.SQL("ALTER TABLE {} ADD {} {}").format(
                sql.Identifier(schema, table),
                sql.Identifier(ODD[name]),
                sql.SQL(kinds[name]),
            )
            connection.execute(add)
    assert make_triggers(database, schema=schema, table=table, columns=Columns(**ODD)) is Trigger.CREATED
    told = [f"{schema}.{table}"]
    assert execute(f"INSERT INTO {{table}} ({{column}}) VALUES ('{before}')") == told
    assert execute("UPDATE {table} SET {column} = {column}, seen_at = now()") == []
    assert execute(f"UPDATE {{table}} SET {{column}} = '{after}'") == told
    assert execute(f"UPDATE {{table}} SET {{column}} = '{before}'") == told
    assert execute("UPDATE {table} SET {column} = NULL") == told
    assert execute("UPDATE {table} SET {column} = NULL, seen_at = now()") == []
    assert execute(f"UPDATE {{table}} SET {{column}} = '{before}'") == told
    assert execute("DELETE FROM {table}") == told


def test_a_generated_column_changes_with_what_it_is_made_of(database: str, listener: psycopg.Connection) -> None:
    run(
        database,
        "ALTER TABLE region_index ADD place text, ADD label text GENERATED ALWAYS AS (upper(place)) STORED",
        "INSERT INTO region_index (code, name, cron_schedule, place) VALUES ('R1', 'N', '@daily', 'a')",
    )
    assert make_triggers(database, columns=Columns(name="label")) is Trigger.CREATED
    run(database, f"DROP TRIGGER {ROW_TRIGGER} ON region_index")
    heard(listener)
    run(database, "UPDATE region_index SET place = 'A', name = 'x'")
    assert heard(listener) == []
    run(database, "UPDATE region_index SET place = 'b'")
    assert heard(listener) == [OURS]


def test_installations_with_other_columns_hear_each_its_own(database: str, listener: psycopg.Connection) -> None:
    run(database, "ALTER TABLE region_index ADD title text", "ALTER TABLE region_index ADD seen_at timestamptz")
    assert make_triggers(database, columns=Columns(name="title")) is Trigger.CREATED
    assert [state_of_triggers(database, columns=Columns(**other)) for other in ({}, {"name": "title"})] == [
        Trigger.FOUND
    ] * 2
    add_regions(database, 1)
    for column in ("title", "name"):
        heard(listener)
        run(database, f"UPDATE region_index SET {column} = 'x'")
        assert heard(listener) == [OURS]
    run(database, "UPDATE region_index SET seen_at = now()")
    assert heard(listener) == []


PARTITIONED = (
    "CREATE TABLE areas (LIKE region_index INCLUDING DEFAULTS, seen_at timestamptz) PARTITION BY LIST (code)",
    "CREATE TABLE areas_a PARTITION OF areas FOR VALUES IN ('A', 'A2')",
    "CREATE TABLE areas_rest PARTITION OF areas DEFAULT PARTITION BY LIST (code)",
    "CREATE TABLE areas_b PARTITION OF areas_rest FOR VALUES IN ('B')",
)
OF_A, OF_B = ["public.areas", "public.areas_a"], ["public.areas", "public.areas_b", "public.areas_rest"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO areas (code, name, cron_schedule) VALUES ('A2', 'N', 'x')", OF_A),
        ("UPDATE areas SET name = 'x' WHERE code = 'A'", OF_A),
        ("UPDATE areas_b SET name = 'x'", OF_B),
        ("UPDATE areas SET code = 'B' WHERE code = 'A'", [*OF_A, *OF_B[1:]]),
        ("DELETE FROM areas_rest", OF_B),
        ("TRUNCATE areas_a", OF_A),
        ("TRUNCATE areas_rest", OF_B),
        ("UPDATE areas SET seen_at = now()", []),
        ("CREATE TABLE areas_c PARTITION OF areas_rest FOR VALUES IN ('C')", []),
    ],
)
def test_a_partition_tells_of_itself_and_of_what_it_is_a_part_of(
    database: str, listener: psycopg.Connection, statement: str, told: list[str]
) -> None:
    run(database, *PARTITIONED)
    assert make_triggers(database, table="areas") is Trigger.CREATED
    run(database, "INSERT INTO areas (code, name, cron_schedule) VALUES ('A', 'N', 'x'), ('B', 'N', 'x')")
    heard(listener)
    run(database, statement)
    assert sorted(heard(listener)) == told


def test_a_trigger_made_by_hand_goes_on_telling_of_every_statement(database: str, listener: psycopg.Connection) -> None:
    """As failure-modes.md advises for a table that a view shows."""
    run(
        database,
        "CREATE TRIGGER region_tick_by_hand AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON region_index"
        " FOR EACH STATEMENT EXECUTE FUNCTION region_tick.notify_change()",
    )
    heard(listener)
    run(database, "UPDATE region_index SET name = 'x' WHERE false")
    assert heard(listener) == [OURS]
