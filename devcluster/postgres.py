"""A real Postgres for the demo and the tests, in the version that POSTGRES names.

Everything is in one folder, so that another process can find and stop the server. Postgres refuses to run as root:
there, the server runs as `nobody`, who must be able to reach the folder. Only a password lets anyone in, so that
listening on a bridge's address is safe. What was committed survives the server, but not the machine: this is for data
that may be lost. Making the network and its addresses is left to others.
"""

from __future__ import annotations

import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from devcluster.postgres_programs import Programs, chosen_major, find_programs
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

SERVER_USER = "nobody"
"""Who runs the server where we are root."""

PORTS = range(15000, 21000)
"""Where a free port is looked for: below those of clusters and of outgoing connections, so that it is still free at the
next start.
"""

TIMEOUT_SECONDS = 60

_CONFIGURATION = """
listen_addresses = '{listen}'
port = {port}
unix_socket_directories = ''
password_encryption = scram-sha-256
max_connections = 200
fsync = off
full_page_writes = off
timezone = UTC
log_timezone = UTC
"""
_NEW = (
    *("--username=postgres", "--pwfile=password", "--auth=scram-sha-256"),
    "--encoding=UTF8",
    *("--no-sync", "--no-instructions"),
)
_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_LOCALE_BEFORE_17 = ("--locale=C.UTF-8",)
_ACCESS = """
host all all 0.0.0.0/0 scram-sha-256
host all all ::/0      scram-sha-256
"""

_AFTER_US = 'read -r _; "$0" stop -m immediate -D "$1/data"; rm -rf "$1"'
"""A shell that waits for the end of its input, and then ends the server and removes its folder."""


class PostgresError(RuntimeError):
    """The server cannot be made, started or stopped; the message says why."""


class StopMode(StrEnum):
    """How a server ends, in pg_ctl's words: after its sessions, without them, or as in a crash."""

    SMART = "smart"
    FAST = "fast"
    IMMEDIATE = "immediate"


