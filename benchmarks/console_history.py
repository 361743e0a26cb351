"""Fills the ledger for benchmarks of the console: an hourly tick of each region, 1 % missed and 1 % failed.

The rows come in the order of time, as ticks write them. So the ticks of one region are far apart on the disk.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from region_operator.database.engine import make_engine, transaction
from region_operator.database.partitions import ensure_partitions
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from devcluster.postgres import Postgres

HOURS_AT_ONCE = 24
SHARED_BUFFERS = "2GB"

RUNS = """
INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, handler, state, reason, attempt,
    job_name, pod, node, started_at, finished_at, counted, error_message)
SELECT 'public.region_index', id::text, at, code, '0 * * * *', 'poll', state,
    CASE state WHEN 'succeeded' THEN 'ok' WHEN 'failed' THEN 'error' ELSE 'image' END, 1,
    lower(code) || '-0123456789ab-29400000', 'pod', 'node-1', at + interval '2 s', at + interval '12 s', true,
    CASE state WHEN 'succeeded' THEN NULL ELSE 'it did not work' END
FROM region_index, generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 hour') AS at,
    LATERAL (SELECT random() + 0 * extract(epoch FROM at) + 0 * length(code)) AS dice (draw),
    LATERAL (SELECT CASE WHEN draw < 0.01 THEN 'missed' WHEN draw < 0.02 THEN 'failed' ELSE 'succeeded' END)
        AS became (state)
ORDER BY at, draw
"""
CURSORS = """
INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end, tick_at)
SELECT source, region_id, 'poll', max(tick_at), max(tick_at) FROM region_tick.job_run WHERE state = 'succeeded'
GROUP BY 1, 2;
INSERT INTO region_tick.tick_hour (source, installation, hour, state, reason, ticks)
SELECT source, 'ours', tick_at, state, reason, count(*) FROM region_tick.job_run GROUP BY 1, 2, 3, 4, 5;
"""


def give_memory(server: Postgres) -> None:
    """Restart a server with the memory that a server of such a table has: the default is for a tiny one."""
    with psycopg.connect(server.url(), autocommit=True) as session:
        session.execute(f"ALTER SYSTEM SET shared_buffers = '{SHARED_BUFFERS}'".encode())
    server.stop()
    server.start()


async def fill_history(url: str, session: psycopg.Connection[Any], *, last: datetime, hours: int) -> int:
    """Write the ticks of the hours up to `last`, a full hour, for all rows of region_index. Return how many.

    `session` is in autocommit, and puts values into statements itself (psycopg.ClientCursor).
    """
    engine = make_engine(DatabaseUrl.parse(url))
    async with transaction(engine) as connection:
        days = hours // 24 + 2
        await ensure_partitions(connection, (last - timedelta(days=days)).date(), days_ahead=days)
    await engine.dispose()
    begin = last - timedelta(hours=hours - 1)
    for until in (last - timedelta(hours=back) for back in range(0, hours, HOURS_AT_ONCE)):
        first = max(until - timedelta(hours=HOURS_AT_ONCE - 1), begin)
        written = session.execute(RUNS, {"first": first, "last": until}).rowcount
        print(f"ticks since {first}: {written:,} rows", file=sys.stderr)
    session.execute(CURSORS)
    for statement in (b"VACUUM (ANALYZE) region_tick.job_run", b"ANALYZE"):
        session.execute(statement)
    row = session.execute("SELECT count(*) FROM region_tick.job_run").fetchone()
    return row[0] if row else 0
