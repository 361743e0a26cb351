"""Measures how many ticks one Postgres can claim and end in a second, compared with bare writes of the same rows.

Three kinds of clients of pgbench, 50 of each, write rows of job_run:

- ticks: a transaction with the claim and a transaction with the end, by the statements of a first
  attempt.
- bounded writes: one INSERT and one UPDATE that ask nothing, in transactions with the same timeouts.
- bare writes: the same INSERT and UPDATE, without transactions and timeouts.

Each client takes its own 200 of 10,000 regions, one after the other, and then the next minute. The clients of one kind
work for half a second while the others are stopped, in turn in one run, on a Postgres made for the run, whose commits
are durable. As in a tick, each statement is parsed and planned, and the values are parameters.

Times depend on the machine, so the benchmark judges a ratio: the median of the ratios of two turns, one of ticks and
one of bounded writes. The other figures are printed only.

    .venv/bin/python -m benchmarks.claims [SECONDS]

SECONDS is how long the clients of each kind work altogether, 60 by default.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
from contextlib import ExitStack
from operator import truediv

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.pgbench import CLIENTS, MAKE_DURABLE, clients, writes_per_second
from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import State
from region_tick.database_url import DatabaseUrl
from region_tick.statements import BOUNDS, FINISH, FIRST_CLAIM

REGIONS = 10_000
DEFAULT_SECONDS = 60
TURN_SECONDS = 0.5
LEAST_RATIO = 0.5
LEAST_TICKS = 2000
"""What a machine of its own is to reach, in ticks a second."""
WRITES_PER_TICK = 2
"""The claim and the end: each is a transaction that writes."""
TICKS, BOUNDED, BARE = "ticks", "bounded writes", "bare writes"
NEXT_TICK = f"""
\\set regions {REGIONS // CLIENTS}
\\set region :client_id * :regions + :n % :regions
\\set minute :n / :regions
\\if :n % :regions = 0
SELECT date_trunc('day', now()) + :minute::integer * interval '1 minute' AS tick_at \\gset
\\endif
\\set n :n + 1
"""
"""Chooses the tick of a client's next transaction. All clients begin with the first minute of the UTC day."""
BARE_INSERT = """
INSERT INTO region_tick.job_run (
    source, region_id, tick_at, manual_uid, region_code, cron, handler, job_name, pod, node,
    attempt, state, lease_until, started_at, window_end)
VALUES (
    %(source)s, %(region_id)s, %(tick_at)s, '', %(region_code)s, %(cron)s, %(handler)s, %(job_name)s, %(pod)s, %(node)s,
    1, 'running', now() + interval '30 s', now(), %(tick_at)s)
"""
BARE_UPDATE = """
UPDATE region_tick.job_run SET
    state = %(state)s, reason = %(reason)s, counts = %(counts)s, finished_at = now(), lease_until = now()
WHERE source = %(source)s AND region_id = %(region_id)s AND tick_at = %(tick_at)s AND manual_uid = ''
"""
VARIABLES = {"region_id": ":region", "tick_at": ":tick_at"}
"""The parameters that differ between ticks, as pgbench names them."""
LITERALS = {
    "manual_uid": "''",
    "installation": "'bench'",
    "region_code": "'code'",
    "cron": "'* * * * *'",
    "handler": "'poll'",
    "job_name": "'code-0123456789ab-29400000'",
    "pod": "'code-0123456789ab-29400000-abcde'",
    "node": "'node-1'",
    "idle": "'60 s'",
    "late_after": "864000",
    "waited_for": "NULL",
    "lease_seconds": "30",
    "max_window": "NULL",
    "fetched_until": "NULL",
    "attempt": "1",
    "state": f"'{State.SUCCEEDED}'",
    "reason": "'ok'",
    "counts": """'{"items": 3}'""",
    "error_class": "NULL",
    "error_message": "NULL",
    "begun": "NULL",
}


def main() -> int:
    """Measure and print a table. Return 1 if the ratio is below its limit."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SECONDS
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        rates = measure(server.url(), seconds)
    ratio, bare_ratio = (statistics.median(map(truediv, rates[TICKS], rates[kind])) for kind in (BOUNDED, BARE))
    medians = {kind: statistics.median(each) / WRITES_PER_TICK for kind, each in rates.items()}
    table = Table(f"{CLIENTS} CLIENTS, {seconds} S OF EACH KIND", "MEASURED", "LIMIT", box=None)
    table.add_row("ticks claimed and ended in a second", f"{medians[TICKS]:,.0f}", f"promised: {LEAST_TICKS:,}")
    table.add_row("the same rows in transactions with the same timeouts", f"{medians[BOUNDED]:,.0f}", "")
    table.add_row("ratio", f"{ratio:.3f}", f"at least {LEAST_RATIO}")
    table.add_row("the same rows by single statements", f"{medians[BARE]:,.0f}", "")
    table.add_row("ratio", f"{bare_ratio:.3f}", "")
    Console().print(table)
    return 0 if ratio >= LEAST_RATIO else 1


def measure(url: str, seconds: float) -> dict[str, list[float]]:
    """Let the clients of each kind work for `seconds` in turns. Return the writing transactions a second of each turn.

    Raises RuntimeError if a tick was not claimed or not ended.
    """
    scripts = {
        TICKS: script(TICKS, *transaction(FIRST_CLAIM), *transaction(FINISH)),
        BOUNDED: script(BOUNDED, *transaction(BARE_INSERT), *transaction(BARE_UPDATE)),
        BARE: script(BARE, BARE_INSERT, BARE_UPDATE),
    }
    rates: dict[str, list[float]] = {kind: [] for kind in scripts}
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in MAKE_DURABLE:
            connection.execute(statement)
        with ExitStack() as stack:
            kinds = [
                (kind, stack.enter_context(clients(url, text, protocol="extended"))) for kind, text in scripts.items()
            ]
            for _ in range(round(seconds / TURN_SECONDS)):
                for kind, process in kinds:
                    rates[kind].append(writes_per_second(process, connection, seconds=TURN_SECONDS))
                kinds.reverse()  # no kind is always the last
        check_rows(connection)
    return rates


def transaction(statement: str) -> tuple[str, ...]:
    """Return what a tick sends for one of its transactions: BOUNDS sets the timeouts."""
    return "BEGIN", BOUNDS, statement, "COMMIT"


def script(source: str, *statements: str) -> str:
    """Return a script of pgbench that runs the statements for one tick. `source` keeps the rows of the kinds apart."""
    parameters = LITERALS | VARIABLES | {"source": f"'{source}'"}
    bound = [re.sub(r"%\((\w+)\)s", lambda match: parameters[match[1]], statement.strip()) for statement in statements]
    return NEXT_TICK + "".join(f"{statement};\n" for statement in bound)


def check_rows(connection: psycopg.Connection) -> None:
    """Raise RuntimeError if a kind has no rows, or if more ticks are open than clients can have under way."""
    statement = "SELECT count(*) FILTER (WHERE state = 'running'), count(*) FROM region_tick.job_run WHERE source = %s"
    for kind in (TICKS, BOUNDED, BARE):
        row = connection.execute(statement, (kind,)).fetchone()
        if row is None or row[0] > CLIENTS or not row[1]:
            raise RuntimeError(f"{kind}: not all rows were ended: {row}")


if __name__ == "__main__":
    sys.exit(main())
