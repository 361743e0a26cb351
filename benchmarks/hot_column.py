"""Measures what the triggers cost the user's own writes: many clients update a column that the operator does not read.

Two tables have 1,000 rows each, with a column `seen_at` and a document of 20 kB in each row. One has our triggers. Each
table has 50 clients of pgbench. Each client updates one random row a statement, as fast as the client can: `UPDATE ...
SET seen_at = now() WHERE nr = ...`. The clients of one table work for half a second while the clients of the other are
stopped, in turn in one run, on a Postgres made for the run, whose commits are durable. While the clients of our table
work:

- a connection listens, and hears nothing of the updates.
- now and then another session edits a schedule, and the listener hears of the edit.

pgbench speaks the protocol that it speaks by default: each statement is parsed and planned. Times depend on the
machine, so the benchmark judges a ratio: the median of the ratios of two turns, one with triggers and the next one
without.

    .venv/bin/python -m benchmarks.hot_column [SECONDS]

SECONDS is how long the clients of each table work altogether, 60 by default.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass
from operator import truediv

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.pgbench import CLIENTS, MAKE_DURABLE, at_work, clients, writes_per_second
from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import add_regions

ROWS = 1000
DEFAULT_SECONDS = 60
TURN_SECONDS = 0.5
EDIT_EVERY = 20
"""How many turns of our table pass from one edit to the next."""
WITH, WITHOUT = "region_index", "plain"
"""The tables with the triggers and without."""
LEAST_RATIO = 0.95
MOST_SECONDS = 1.0
"""How long an edit may take to be heard, from the start of its statement."""
PATIENCE_SECONDS = 30
PREPARE = (
    *MAKE_DURABLE,
    "ALTER TABLE region_index ADD nr serial UNIQUE, ADD seen_at timestamptz, ADD document text",
    "UPDATE region_index SET document = (SELECT string_agg(md5(n::text), code) FROM generate_series(1, 600) n)",
    "CREATE TABLE plain (LIKE region_index INCLUDING ALL)",
    "INSERT INTO plain SELECT * FROM region_index",
    "VACUUM FULL ANALYZE",
)
SCRIPT = f"\\set n random(1, {ROWS})\nUPDATE {{table}} SET seen_at = now() WHERE nr = :n;\n"
EDIT = "UPDATE region_index SET cron_schedule = cron_schedule || ' ' WHERE nr = 1"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The updates per second of each turn by table, and the seconds that each edit took to be heard.

    `stray` is the number of notifications that told of no edit.
    """

    rates: dict[str, list[float]]
    delays: list[float]
    stray: int


def main() -> int:
    """Measure and print a table. Return 1 if a limit is not kept."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SECONDS
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        add_regions(server.url(), ROWS)
        measured = measure(server.url(), seconds)
    ratio = statistics.median(map(truediv, measured.rates[WITH], measured.rates[WITHOUT]))
    slowest = max(measured.delays)
    table = Table(f"{CLIENTS} CLIENTS, {seconds} S ON EACH TABLE", "MEASURED", "LIMIT", box=None)
    for name, rates in measured.rates.items():
        table.add_row(f"updates a second, {name}", f"{statistics.median(rates):,.0f}", "")
    table.add_row("ratio", f"{ratio:.3f}", f"at least {LEAST_RATIO}")
    table.add_row("notifications of updates", str(measured.stray), "0")
    table.add_row("slowest edit to be heard", f"{slowest:.3f} s", f"{MOST_SECONDS:g} s")
    Console().print(table)
    return 0 if ratio >= LEAST_RATIO and measured.stray == 0 and slowest < MOST_SECONDS else 1


def measure(url: str, seconds: float) -> Measurement:
    """Let the clients of each table work for `seconds`, in turns of TURN_SECONDS."""
    rates: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    delays: list[float] = []
    stray = 0
    with psycopg.connect(url, autocommit=True) as editor, psycopg.connect(url, autocommit=True) as listener:
        for statement in PREPARE:
            editor.execute(statement.encode())
        listener.execute(f"LISTEN {CHANGES_CHANNEL}")
        with (
            clients(url, SCRIPT.format(table=WITH)) as ours,
            clients(url, SCRIPT.format(table=WITHOUT)) as others,
        ):
            for number in range(round(seconds / TURN_SECONDS)):
                turns = [(WITH, ours), (WITHOUT, others)]
                for table, process in turns if number % 2 else reversed(turns):  # neither is always the later one
                    rates[table].append(writes_per_second(process, editor, seconds=TURN_SECONDS))
                if number % EDIT_EVERY == 0:
                    stray += len(list(listener.notifies(timeout=0)))
                    with at_work(ours):
                        delays.append(seconds_until_heard(editor, listener))
        stray += len(list(listener.notifies(timeout=0)))
    return Measurement(rates, delays, stray)


def seconds_until_heard(editor: psycopg.Connection, listener: psycopg.Connection) -> float:
    """Edit a region, and return the seconds until the listener hears of the edit."""
    began = time.monotonic()
    editor.execute(EDIT)
    if not list(listener.notifies(timeout=PATIENCE_SECONDS, stop_after=1)):
        raise RuntimeError(f"the edit was not heard within {PATIENCE_SECONDS} s")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
