"""A claim waits for a database that is away, as in a failover, and not for one that will never let the tick in."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, ExitCode
from region_tick.database_url import DatabaseUrl
from region_tick.database_wait import passes_by_itself, pause_seconds
from tests.database.tick_process import SHORT_LEASE, Ticks
from tests.harness.long import rounds
from tests.harness.ticks import Observer, ago
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTAGE_SECONDS = rounds(4.0, long=120.0)
TIME_TO_BEGIN_SECONDS = 15
"""What a pod gets to begin in time, on a machine that is busy."""
REGIONS = 6
EFFECT = "CREATE TABLE effect (attempt integer)"


@pytest.fixture(scope="module")
def fallible() -> Iterator[Postgres]:
    """A server of its own, migrated, that a test may stop."""
    with Postgres.temporary() as server:
        server.start()
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        yield server


@pytest.fixture
def server(fallible: Postgres) -> Iterator[Postgres]:
    """The server, running and without rows."""
    with psycopg.connect(fallible.url(), autocommit=True) as connection:
        connection.execute("TRUNCATE region_tick.job_run, region_tick.region_cursor")
        connection.execute("DROP TABLE IF EXISTS effect")
    yield fallible
    if not fallible.running:
        fallible.start()


def set_read_only(observer: Observer, value: str) -> None:
    """Have the database refuse writes, or not, in sessions that begin later."""
    name = observer.connection.info.dbname
    observer.connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())


@contextmanager
def locked_table(database: str) -> Iterator[None]:
    """Hold up all claims by a lock of somebody else's."""
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE region_tick.job_run IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.long
def test_a_failover_loses_no_tick_and_does_none_twice(server: Postgres, tmp_path: Path) -> None:
    """Some ticks come before it and are in mid-work, the others come while the database is away."""
    with closing(Observer(server.url()).connection) as connection:
        connection.execute(EFFECT)
    ticks = Ticks(tmp_path, server.url())
    working = ticks.start(*SHORT_LEASE, "patience=0.2", handler="until_released", REGION_ID="working")
    working.until("working")
    server.stop()
    came = [ticks.start(handler="finishes", REGION_ID=str(number)) for number in range(REGIONS)]
    for process in came:
        process.until("database away")
    time.sleep(OUTAGE_SECONDS)
    assert working.exit_code() == ExitCode.AGAIN
    retry = ticks.start(handler="until_released", REGION_ID="working")
    retry.until("database away")
    ticks.release()
    server.start()
    assert [process.exit_code() for process in (*came, retry)] == [ExitCode.FINAL] * (REGIONS + 1)
    assert {process.event("database answers")["waited_seconds"] > 1 for process in came} == {True}
    with closing(Observer(server.url()).connection) as connection:
        assert connection.execute("SELECT count(*) FROM effect").fetchone() == (REGIONS,)
        rows = connection.execute("SELECT region_id, state FROM region_tick.job_run").fetchall()
    assert len(rows) == REGIONS + 1
    assert {state for _, state in rows} == {"succeeded"}


def test_the_time_of_the_tick_counts_from_when_the_database_answers(
    database: str, tmp_path: Path, observer: Observer
) -> None:
    """Its first answer is that somebody holds a lock. The timeout is shorter than both waits, the latest start later.

    A claim waits 5 s for a lock (statements.BOUNDS).
    """
    set_read_only(observer, "on")
    process = Ticks(tmp_path, database).start(handler="seen", TIMEOUT_SECONDS="8")
    process.until("database away")
    time.sleep(6)
    with locked_table(database):
        set_read_only(observer, "off")
        process.until("waiting")
    assert process.exit_code() == ExitCode.FINAL
    assert 0 < process.event("seen")["remaining"] <= 8


