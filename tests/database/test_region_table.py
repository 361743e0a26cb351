"""database/region_table.py on a real Postgres: the triggers of the user's table, in any shape and with any rights."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from region_operator.database.default_table import RegionTable
from region_operator.database.migrate import migrate
from region_operator.database.region_table import Trigger
from region_operator.scheduler import Columns
from region_tick.database_url import DatabaseUrl
from tests.database.notifying import heard, make_triggers, state_of_triggers
from tests.database.schema import run, value
from tests.harness.regions import ROW_TRIGGER

if TYPE_CHECKING:
    from collections.abc import Callable

OTHERS = (
    "code text, name text, cron_schedule text, active bool,"
    " bbox_min_lon text, bbox_min_lat text, bbox_max_lon text, bbox_max_lat text"
)
"""The default columns except for the id."""


@pytest.mark.parametrize(
    ("relation", "trigger"),
    [
        (f"CREATE TABLE region_index (id bigint PRIMARY KEY, {OTHERS})", Trigger.CREATED),
        (f"CREATE TABLE region_index (id bigint, {OTHERS}) PARTITION BY HASH (id)", Trigger.CREATED),
        ("CREATE TABLE region_index (id bigint PRIMARY KEY, cron_schedule text)", Trigger.UNMAPPED),
        ("CREATE VIEW region_index AS SELECT 1::bigint AS id", Trigger.NO_TABLE),
        ("CREATE MATERIALIZED VIEW region_index AS SELECT 1::bigint AS id", Trigger.NO_TABLE),
    ],
)
async def test_a_table_that_is_there_is_left_as_it_is(empty_database: str, relation: str, trigger: Trigger) -> None:
    run(empty_database, relation)
    report = await migrate(DatabaseUrl.parse(empty_database))
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, trigger)
    assert value(empty_database, "SELECT pg_typeof((SELECT max(id) FROM region_index))::text") == "bigint"


async def test_a_locked_table_gets_its_trigger_another_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_operator.database.migrate.LOCK_TIMEOUT_SECONDS", 0.1)
    run(database, f"DROP TRIGGER {ROW_TRIGGER} ON region_index")
    with psycopg.connect(database) as writer:
        writer.execute("UPDATE region_index SET active = active")
        assert (await migrate(DatabaseUrl.parse(database))).trigger is Trigger.REFUSED
    assert (await migrate(DatabaseUrl.parse(database))).trigger is Trigger.CREATED


async def test_without_rights_on_the_users_table(stranger: Callable[[str], str], empty_database: str) -> None:
    url = stranger(empty_database)
    run(
        empty_database,
        f"CREATE TABLE region_index (id bigint PRIMARY KEY, {OTHERS})",
        f"CREATE SCHEMA region_tick AUTHORIZATION {urlsplit(url).username}",
    )
    report = await migrate(DatabaseUrl.parse(url))
    assert (report.region_table, report.trigger) == (RegionTable.FOUND, Trigger.REFUSED)
    run(empty_database, f"GRANT TRIGGER ON region_index TO {urlsplit(url).username}")
    assert (await migrate(DatabaseUrl.parse(url))).trigger is Trigger.CREATED


LIKE = "CREATE TABLE areas (LIKE region_index INCLUDING DEFAULTS)"
PARTITION = "CREATE TABLE {} PARTITION OF areas FOR VALUES IN ('{}')"
FOREIGN = (
    "CREATE FOREIGN DATA WRAPPER nowhere",
    "CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere",
    "CREATE FOREIGN TABLE far PARTITION OF areas FOR VALUES IN ('F') SERVER nowhere",
)


@pytest.mark.parametrize(
    ("statements", "state"),
    [
        ([LIKE, "CREATE TABLE child () INHERITS (areas)"], Trigger.PARTIAL),
        ([f"{LIKE} PARTITION BY LIST (code)", PARTITION.format("a", "A")], Trigger.CREATED),
        ([f"{LIKE} PARTITION BY LIST (code)", *FOREIGN], Trigger.PARTIAL),
        (["CREATE FOREIGN DATA WRAPPER w", "CREATE SERVER s FOREIGN DATA WRAPPER w",
          f"CREATE FOREIGN TABLE areas (id text, {OTHERS}) SERVER s"], Trigger.NO_TABLE),
    ],
    ids=["a child that inherits", "a partition", "a partition elsewhere", "a table elsewhere"],
)  # fmt: skip
def test_whether_the_triggers_tell_of_every_edit(database: str, statements: list[str], state: Trigger) -> None:
    run(database, *statements)
    assert make_triggers(database, table="areas") is state
    assert state_of_triggers(database, table="areas") is (Trigger.FOUND if state is Trigger.CREATED else state)


def test_a_column_that_is_computed_when_it_is_read_tells_nothing(database: str) -> None:
    add = "ALTER TABLE region_index ADD label text GENERATED ALWAYS AS (code) VIRTUAL"
    columns = Columns(name="label")
    if value(database, "SELECT current_setting('server_version_num')::int < 180000"):
        with pytest.raises(psycopg.errors.SyntaxError):
            run(database, add)
        return
    run(database, add)
    assert [make_triggers(database, columns=columns) for _ in range(2)] == [Trigger.PARTIAL] * 2


def test_each_partition_has_a_trigger_for_truncate(database: str) -> None:
    run(database, f"{LIKE} PARTITION BY LIST (code)", PARTITION.format('"a %s"', "A"))
    assert make_triggers(database, table="areas") is Trigger.CREATED
    run(database, PARTITION.format("b", "B"))
    assert state_of_triggers(database, table="areas") is Trigger.MISSING
    assert make_triggers(database, table="areas") is Trigger.CREATED
    assert state_of_triggers(database, table="areas") is Trigger.FOUND


@pytest.mark.parametrize("name", ["areas", "a"])
@pytest.mark.parametrize("trigger", [ROW_TRIGGER, "region_tick_notify_truncate"])
def test_a_trigger_that_is_disabled_anywhere_is_disabled(database: str, name: str, trigger: str) -> None:
    run(database, f"{LIKE} PARTITION BY LIST (code)", PARTITION.format("a", "A"))
    make_triggers(database, table="areas")
    run(database, f"ALTER TABLE ONLY {name} DISABLE TRIGGER {trigger}")
    assert make_triggers(database, table="areas") is Trigger.DISABLED


def test_a_partition_that_is_read_by_itself_shares_the_trigger_of_the_whole(database: str) -> None:
    run(database, f"{LIKE} PARTITION BY LIST (code)", PARTITION.format("a", "A"))
    assert make_triggers(database, table="areas") is Trigger.CREATED
    assert state_of_triggers(database, table="a") is Trigger.FOUND


def test_a_whole_whose_partition_has_the_trigger_already_is_refused(database: str) -> None:
    """Postgres cannot copy a trigger to where one of its name is."""
    run(database, f"{LIKE} PARTITION BY LIST (code)", PARTITION.format("a", "A"))
    assert make_triggers(database, table="a") is Trigger.CREATED
    assert make_triggers(database, table="areas") is Trigger.REFUSED


def test_an_old_trigger_of_another_role_is_mute_once_the_new_ones_stand(
    stranger: Callable[[str], str], database: str, listener: psycopg.Connection
) -> None:
    """Only its owner may drop a table's trigger. An operator of 0.1 may make it again, too."""
    url = stranger(database)
    role = urlsplit(url).username
    run(
        database,
        f"DROP TRIGGER {ROW_TRIGGER} ON region_index",
        "CREATE TRIGGER region_tick_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON region_index"
        " FOR EACH STATEMENT EXECUTE FUNCTION region_tick.notify_change()",
        f"GRANT TRIGGER ON region_index TO {role}",
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
    )
    run(database, "UPDATE region_index SET name = 'x' WHERE false")
    assert heard(listener) == ["public.region_index"]
    assert make_triggers(url) is Trigger.CREATED
    assert state_of_triggers(url) is Trigger.FOUND
    run(database, "UPDATE region_index SET name = 'x' WHERE false")
    assert heard(listener) == []
    run(database, f"DROP OWNED BY {role}")
