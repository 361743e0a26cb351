"""Lets clients of pgbench work in turns, so that two loads are compared in one run of one server.

The clients keep their connections, and are stopped by a signal while the others work. Commits are durable (fsync is
on), as on every server that somebody relies on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from devcluster.postgres_programs import chosen_major, find_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

CLIENTS = 50
WARM_UP_SECONDS = 3
SETTLE_SECONDS = 0.05
MAKE_DURABLE = (
    "ALTER SYSTEM SET fsync = on",
    "ALTER SYSTEM SET full_page_writes = on",
    "SELECT pg_reload_conf()",
)
"""Statements that give the server of a benchmark a real server's settings."""


@contextmanager
def clients(url: str, script: str, *, protocol: str = "simple") -> Iterator[subprocess.Popen[str]]:
    """Start CLIENTS clients that repeat a script, let them work a moment, and stop them until somebody lets them work.

    `protocol` is pgbench's: with `simple` and `extended`, each statement is parsed and planned.
    """
    program = find_programs(chosen_major(os.environ)).path("pgbench")
    options = f"--no-vacuum --client={CLIENTS} --jobs=2 --time=1000000 --define=n=0 --protocol={protocol} --file=-"
    with subprocess.Popen([program, *options.split(), url], stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe, see above
        process.stdin.write(script)
        process.stdin.close()
        time.sleep(WARM_UP_SECONDS)
        process.send_signal(signal.SIGSTOP)
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def at_work(process: subprocess.Popen[str]) -> Iterator[None]:
    """Let stopped clients work during the context. Raises RuntimeError if they have ended."""
    if process.poll() is not None:
        raise RuntimeError(f"pgbench ended with {process.returncode}")
    process.send_signal(signal.SIGCONT)
    yield
    process.send_signal(signal.SIGSTOP)
    time.sleep(SETTLE_SECONDS)  # the transactions that were under way end


def writes_per_second(process: subprocess.Popen[str], connection: psycopg.Connection, *, seconds: float) -> float:
    """Let clients work for a turn, and return how many transactions wrote in a second, in the whole server."""
    before, began = _count_writes(connection), time.monotonic()
    with at_work(process):
        time.sleep(seconds)
        worked = time.monotonic() - began
    return (_count_writes(connection) - before) / worked


def _count_writes(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None  # noqa: S101 - one row, always
    return int(row[0])