def test_a_tick_that_the_database_made_late_says_for_how_long_it_waited(
    database: str, tmp_path: Path, observer: Observer
) -> None:
    """Although a lock holds up its first claim after that."""
    tick_at = ago(minutes=10)
    late_at = datetime.now(UTC) + timedelta(seconds=TIME_TO_BEGIN_SECONDS)
    start_deadline = int((late_at - tick_at).total_seconds()) - LATENESS_TOLERANCE_SECONDS
    set_read_only(observer, "on")
    process = Ticks(tmp_path, database).start(
        START_DEADLINE_SECONDS=str(start_deadline), TIMEOUT_SECONDS="600", tick_at=tick_at
    )
    process.until("database away")
    assert datetime.now(UTC) < late_at, "the machine is too slow for this test's deadline"
    eventually(lambda: datetime.now(UTC) > late_at, what="the tick is late")
    with locked_table(database):
        set_read_only(observer, "off")
        process.until("waiting")
    assert process.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["reason"]) == ("missed", "database away")
    assert "s after the minute, and waited" in row["error_message"]
    assert " s for a lock and " in row["error_message"]
    assert " s for the database: cannot execute" in row["error_message"]
    assert process.event("final")["detail"] == row["error_message"]


def test_sigterm_ends_the_wait(server: Postgres, tmp_path: Path) -> None:
    ticks = Ticks(tmp_path, server.url())
    server.stop()
    process = ticks.start()
    process.until("database away")
    process.popen.terminate()
    assert process.exit_code() == ExitCode.AGAIN
    assert process.event("not claimed")["reason"] == "terminated"


def test_sigterm_ends_an_attempt_to_reach_a_silent_host(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = Ticks(tmp_path, f"postgresql://tick@127.0.0.1:{silent.getsockname()[1]}/app").start()
        with silent.accept()[0]:
            told = time.monotonic()
            process.popen.terminate()
            assert process.exit_code() == ExitCode.AGAIN
            assert time.monotonic() - told < 8  # the connection's own timeout is 10 s
    assert process.event("not claimed")["reason"] == "terminated"


def test_a_standby_that_is_read_only_is_waited_for(database: str, tmp_path: Path, observer: Observer) -> None:
    set_read_only(observer, "on")
    process = Ticks(tmp_path, database).start()
    process.until("database away")
    set_read_only(observer, "off")
    assert process.exit_code() == ExitCode.FINAL
    assert "read-only transaction" in process.event("database away")["error"]


def test_a_server_without_a_free_connection_is_waited_for(server: Postgres, tmp_path: Path) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS crowded")
        connection.execute("CREATE ROLE crowded LOGIN SUPERUSER PASSWORD 'x'")
        connection.execute("ALTER ROLE crowded NOSUPERUSER CONNECTION LIMIT 0")
        url = urlsplit(server.url())
        ticks = Ticks(tmp_path, url._replace(netloc=f"crowded:x@{url.hostname}:{url.port}").geturl())
        process = ticks.start()
        process.until("database away")
        connection.execute("ALTER ROLE crowded SUPERUSER CONNECTION LIMIT -1")
        assert process.exit_code() == ExitCode.FINAL
        assert "too many connections" in process.event("database away")["error"]


@pytest.mark.parametrize("wrong", ["password", "database", "role", "tls"])
def test_what_nobody_mends_is_not_waited_for(wrong: str, database: str, tmp_path: Path) -> None:
    url = urlsplit(database)
    place = f"{url.hostname}:{url.port}"
    urls = {
        "password": url._replace(netloc=f"nobody_here:wrong@{place}"),
        "database": url._replace(path="/no_such_database"),
        "role": url._replace(netloc=f"no_such_role@{place}"),
        "tls": url._replace(query="sslmode=require"),
    }
    process = Ticks(tmp_path, urls[wrong].geturl()).start()
    assert process.exit_code() == ExitCode.AGAIN
    assert [event["event"] for event in process.events()] == ["database failed"]


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("failed to resolve host 'authentication-db.prod.svc': [Errno -2] Name or service not known", True),
        ('connection to server at "certificate.test" (10.0.0.1), port 5432 failed: Connection refused', True),
        ('FATAL:  password authentication failed for user "tick"', False),
        ('FATAL:  role "o\'brien" does not exist', False),
    ],
)
def test_the_name_of_a_host_says_nothing_about_the_error(message: str, passes: bool) -> None:
    assert passes_by_itself(psycopg.OperationalError(message)) is passes


def test_pauses_grow_and_stay_short() -> None:
    pauses = [pause_seconds(failures, share=1.0) for failures in range(1, 2000)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 4.0)
    assert pause_seconds(1, share=0.0) == 0.25
