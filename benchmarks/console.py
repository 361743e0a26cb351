"""Measures the console at its size: 10,000 regions with 5 million ticks of three weeks.

Each page is asked for over a real connection, as a page and as JSON, first when nothing is remembered, then ROUNDS
times. The promise is that a page takes less than 300 ms, and less than 200 kB on the wire. The first look after a start
reads and parses all rows. On a machine that does other work the wall time says little, so the processor time of the
console, its client and Postgres together is shown too, and judged. `plan` and `forecast` are in `console_load`.

    .venv/bin/python -m benchmarks.console [REGIONS [HOURS]]        (default: 10000 500)
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from benchmarks.console_history import fill_history, give_memory
from benchmarks.operator_under_test import peak_megabytes
from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.database_url import DatabaseUrl
from tests.harness.console import FILL, KnownCluster, console, scheduler_body

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

DEFAULTS = "10000", "500"
ROUNDS = 7
LIMIT_MS, LIMIT_KB = 300, 200
READ_ALL = ("ledger?from=21d&state=skipped", "ledger?from=21d&state=succeeded")
"""Pages that read each row of their time, because no index has these states. They are shown and not judged."""
FORMS = {"page": "text/html", "JSON": "application/json"}

SCHEDULES = """
UPDATE region_tick.region_schedule SET cron = '0 * * * *';
UPDATE region_index SET cron_schedule = '0 * * * *' WHERE cron_schedule = '*/5 * * * *';
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A page: wall times of the first round and of the others, the median processor time, all in milliseconds, and the
    size on the wire in kilobytes.
    """

    path: str
    form: str
    first: float
    median: float
    worst: float
    processor: float
    kilobytes: float


class Processor:
    """The processor time of this process and of the database's sessions, in milliseconds."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def spent(self) -> float:
        rows = self._connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
        return 1000 * (time.process_time() + sum(self._of(pid) for (pid,) in rows))

    def _of(self, pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def fill(url: str, regions: int, hours: int, now: datetime) -> int:
    """Fill an empty database; return how many ticks it has."""
    await migrate(DatabaseUrl.parse(url))
    session = psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor)
    with session:
        session.execute(FILL, {"regions": regions})
        session.execute(SCHEDULES)
        last = now.replace(minute=0, second=0, microsecond=0)
        return await fill_history(url, session, last=last, hours=hours)


async def measure(url: str, regions: int, now: datetime) -> list[Figure]:
    """Return the figures of all pages."""
    tick = now.replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")
    paths = (
        *("", "regions", "regions?page=50", "regions?state=failing,missed&sort=trouble", "regions?code=*77*&sort=late"),
        *("ledger", "ledger?page=50", "ledger?from=7d", "ledger?from=21d", "ledger?state=missed,failed"),
        *("ledger?from=21d&state=failed", *READ_ALL),
        *("next?limit=1000", "regions/R05000", "regions/R05000/ticks?limit=500", f"regions/R05001/ticks/{tick}"),
    )
    figures, processor = [], Processor(url)
    body = scheduler_body() | {"spec": {"maxRegions": regions}}
    async with console(url, KnownCluster(body)) as browser:
        for path, form in product(paths, FORMS):
            times, spent, size = [], [], 0
            for _ in range(ROUNDS + 1):
                before, began = processor.spent(), time.perf_counter()
                size = await look(browser, path, FORMS[form])
                times.append(1000 * (time.perf_counter() - began))
                spent.append(processor.spent() - before)
                await asyncio.sleep(0.05)
            rounds = sorted(times[1:])
            middle = len(rounds) // 2
            busy = sorted(spent[1:])[middle]
            figures.append(Figure(path, form, times[0], rounds[middle], rounds[-1], busy, size / 1000))
    return figures


async def look(browser: TestClient[web.Request, web.Application], path: str, accept: str) -> int:
    """Ask for a page; return its bytes on the wire. Raises RuntimeError for an answer that is none."""
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    async with browser.get(f"/{path}", headers=headers, auto_decompress=False) as answer:
        body = await answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{path}: {answer.status} {body!r}")
        return len(body)


async def run(url: str, regions: int, hours: int) -> int:
    """Fill, measure, print, and return the exit code."""
    now = datetime.now(UTC)
    rows = await fill(url, regions, hours, now)
    print(f"{regions:,} regions, {rows:,} ticks; load of the machine: {os.getloadavg()[0]:.1f}")
    print(f"{'':38} {'':4} {'first':>8} {'median':>8} {'worst':>8} {'CPU, ms':>8} {'kB':>7}")
    figures = await measure(url, regions, now)
    for each in figures:
        print(
            f"/{each.path:37} {each.form:4} {each.first:8.0f} {each.median:8.0f} {each.worst:8.0f}"
            f" {each.processor:8.0f} {each.kilobytes:7.1f}"
        )
    load, megabytes = os.getloadavg()[0], peak_megabytes(os.getpid())
    print(f"load at the end: {load:.1f}; memory of the console and its client at most: {megabytes:.0f} MB")
    judged = [each for each in figures if each.path not in READ_ALL]
    return int(any(each.processor > LIMIT_MS or each.kilobytes > LIMIT_KB for each in judged))


def main() -> int:
    """Measure. Return 1 if a page is beyond a limit."""
    regions, hours = map(int, (*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]))
    with Postgres.temporary() as server:
        give_memory(server)
        server.create_database("console")
        return asyncio.run(run(server.url("console"), regions, hours))


if __name__ == "__main__":
    sys.exit(main())