class Server:
    """Any Postgres in which we may create databases; `url` is that of a database there, which is left alone."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str | None = None) -> str:
        """Return the URL of a database, password included; without a name, that of the database we came by."""
        return (
            self._url
            if database is None
            else urlsplit(self._url)._replace(path=f"/{quote(database, safe='')}").geturl()
        )

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create a database as a copy of `template`, to which nobody may be connected. Raises psycopg.Error."""
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))

    def drop_database(self, name: str) -> None:
        """Drop a database, and the sessions of whoever is in it. Raises psycopg.Error."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(DatabaseUrl.parse(self.url()).conninfo, autocommit=True) as connection:
            connection.execute(statement)


class Postgres(Server):
    """A server of our own in `folder`, which is made at the first start.

    Without `port`, that of the folder's earlier start is taken, or else a free one. What is in the folder was made by
    the version `major` of Postgres.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self._data = self.folder / "data"
        self._programs: Programs | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(SERVER_USER)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        kept = self.folder / "port"
        self.port = port or (int(kept.read_text()) if os.access(kept, os.R_OK) else free_port())
        version = self._data / "PG_VERSION"
        self.major = int(version.read_text()) if os.access(version, os.R_OK) else chosen_major(os.environ)

    def url(self, database: str | None = None, *, host: str = "127.0.0.1") -> str:
        """Return the superuser's URL of a database, password included, for someone who reaches the server at `host`."""
        password = (self.folder / "password").read_text()
        return f"postgresql://postgres:{password}@{host}:{self.port}/{quote(database or 'postgres', safe='')}"

    @property
    def running(self) -> bool:
        """Whether the server runs, whoever started it."""
        return self._data.exists() and self._run("pg_ctl", "status", "-D", "data", accept=(0, 3)).returncode == 0

    def start(self, listen: Sequence[str] = ("127.0.0.1",)) -> None:
        """Start the server on addresses that exist; harmless where it runs on the same ones. Raises PostgresError."""
        self._make()
        configuration = _CONFIGURATION.format(listen=",".join(listen), port=self.port)
        file = self._data / "postgresql.conf"
        if self.running and file.read_text() == configuration:
            return
        self.stop()
        file.write_text(configuration)
        (self.folder / "port").write_text(str(self.port))
        try:
            self._run("pg_ctl", "start", "-w", "-t", str(TIMEOUT_SECONDS), "-D", "data", "-l", "log")
        except PostgresError as error:
            raise PostgresError(f"{error}\n{(self.folder / 'log').read_text()[-2000:]}") from None

    def stop(self, mode: StopMode = StopMode.FAST) -> None:
        """Stop the server; harmless where it does not run. Raises PostgresError when it does not end."""
        if self.running:
            self._run("pg_ctl", "stop", "-w", "-t", str(TIMEOUT_SECONDS), "-m", mode, "-D", "data")

    def kill(self) -> None:
        """Kill the server and its sessions, as the loss of its machine would; `start` recovers the data. Linux only."""
        with self._processes() as processes:
            for process in processes:
                signal.pidfd_send_signal(process, signal.SIGKILL)
            for process in processes:
                select.select([process], [], [], TIMEOUT_SECONDS)
        (self._data / "postmaster.pid").unlink()  # or a zombie, where nobody reaps, would look like a running server

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server and its sessions in their tracks, connections open, until this context ends. Linux only."""
        with self._processes() as processes:
            for process in processes:
                signal.pidfd_send_signal(process, signal.SIGSTOP)
            try:
                yield
            finally:
                for process in reversed(processes):
                    signal.pidfd_send_signal(process, signal.SIGCONT)

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Postgres]:
        """Start a server that goes, with its folder, at the end of this context or of this process, however it dies."""
        parent = "/var/tmp" if os.geteuid() == 0 else None  # noqa: S108 - TMPDIR may be closed to SERVER_USER
        postgres = cls(Path(tempfile.mkdtemp(prefix="region-tick-postgres-", dir=parent)))
        postgres._own(postgres.folder)
        with subprocess.Popen(
            ["sh", "-c", _AFTER_US, postgres._program("pg_ctl"), postgres.folder],
            stdin=subprocess.PIPE,  # the kernel closes it when we die
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # a terminal's Ctrl-C is meant for us alone
            **postgres._as_user,
        ):
            postgres.start()
            yield postgres

    @contextmanager
    def _processes(self) -> Iterator[list[int]]:
        """Open the server's processes, the postmaster first, so that a signal cannot meet another that got a number."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        processes = [os.pidfd_open(process) for process in (postmaster, *map(int, children))]
        try:
            yield processes
        finally:
            for process in processes:
                os.close(process)

    def _make(self) -> None:
        """Make the folder, its password and an empty server, unless they are there."""
        with suppress(PermissionError):
            if self._data.exists():
                return
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own(self.folder)
        if not self._readable(self.folder):
            raise PostgresError(
                f"the user who runs Postgres ({SERVER_USER}, where we are root) cannot reach {self.folder}:"
                " take a folder in e.g. /var/tmp"
            )
        password, new = self.folder / "password", self.folder / "data.new"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        self._own(password)
        shutil.rmtree(new, ignore_errors=True)  # left by a start that was interrupted
        self._run("initdb", "-D", new.name, *_NEW, *(_LOCALE if self.major >= 17 else _LOCALE_BEFORE_17))
        (new / "pg_hba.conf").write_text(_ACCESS)
        new.rename(self._data)

    def _program(self, name: str) -> Path:
        """Return a program that the server's user can run: a copy, where the programs' place is closed to that user."""
        if self._programs is None:
            found = find_programs(self.major)
            if not self._readable(found.path(name)):
                copy = self.folder / "binaries"
                found = replace(found, home=copy) if copy.exists() else self._copy(found, copy)
            self._programs = found
        return self._programs.path(name)

    def _copy(self, programs: Programs, target: Path) -> Programs:
        """Give the server's user programs of its own."""
        copy = programs.copy_to(target)
        self._own(target)
        return copy

    def _run(self, program: str, *arguments: str, accept: Container[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run one of Postgres' programs in the folder as the server's user."""
        done = subprocess.run(
            [self._program(program), *arguments],
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            **self._as_user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode not in accept:
            raise PostgresError(
                f"{program} {' '.join(arguments)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}"
            )
        return done

    def _readable(self, path: Path) -> bool:
        return subprocess.run(["test", "-r", path], check=False, cwd="/", **self._as_user).returncode == 0

    def _own(self, path: Path) -> None:
        """Give a path to the server's user."""
        if self._as_user:
            subprocess.run(["chown", "-R", f"{self._as_user['user']}:{self._as_user['group']}", path], check=True)


def free_port() -> int:
    """Return a random port of PORTS on which nobody listens."""
    for port in secrets.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return port
    raise PostgresError(f"no free port found in {PORTS}")
