"""The embedded server: found again from its folder, stopped by others, gone with whoever wanted a temporary one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.errors import PostgresError
from devcluster.postgres import Postgres, StopMode
from devcluster.server import Server
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "SELECT n FROM t"


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of the test's own, with one row."""
    with Postgres.temporary() as server, psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
        connection.close()
        yield server


def ask(url: str, query: str) -> object:
    """Return the one value of a query."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_databases_come_and_go(server: Postgres) -> None:
    server.create_database('Odd "name"/?%')
    assert ask(server.url('Odd "name"/?%'), "SELECT current_database()") == 'Odd "name"/?%'
    server.create_database("copy", template='Odd "name"/?%')
    with psycopg.connect(server.url("copy")):
        server.drop_database("copy")
    server.drop_database("copy")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(server.url("copy"))


@pytest.mark.parametrize("mode", StopMode)
def test_it_comes_back_on_its_port_with_its_data(server: Postgres, mode: StopMode) -> None:
    url = server.url()
    server.stop(mode)
    assert not server.running
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    server.start()
    assert server.url() == url
    assert ask(url, TABLE) == 7


def test_it_recovers_what_was_committed_before_it_was_killed(server: Postgres) -> None:
    with psycopg.connect(server.url()) as session:
        server.kill()
        assert not server.running
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    server.start()
    assert ask(server.url(), TABLE) == 7


def test_a_second_start_and_a_second_stop_are_harmless(server: Postgres) -> None:
    with psycopg.connect(server.url()) as session:
        server.start()
        session.execute("SELECT 1")
    server.stop()
    server.stop()


def test_another_object_finds_and_stops_it(server: Postgres) -> None:
    other = Postgres(server.folder)
    assert other.running
    assert other.url() == server.url()
    other.stop()
    assert not server.running


def test_other_addresses_need_a_start_but_no_new_folder(server: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url(host="127.0.0.2"))
    server.start(listen=("127.0.0.1", "127.0.0.2"))
    assert ask(server.url(host="127.0.0.2"), TABLE) == 7


@pytest.mark.parametrize("password", ["", ":wrong"])
def test_nobody_comes_in_without_the_password(server: Postgres, password: str) -> None:
    secret = server.url().partition("@")[0].rpartition(":")[2]
    assert (server.folder / "password").stat().st_mode & 0o077 == 0
    assert server.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url().replace(f":{secret}", password))


def test_a_port_that_is_taken_is_named(server: Postgres) -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        with pytest.raises(PostgresError, match=f"Address already in use\n.*port {server.port}"):
            Postgres(Path(folder, "postgres"), server.port).start()


def test_a_folder_that_the_servers_user_cannot_reach_is_named() -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o000)
        with pytest.raises(PostgresError, match=f"cannot reach {folder}/postgres: take .* /var/tmp"):
            Postgres(Path(folder, "postgres")).start()
        Path(folder).chmod(0o700)


def test_a_temporary_one_leaves_nothing() -> None:
    with Postgres.temporary() as server:
        url = server.url()
        assert server.running
    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_a_temporary_one_dies_with_its_process() -> None:
    script = (
        "from devcluster.postgres import Postgres\n"
        "with Postgres.temporary() as server: print(server.folder, server.url(), flush=True), input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        folder, url = caller.stdout.readline().split()
        assert ask(url, "SELECT 1") == 1
        with psycopg.connect(url) as session:
            caller.send_signal(signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT pg_sleep(30)")
    eventually(lambda: not Path(folder).exists(), what="the folder is gone")


def test_a_server_is_known_by_the_url_of_one_database(server: Postgres) -> None:
    server.create_database("home")
    other = Server(server.url("home") + "?connection_limit=5&schema=app")
    other.create_database("made")
    assert other.url("made") == server.url("made") + "?connection_limit=5&schema=app"
    assert ask(server.url("made"), "SELECT current_database()") == "made"
