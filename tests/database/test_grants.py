"""grants.py on a real Postgres: each role does its work with exactly the rights that the script gives, and no more."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from region_operator.database.comments import VIEWS
from region_operator.database.grants import OF_OPERATOR_ALONE, RIGHTS, GrantError, Kind, write_grants
from region_operator.database.migrate import migrate
from region_operator.database.partitions import partition_name
from region_operator.database.region_table import Trigger
from region_operator.database.retention import forget
from region_operator.database.store import Store
from region_operator.database.tables import metadata
from region_operator.regions.source import read_regions
from region_operator.scheduler import Source
from region_tick.claim import Claimed, claim
from region_tick.contract import SCHEMA, ExitCode
from region_tick.database_url import DatabaseUrl
from region_tick.rerun import claim_again
from region_tick.session import connect
from tests.database.tick_process import Process, Ticks
from tests.harness.console import KnownCluster, console, scheduler_body
from tests.harness.ticks import SOURCE, TICK_AT, Observer, ago, environment, first, variables
from tests.harness.upstream import Upstream, conditional, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.roles import Roles

FEED = b"<rss><channel><item><guid>1</guid></item></channel></rss>"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture
def granted(roles: Roles, database: str) -> Roles:
    """The roles of a migrated database, with their rights."""
    roles.close_public_schema(database)
    assert roles.grant(database) == []
    return roles


def start(ticks: Ticks, handler: str, minutes: int = 0) -> int:
    """Run a tick as a process, and return its exit code."""
    pod = variables(ticks.database, tick_at=TICK_AT - timedelta(minutes=minutes), HANDLER=handler)
    process = Process(ticks.folder, pod | {"POLL_ALLOW_NETWORKS": "127.0.0.0/8"}, "-m", "region_tick")
    ticks.processes.append(process)
    return process.exit_code()


def add_creator(observer: Observer, server: Upstream) -> None:
    url = server.on("/feed", conditional(FEED, etag='"1"'))
    observer.connection.execute(
        "INSERT INTO region_tick.creator (source, region_id, platform, url) VALUES (%s, '42', 'http', %s)",
        (SOURCE, url),
    )


def test_ticks_and_workers_do_their_work(granted: Roles, ticks: Ticks, observer: Observer, server: Upstream) -> None:
    owner, ticks.database = ticks.database, granted.url(Kind.TICK, ticks.database)
    add_creator(observer, server)
    exits = [start(ticks, handler, minutes) for minutes, handler in enumerate(("poke", "poll", "enqueue"))]
    assert exits == [ExitCode.FINAL] * 3, [process.lines for process in ticks.processes]
    assert {(row["state"], row["attempt"]) for row in observer.rows()} == {("succeeded", 1)}
    queued = "SELECT count(*) FROM region_tick.procrastinate_jobs WHERE task_name = 'region_tick.fetch'"
    for table in ("creator", "upstream"):
        observer.connection.execute(f"UPDATE region_tick.{table} SET last_polled_at = NULL".encode())
    assert start(ticks, "enqueue", 3) == ExitCode.FINAL
    assert observer.connection.execute(queued).fetchone() == (1,)

    pod = {"DATABASE_URL": granted.url(Kind.WORKER, owner), "POLL_ALLOW_NETWORKS": "127.0.0.0/8", "HEALTH_PORT": "0"}
    worker = Process(ticks.folder, pod, "-m", "region_worker")
    ticks.processes.append(worker)
    eventually(lambda: observer.connection.execute(queued).fetchone() == (0,), what="the queue is empty", seconds=60)
    worker.popen.send_signal(signal.SIGTERM)
    assert (worker.exit_code(), "permission" in "".join(worker.lines)) == (ExitCode.FINAL, False), worker.lines
    assert observer.connection.execute("SELECT count(*) FROM region_tick.item").fetchone() == (1,)


def test_a_tick_is_claimed_again_and_a_counted_suspension_is_heeded(
    granted: Roles, database: str, observer: Observer
) -> None:
    url = granted.url(Kind.TICK, database)
    with closing(connect(DatabaseUrl.parse(url))) as connection:
        first(url, connection)
        observer.expire()
        assert first(url, connection).attempt == 2
        manual = environment(url, JOB_NAME="by-hand", JOB_UID="m")
        claim(connection, manual, lease_seconds=30)
        observer.connection.execute(
            "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, first_tick_at,"
            " last_tick_at, ticks, counted_until) VALUES (%s, '42', %s, '', '* * * * *', %s, %s, 1, %s)",
            (SOURCE, ago(hours=3), ago(hours=2), ago(hours=2), ago(hours=1)),
        )
        found = claim(connection, environment(url, tick_at=ago(hours=2)), lease_seconds=30)
        assert "suspended" in repr(found)
        again = environment(url, JOB_NAME="again", JOB_UID="r", RERUN_OF=f"{ago(hours=2):%Y-%m-%dT%H:%M:00Z}")
        assert isinstance(claim_again(connection, again, lease_seconds=30), Claimed)
        observer.change(state="failed", counted=True)
        once_more = replace(again, job_uid="s")
        assert isinstance(claim_again(connection, once_more, lease_seconds=30), Claimed)


def test_partitions_that_are_made_later_need_no_rights_of_their_own(granted: Roles, database: str) -> None:
    day = (TICK_AT + timedelta(days=1)).date()
    with psycopg.connect(database) as connection:
        connection.execute(f"DROP TABLE region_tick.{partition_name(day)}".encode())
    subprocess.run(
        [sys.executable, "-m", "region_operator", "migrate"],
        env={"DATABASE_URL": database},
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )
    with psycopg.connect(granted.url(Kind.TICK, database)) as connection:
        insert = f"INSERT INTO region_tick.job_run VALUES ('s', '1', '{day} 12:00Z', '', '', '', NULL, 'running')"
        connection.execute(insert.encode())
        made = f"SELECT count(*) FROM region_tick.{partition_name(day)}"
        with pytest.raises(InsufficientPrivilege):  # the tick reads by the parent alone
            connection.execute(made.encode())


FORBIDDEN = {
    "the table of regions": "UPDATE public.region_index SET active = false",
    "to add a region": "INSERT INTO public.region_index (code, name, cron_schedule) VALUES ('x', 'x', '* * * * *')",
    "even to read the regions": "SELECT * FROM public.region_index",
    "a trigger on it": "CREATE TRIGGER t AFTER UPDATE ON public.region_index EXECUTE FUNCTION region_tick.f()",
    "the schedules": "UPDATE region_tick.region_schedule SET valid_to = now()",
    "the ledger": "UPDATE region_tick.ledger SET accounted_until = 'infinity'",
    "a suspension": "DELETE FROM region_tick.suspension",
    "which release may read": "UPDATE region_tick.compatibility SET min_reader = '9'",
    "the revision": "UPDATE region_tick.alembic_version SET version_num = '9999'",
    "to forget what ran": "DELETE FROM region_tick.job_run",
    "whose row it is": "UPDATE region_tick.job_run SET region_id = '43'",
    "a day of job_run": f"DROP TABLE region_tick.{partition_name(TICK_AT.date() + timedelta(days=1))}",
    "a partition by its name": "SELECT * FROM region_tick.job_run_default",
    "whom a region polls": "UPDATE region_tick.creator SET url = 'https://elsewhere.test'",
    "whom all regions poll": "UPDATE region_tick.upstream SET url = 'https://elsewhere.test'",
    "what was seen": "DELETE FROM region_tick.seen",
    "a table in our schema": "CREATE TABLE region_tick.mine ()",
    "other people's tasks": "DELETE FROM region_tick.procrastinate_jobs",
    "a schema": "CREATE SCHEMA mine",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_out_of_reach_of_a_tick(what: str, granted: Roles, database: str) -> None:
    with psycopg.connect(granted.url(Kind.TICK, database)) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(FORBIDDEN[what].encode())


def test_the_console_reads_what_its_pages_show_and_writes_nothing(granted: Roles, database: str) -> None:
    shown = {right.relation for right in RIGHTS[Kind.CONSOLE]}
    assert shown >= VIEWS.keys()
    with psycopg.connect(granted.url(Kind.CONSOLE, database), autocommit=True) as connection:
        for relation in shown:
            connection.execute(f"SELECT * FROM region_tick.{relation}".encode())
        connection.execute("SELECT * FROM public.region_index")
        for table in metadata.tables.values():
            if table.schema == SCHEMA and table.name not in shown:
                with pytest.raises(InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM {table.fullname}".encode())
            with pytest.raises(InsufficientPrivilege):
                connection.execute(f"DELETE FROM {table.fullname}".encode())


async def test_the_console_gets_its_rights_alone_where_all_else_shares_one_role(roles: Roles, database: str) -> None:
    """The default install: operator and ticks are the owner of the database, and `grants` is never asked for them."""
    roles.close_public_schema(database)
    assert roles.grant(database, kinds=(Kind.CONSOLE,)) == []
    async with (
        console(roles.url(Kind.CONSOLE, database), KnownCluster(scheduler_body())) as browser,
        browser.get("/regions") as answer,
    ):
        assert answer.status == 200, await answer.text()


async def test_an_operator_that_may_not_migrate(
    granted: Roles, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = granted.url(Kind.OPERATOR, database)
    async with Store(lambda: url, may_migrate=False) as store:
        opened = await store.open()
        reading = await read_regions(opened.engine, Source(), default_schema="public")
        assert (list(reading.rows), reading.trigger) == ([], Trigger.FOUND)
        await forget(opened.engine, before=datetime.now(UTC).date() - timedelta(days=30))
    assert [record.message for record in caplog.records] == []
    with psycopg.connect(url) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute("UPDATE public.region_index SET active = false")


async def test_an_operator_that_migrates_owns_the_schema_and_makes_the_triggers(
    roles: Roles, empty_database: str
) -> None:
    with psycopg.connect(empty_database) as connection:
        roles.close_public_schema(empty_database)
        connection.execute(REGIONS.encode())
        for right in (f"CREATE ON DATABASE {connection.info.dbname}", "USAGE ON SCHEMA public"):
            connection.execute(f"GRANT {right} TO {roles.name(Kind.OPERATOR)}".encode())
    url = roles.url(Kind.OPERATOR, empty_database)
    assert (await migrate(DatabaseUrl.parse(url))).trigger is Trigger.REFUSED
    assert roles.grant(empty_database, migrates=True) == []
    assert (await migrate(DatabaseUrl.parse(url))).trigger is Trigger.CREATED
    async with Store(lambda: url, may_migrate=True) as store:
        assert (await read_regions((await store.open()).engine, Source(), default_schema="public")).rows == []


REGIONS = """
CREATE TABLE public.region_index (
    id uuid PRIMARY KEY, code text, name text, bbox_min_lon numeric, bbox_min_lat numeric, bbox_max_lon numeric,
    bbox_max_lat numeric, cron_schedule text, active boolean
)
"""

UNDERMINED = {
    "GRANT UPDATE (active) ON public.region_index TO PUBLIC": "PUBLIC may UPDATE region_index",
    "GRANT DELETE ON region_tick.job_run TO PUBLIC": "PUBLIC may DELETE region_tick.job_run",
    "GRANT INSERT, TRUNCATE ON region_tick.ledger TO {tick}": "role {tick} may INSERT, TRUNCATE region_tick.ledger",
    "GRANT TRIGGER ON public.region_index TO {worker}": "role {worker} may TRIGGER region_index",
    "GRANT CREATE ON SCHEMA public TO PUBLIC": "role {tick} may CREATE in schema public",
    "GRANT {operator} TO {tick}": "role {tick} may act as {operator}: REVOKE {operator} FROM {tick}",
    "ALTER ROLE {tick} SUPERUSER": "role {tick} is a superuser",
    "ALTER TABLE public.region_index OWNER TO {tick}": "role {tick} may act as {tick}",
}


@pytest.mark.parametrize("statement", UNDERMINED)
def test_what_undermines_the_rights_is_a_warning(statement: str, granted: Roles, database: str) -> None:
    names = {kind.value: granted.name(kind) for kind in Kind}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement.format(**names).encode())
        warnings = granted.grant(database)
        connection.execute("ALTER TABLE public.region_index OWNER TO CURRENT_USER")
    assert [text for text in warnings if text.startswith(UNDERMINED[statement].format(**names))], warnings


def test_the_script_may_be_repeated_and_names_are_quoted(roles: Roles, database: str) -> None:
    odd = """o'd "role" $check$; DROP TABLE region_tick.job_run; --"""
    script = write_grants(
        {Kind.TICK: odd, Kind.OPERATOR: roles.name(Kind.OPERATOR)}, schema="public", table="region_index", migrates=True
    )
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(odd)))
        try:
            for _ in range(2):
                connection.execute(script.encode())
            query = "SELECT has_table_privilege(%s, 'region_tick.job_run', 'INSERT')"
            assert connection.execute(query, (odd,)).fetchone() == (True,)
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(odd)))


