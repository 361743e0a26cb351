"""Runs a real Postgres for the demo and the tests, in the version that POSTGRES names.

Everything is in one folder, so that another process can find and stop the server. Postgres refuses to run as root: if
this process is root, the server runs as `nobody`, and `nobody` must be able to reach the folder. Every connection needs
the password, so the server may listen on a bridge's address. Committed data survives the end of the server, but not a
crash of the machine: the server is for data that may be lost. The network and its addresses must exist already.
"""

from __future__ import annotations

import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from devcluster import another_time
from devcluster.errors import PostgresError
from devcluster.ports import free_port
from devcluster.postgres_programs import Programs, chosen_major, find_programs
from devcluster.server import Server

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

SERVER_USER = "nobody"
"""The user who runs the server if this process is root."""


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
_INITDB_OPTIONS = (
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

_STOP_AT_END_OF_INPUT = 'read -r _; "$0" stop -m immediate -D "$1/data"; rm -rf "$1"'
"""A shell script that waits for the end of its standard input, then stops the server and removes the folder."""


class StopMode(StrEnum):
    """How a server ends, in pg_ctl's words: SMART waits for sessions, FAST ends sessions, IMMEDIATE acts as a crash."""

    SMART = "smart"
    FAST = "fast"
    IMMEDIATE = "immediate"


class Postgres(Server):
    """A server of the project's own in `folder`. The first start makes the folder.

    Without `port`, the server uses the port of the folder's last start, or a free port at the first start. The folder's
    content was made by the version `major` of Postgres.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self._data = self.folder / "data"
        self._programs: Programs | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(SERVER_USER)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        port_file = self.folder / "port"
        self.port = port or (int(port_file.read_text()) if os.access(port_file, os.R_OK) else free_port())
        version = self._data / "PG_VERSION"
        self.major = int(version.read_text()) if os.access(version, os.R_OK) else chosen_major(os.environ)

    def url(self, database: str | None = None, *, host: str = "127.0.0.1") -> str:
        """Return a database's URL with the superuser's password, for a client that reaches the server at `host`."""
        password = (self.folder / "password").read_text()
        return f"postgresql://postgres:{password}@{host}:{self.port}/{quote(database or 'postgres', safe='')}"

    @property
    def running(self) -> bool:
        """Whether the server runs, no matter which process started the server."""
        return self._data.exists() and self._run("pg_ctl", "status", "-D", "data", accept=(0, 3)).returncode == 0

    def start(self, listen: Sequence[str] = ("127.0.0.1",)) -> None:
        """Start the server on existing addresses. If the server already runs on these addresses, do nothing.

        Raises PostgresError.
        """
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
        """Stop the server, if the server runs. Raises PostgresError if the server does not end."""
        if self.running:
            self._run("pg_ctl", "stop", "-w", "-t", str(TIMEOUT_SECONDS), "-m", mode, "-D", "data")

    def kill(self) -> None:
        """Kill the server and its sessions, like the loss of the machine. `start` recovers the data. Linux only."""
        with self._processes() as processes:
            for process in processes:
                signal.pidfd_send_signal(process, signal.SIGKILL)
            for process in processes:
                select.select([process], [], [], TIMEOUT_SECONDS)
        (self._data / "postmaster.pid").unlink()  # a zombie process with this pid would look like a running server

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the server and its sessions, with open connections, until the context ends. Linux only."""
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
        """Start a server for the `with` block. Server and folder also go if this process dies, for any reason."""
        parent = "/var/tmp" if os.geteuid() == 0 else None  # noqa: S108 - TMPDIR may be closed to SERVER_USER
        postgres = cls(Path(tempfile.mkdtemp(prefix="region-tick-postgres-", dir=parent)))
        postgres._own(postgres.folder)
        with subprocess.Popen(
            ["sh", "-c", _STOP_AT_END_OF_INPUT, postgres._program("pg_ctl"), postgres.folder],
            stdin=subprocess.PIPE,  # the kernel closes the pipe when this process dies
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # a terminal's Ctrl-C must reach this process only
            **postgres._as_user,
        ):
            postgres.start()
            yield postgres

    @contextmanager
    def _processes(self) -> Iterator[list[int]]:
        """Open pidfds of the server's processes, the postmaster first.

        A signal to a pidfd cannot reach another process that got the same pid.
        """
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        processes = [os.pidfd_open(process) for process in (postmaster, *map(int, children))]
        try:
            yield processes
        finally:
            for process in processes:
                os.close(process)

    def _make(self) -> None:
        """Make the folder, the password and an empty server, unless the server exists. Raises PostgresError."""
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
        self._run("initdb", "-D", new.name, *_INITDB_OPTIONS, *(_LOCALE if self.major >= 17 else _LOCALE_BEFORE_17))
        (new / "pg_hba.conf").write_text(_ACCESS)
        new.rename(self._data)

    def _program(self, name: str) -> Path:
        """Return the path of a program, or of a copy if the server's user cannot read the original."""
        if self._programs is None:
            programs = find_programs(self.major)
            if not self._readable(programs.path(name)):
                copy = self.folder / "binaries"
                programs = replace(programs, home=copy) if copy.exists() else self._copy(programs, copy)
            self._programs = programs
        return self._programs.path(name)

    def _copy(self, programs: Programs, target: Path) -> Programs:
        """Copy the programs to `target`, and make the server's user the owner of the copy."""
        copy = programs.copy_to(target)
        self._own(target)
        return copy

    def _run(self, program: str, *arguments: str, accept: Container[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run one of Postgres' programs in the folder as the server's user.

        Raises PostgresError for an exit code outside `accept`.
        """
        done = subprocess.run(
            [self._program(program), *arguments],
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C"} | another_time.passed_on(),
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
        """Make the server's user the owner of a path and everything below."""
        if self._as_user:
            subprocess.run(["chown", "-R", f"{self._as_user['user']}:{self._as_user['group']}", path], check=True)
