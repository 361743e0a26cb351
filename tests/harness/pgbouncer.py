"""Runs a PgBouncer in transaction mode in front of a Postgres."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from devcluster import debian
from devcluster.ports import free_port
from tests.harness.attached import WITH_US
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


class PgBouncer:
    """A PgBouncer in front of a Postgres, with two connections for all clients. `url` leads through PgBouncer."""

    def __init__(self, url: str, folder: Path) -> None:
        debian.complete_path()
        debian.ensure(debian.TESTS)
        self._program = shutil.which("pgbouncer") or "pgbouncer"
        self._user = "nobody" if os.geteuid() == 0 else None  # PgBouncer refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = folder / "pgbouncer.ini"
        parts, self._port, users = urlsplit(url), free_port(), folder / "users"
        users.write_text(f'"{parts.username}" "{parts.password}"')
        self._configuration.write_text(
            f"[databases]\n* = host={parts.hostname} port={parts.port or 5432}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 2\n"
            "server_login_retry = 1\nquery_wait_timeout = 5\n"
        )
        for path in (folder, users, self._configuration) if self._user else ():
            shutil.chown(path, self._user or -1)
        place = f"{parts.username}:{parts.password}@127.0.0.1:{self._port}"
        self.url = parts._replace(netloc=place, query="pgbouncer=true").geturl()

    @classmethod
    @contextmanager
    def before(cls, url: str) -> Iterator[Self]:
        """Run a PgBouncer in front of the Postgres of `url` until the end of the block."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            bouncer = cls(url, Path(folder))
            bouncer.start()
            try:
                yield bouncer
            finally:
                bouncer.kill()

    def start(self) -> None:
        """Start PgBouncer, and wait until PgBouncer listens."""
        self._process = subprocess.Popen(
            ["sh", "-c", WITH_US, self._program, "-q", self._configuration], stdin=subprocess.PIPE, user=self._user
        )
        eventually(self._listens, what="PgBouncer listens")

    def kill(self) -> None:
        """Kill PgBouncer; the clients lose their connections. `start` starts PgBouncer again."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