def test_a_role_for_operator_and_ticks_a_name_that_is_none_and_no_role_are_refused() -> None:
    refused: tuple[dict[Kind, str], ...] = (
        {},
        {Kind.TICK: "same", Kind.OPERATOR: "same"},
        {Kind.TICK: "", Kind.OPERATOR: "o"},
        {Kind.TICK: "ü" * 32, Kind.OPERATOR: "o"},
    )
    for roles in refused:
        with pytest.raises(GrantError):
            write_grants(roles, schema="public", table="region_index", migrates=True)


def test_somebody_has_decided_about_each_table() -> None:
    """A new table is the operator's alone, or `RIGHTS` says who else needs it."""
    named = {right.relation for rights in RIGHTS.values() for right in rights}
    tables = {table.name for table in metadata.tables.values() if table.schema == SCHEMA}
    assert tables <= named | OF_OPERATOR_ALONE


def test_the_command_prints_the_script(tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "region_operator", "grants", *arguments],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = command("--tick-role", "ticks", "--operator-role", "o", "--table", "geo.regions", "--no-migrate")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'GRANT SELECT ON "geo"."regions" TO "o";' in done.stdout.splitlines()
    assert command("--tick-role", "o", "--operator-role", "o").returncode == 64
    assert command("--console-role", "c").stdout.count("-- ") == 2  # the console's rights, and the check
    assert command().returncode == 64
