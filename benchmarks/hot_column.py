"""Measures what the triggers cost the user's own writes: many clients update a column that the operator does not read.

The table has 1,000 rows with a column `seen_at`, and a document of 20 kB in each row. The clients are pgbench's: 50 of
them, each statement `UPDATE region_index SET seen_at = now() WHERE id = ...`, as fast as the server can. They run with
the triggers and without, in turn in one run, on a Postgres made for the run. While the triggers are there:

- a connection listens, and hears nothing of the updates.
- in the middle of each run another session edits a schedule, and the listener hears of it.

Times depend on the machine, so the benchmark judges the ratio of the throughputs: their medians, with and without.

    .venv/bin/python -m benchmarks.hot_column [SECONDS]

SECONDS is how long the clients run in each of the two cases altogether, 60 by default.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import psycopg
from rich.console import Console
from rich.table import Table

from devcluster.postgres import Postgres
from devcluster.postgres_programs import chosen_major, find_programs
from region_operator.database.migrate import migrate
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import add_regions

CLIENTS = 50
ROUNDS = 6
ROWS = 1000
DEFAULT_SECONDS = 60
WITH, WITHOUT = "with the triggers", "without"
LEAST_RATIO = 0.95
MOST_SECONDS = 1.0
"""How long an edit may take to be heard, from the start of its statement."""
PATIENCE_SECONDS = 30
PREPARE = (
    "ALTER TABLE region_index ADD nr serial UNIQUE, ADD seen_at timestamptz, ADD document text",
    "UPDATE region_index SET document = (SELECT string_agg(md5(n::text), code) FROM generate_series(1, 600) n)",
    "VACUUM FULL ANALYZE region_index",
)
SCRIPT = f"\\set n random(1, {ROWS})\nUPDATE region_index SET seen_at = now() WHERE nr = :n;\n"
EDIT = "UPDATE region_index SET cron_schedule = cron_schedule || ' ' WHERE nr = 1"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The updates per second of each round by case, and the seconds that each edit took to be heard.

    `stray` is the number of notifications that told of no edit.
    """

    rates: dict[str, list[float]]
    delays: list[float]
    stray: int


def main() -> int:
    """Measure and print a table. Return 1 if a limit is not kept."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SECONDS
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        add_regions(server.url(), ROWS)
        measured = measure(server.url(), seconds / ROUNDS)
    medians = {case: statistics.median(rates) for case, rates in measured.rates.items()}
    ratio, slowest = medians[WITH] / medians[WITHOUT], max(measured.delays)
    table = Table(f"{CLIENTS} CLIENTS, {ROUNDS} ROUNDS OF {seconds / ROUNDS:g} S", "MEASURED", "LIMIT", box=None)
    for case, median in medians.items():
        table.add_row(f"updates a second, {case}", f"{median:,.0f}", "")
    table.add_row("ratio", f"{ratio:.3f}", f"at least {LEAST_RATIO}")
    table.add_row("notifications of updates", str(measured.stray), "0")
    table.add_row("slowest edit to be heard", f"{slowest:.3f} s", f"{MOST_SECONDS:g} s")
    Console().print(table)
    return 0 if ratio >= LEAST_RATIO and measured.stray == 0 and slowest < MOST_SECONDS else 1


def measure(url: str, seconds: float) -> Measurement:
    """Let the clients run with the triggers and without in turn. `seconds` is the length of a round."""
    rates: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    delays: list[float] = []
    stray = 0
    with (
        psycopg.connect(url, autocommit=True) as editor,
        psycopg.connect(url, autocommit=True) as listener,
        tempfile.NamedTemporaryFile("w", suffix=".sql") as script,
    ):
        script.write(SCRIPT)
        script.flush()
        for statement in PREPARE:
            editor.execute(statement.encode())
        listener.execute(f"LISTEN {CHANGES_CHANNEL}")
        for case in [WITH, WITHOUT, WITHOUT, WITH] * (ROUNDS // 2):  # neither is always the later one
            editor.execute(f"ALTER TABLE region_index {'ENABLE' if case == WITH else 'DISABLE'} TRIGGER USER")
            editor.execute("VACUUM region_index")
            with clients(url, script.name, seconds) as process:
                time.sleep(seconds / 2)
                if case == WITH:
                    stray += len(list(listener.notifies(timeout=0)))
                    delays.append(seconds_until_heard(editor, listener))
                rates[case].append(updates_per_second(process))
            stray += len(list(listener.notifies(timeout=0)))
    return Measurement(rates, delays, stray)


def clients(url: str, script: str, seconds: float) -> subprocess.Popen[str]:
    """Start the clients, for `seconds`."""
    program = find_programs(chosen_major(os.environ)).path("pgbench")
    options = f"--no-vacuum --client={CLIENTS} --jobs=2 --protocol=prepared --time={seconds:.0f} --file={script}"
    return subprocess.Popen(
        [program, *options.split(), url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def updates_per_second(process: subprocess.Popen[str]) -> float:
    """Wait for the clients' end, and return what they did. Raises RuntimeError if they failed."""
    output, _ = process.communicate()
    found = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
    if process.returncode or found is None:
        raise RuntimeError(f"pgbench ended with {process.returncode}: {output}")
    return float(found[1])


def seconds_until_heard(editor: psycopg.Connection, listener: psycopg.Connection) -> float:
    """Edit a region, and return the seconds until the listener hears of the edit."""
    began = time.monotonic()
    editor.execute(EDIT)
    if not list(listener.notifies(timeout=PATIENCE_SECONDS, stop_after=1)):
        raise RuntimeError(f"the edit was not heard within {PATIENCE_SECONDS} s")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
