"""Measures the console at its size: 10,000 regions with 5 million ticks of three weeks. Run it with python -m.

Each page is asked for over a real connection, first when nothing is remembered, then ROUNDS times. The promise is that
a page takes less than 300 ms, and less than 200 kB on the wire. The first look after a start reads and parses all rows.
On a machine that does other work the wall time says little, so the processor time of the console, its client and
Postgres together is shown too, and judged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from devcluster.postgres import Postgres
from region_operator.database.engine import make_engine, transaction
from region_operator.database.migrate import migrate
from region_operator.database.partitions import ensure_partitions
from region_tick.database_url import DatabaseUrl
from tests.harness.console import FILL, KnownCluster, console, scheduler_body

REGIONS, HOURS = 10_000, 500
ROUNDS = 7
LIMIT_MS, LIMIT_KB = 300, 200

RUNS = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, handler, state, reason, attempt,
    job_name, pod, node, started_at, finished_at, counted, error_message)
SELECT 'public.region_index', id::text, at, code, '0 * * * *', 'poll', state,
    CASE state WHEN 'succeeded' THEN 'ok' WHEN 'failed' THEN 'error' ELSE 'image' END, 1,
    lower(code) || '-0123456789ab-29400000', 'pod', 'node-1', at + interval '2 s', at + interval '12 s', true,
    CASE state WHEN 'succeeded' THEN NULL ELSE 'it did not work' END
FROM region_index, generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 hour') AS at,
    LATERAL (SELECT random() + 0 * extract(epoch FROM at)) AS dice (draw),
    LATERAL (SELECT CASE WHEN draw < 0.01 THEN 'missed' WHEN draw < 0.02 THEN 'failed' ELSE 'succeeded' END)
        AS became (state)
"""
CURSORS = """
INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end, tick_at)
SELECT source, region_id, 'poll', max(tick_at), max(tick_at) FROM region_tick.job_run WHERE state = 'succeeded'
GROUP BY 1, 2;
UPDATE region_tick.region_schedule SET cron = '0 * * * *';
UPDATE region_index SET cron_schedule = '0 * * * *' WHERE cron_schedule = '*/5 * * * *';
INSERT INTO region_tick.tick_hour (source, installation, hour, state, reason, ticks)
SELECT source, 'ours', tick_at, state, reason, count(*) FROM region_tick.job_run GROUP BY 1, 2, 3, 4, 5;
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A page: wall times of the first round and of the others, the median processor time, all in milliseconds, and the
    size on the wire in kilobytes.
    """

    path: str
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


async def fill(url: str, now: datetime) -> int:
    """Fill an empty database; return how many ticks it has."""
    await migrate(DatabaseUrl.parse(url))
    engine = make_engine(DatabaseUrl.parse(url))
    async with transaction(engine) as connection:
        await ensure_partitions(connection, (now - timedelta(days=22)).date())
    await engine.dispose()
    last = now.replace(minute=0, second=0, microsecond=0)
    session = psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor)
    with session:
        session.execute(FILL, {"regions": REGIONS})
        for day in range(0, HOURS, 24):
            until = last - timedelta(hours=day)
            first = max(until - timedelta(hours=23), last - timedelta(hours=HOURS - 1))
            session.execute(RUNS, {"first": first, "last": until})
            print(f"{min(HOURS, day + 24) * REGIONS / 1e6:.1f} million ticks", file=sys.stderr)
        session.execute(CURSORS)
        for statement in ("VACUUM (ANALYZE) region_tick.job_run", "ANALYZE"):
            session.execute(statement.encode())
        row = session.execute("SELECT count(*) FROM region_tick.job_run").fetchone()
    return row[0] if row else 0


async def measure(url: str, now: datetime) -> list[Figure]:
    """Return the figures of all pages."""
    tick = now.replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")
    paths = (
        *("", "regions", "regions?page=50", "regions?state=failing,missed&sort=trouble", "regions?code=*77*&sort=late"),
        *("ledger", "ledger?page=50", "ledger?from=7d", "ledger?from=21d", "ledger?state=missed,failed"),
        *("next?limit=1000", "regions/R05000", "regions/R05000/ticks?limit=500", f"regions/R05001/ticks/{tick}"),
    )
    figures, processor = [], Processor(url)
    async with console(url, KnownCluster(scheduler_body())) as browser:
        for path in paths:
            times, spent = [], []
            for _ in range(ROUNDS + 1):
                before, began = processor.spent(), time.perf_counter()
                async with browser.get(
                    f"/{path}", headers={"Accept": "application/json"}, auto_decompress=False
                ) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"{path}: {answer.status} {body!r}")
                times.append(1000 * (time.perf_counter() - began))
                spent.append(processor.spent() - before)
                await asyncio.sleep(0.05)
            rounds = sorted(times[1:])
            middle = len(rounds) // 2
            busy = sorted(spent[1:])[middle]
            figures.append(Figure(path, times[0], rounds[middle], rounds[-1], busy, len(body) / 1000))
    return figures


async def run(url: str) -> int:
    """Fill, measure, print, and return the exit code."""
    now = datetime.now(UTC)
    rows = await fill(url, now)
    print(f"{REGIONS:,} regions, {rows:,} ticks")
    print(f"{'page':45} {'first':>8} {'median':>8} {'worst':>8} {'CPU':>8} {'kB':>7}")
    figures = await measure(url, now)
    for each in figures:
        print(
            f"/{each.path:44} {each.first:8.0f} {each.median:8.0f} {each.worst:8.0f} {each.processor:8.0f}"
            f" {each.kilobytes:7.1f}"
        )
    return int(any(each.processor > LIMIT_MS or each.kilobytes > LIMIT_KB for each in figures))


def main() -> int:
    with Postgres.temporary() as server:
        server.create_database("console")
        return asyncio.run(run(server.url("console")))


if __name__ == "__main__":
    sys.exit(main())
