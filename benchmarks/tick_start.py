"""Measures how long a tick takes from the start to the claim and to the exit, compared with a floor.

Three programs run in turn, in one run, on a Postgres made for the run:

- a bare interpreter.
- the floor: an interpreter that imports psycopg and connects. No tick could be faster.
- the tick with the handler `poke`.

Times depend on the machine, so the benchmark judges a ratio: the tick's median may be LIMIT times the floor's at most.
`--imports` prints which modules the tick imports beyond psycopg's, the most expensive first.

    .venv/bin/python -m benchmarks.tick_start [--imports]
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import Variable, job_name
from region_tick.database_url import DatabaseUrl

LIMIT = 1.15
ROUNDS = 60
BARE = "print('there', flush=True)"
CONNECT = "import psycopg, os; psycopg.connect(os.environ['DATABASE_URL'], autocommit=True); print('there', flush=True)"
TICK = ("-m", "region_tick")
CRONJOB = "bench-0123456789ab"


@dataclass(frozen=True, slots=True)
class Program:
    """A program to measure, with the times of its runs so far."""

    name: str
    arguments: tuple[str, ...]
    ready_output: str
    """The text that the program prints when it is ready: connected, or with the tick claimed."""
    ready_seconds: list[float] = field(default_factory=list)
    """The seconds from the start to `ready_output`, for each run."""
    exit_seconds: list[float] = field(default_factory=list)
    """The seconds from the start to the exit, for each run."""

    def run(self, environment: dict[str, str]) -> None:
        """Run the program once and add the times. Raises RuntimeError for a failure or a missing `ready_output`."""
        started_at, ready_at, text = time.perf_counter(), None, ""
        with subprocess.Popen([sys.executable, *self.arguments], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            for line in process.stdout:
                text += line.decode()
                if ready_at is None and self.ready_output in text:
                    ready_at = time.perf_counter()
            code = process.wait(timeout=60)
        if ready_at is None or code:
            raise RuntimeError(f"{self.name} ended with {code}: {text}")
        self.ready_seconds.append(ready_at - started_at)
        self.exit_seconds.append(time.perf_counter() - started_at)


def main() -> int:
    """Measure and print a table. Return 1 if the tick takes too long."""
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        if "--imports" in sys.argv:
            show_imports(environment(server.url(), 0))
            return 0
        programs = measure(server.url())
    _, connect, tick = programs
    table = Table("MEDIAN SECONDS FROM START", "THERE", "GONE", box=None)
    for program in programs:
        medians = (statistics.median(program.ready_seconds), statistics.median(program.exit_seconds))
        table.add_row(program.name, *(f"{median:.4f}" for median in medians))
    ratio = statistics.median(tick.ready_seconds) / statistics.median(connect.ready_seconds)
    table.add_row("tick / psycopg", f"{ratio:.3f}", f"at most {LIMIT}")
    Console().print(table)
    return 0 if ratio <= LIMIT else 1


def measure(url: str) -> tuple[Program, Program, Program]:
    """Run the programs in turn, ROUNDS times. A first round fills caches and is not counted."""
    programs = (
        Program("a bare interpreter", ("-c", BARE), "there"),
        Program("import psycopg; connect", ("-c", CONNECT), "there"),
        Program("a tick, claimed", TICK, '"claimed"'),
    )
    for number in range(ROUNDS + 1):
        for program in programs:
            program.run(environment(url, number))
    for program in programs:
        del program.ready_seconds[0], program.exit_seconds[0]
    return programs


def environment(url: str, number: int) -> dict[str, str]:
    """Return the environment variables of a tick. Each `number` is another region."""
    tick_at = datetime.now(UTC) - timedelta(minutes=1)
    pod: dict[str, str] = {
        Variable.DATABASE_URL: url,
        Variable.CRONJOB_NAME: CRONJOB,
        Variable.JOB_NAME: job_name(CRONJOB, tick_at),
        Variable.JOB_UID: "uid",
        Variable.POD_NAME: "pod",
        Variable.NODE_NAME: "node",
        Variable.SOURCE: "public.region_index",
        Variable.HANDLER: "poke",
        Variable.TIMEOUT_SECONDS: "60",
        Variable.START_DEADLINE_SECONDS: "3600",
        Variable.REGION_ID: str(number),
        Variable.REGION_CODE: f"R-{number}",
        Variable.REGION_CRON: "* * * * *",
    }
    return {"PATH": os.defpath} | pod


def show_imports(variables: dict[str, str]) -> None:
    """Print the time of each import that the tick has in addition to psycopg's imports."""
    times = [_import_times(variables, *arguments) for arguments in (TICK, ("-c", CONNECT))]
    ours = {name: microseconds for name, microseconds in times[0].items() if name not in times[1]}
    for name, microseconds in sorted(ours.items(), key=lambda item: -item[1]):
        Console().print(f"{microseconds:6} us  {name}")
    Console().print(f"{sum(ours.values()):6} us  all")


def _import_times(variables: dict[str, str], *arguments: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], env=variables, capture_output=True, text=True, check=True
    )
    return {name: int(own) for own, name in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", done.stderr)}


if __name__ == "__main__":
    sys.exit(main())
