"""How long a tick takes from its start to its claim and to its exit, beside the least that any program could take.

In turn in one run, on a Postgres of the run's own: a bare interpreter, one that imports psycopg and connects, and the
tick with the handler `poke`. What counts is the ratio of the last two medians, which is to be LIMIT at most: times
depend on the machine. `--imports` shows what the tick imports beside psycopg, the most costly first.

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
    """What is started, and the seconds that it took each time until it was there and until it was gone."""

    name: str
    arguments: tuple[str, ...]
    sign: str
    """What its output says when it is there."""
    there: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)

    def run(self, environment: dict[str, str]) -> None:
        """Run it once. Raises RuntimeError where it does not do what it shall."""
        begin, there, text = time.perf_counter(), None, ""
        with subprocess.Popen([sys.executable, *self.arguments], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            for line in process.stdout:
                text += line.decode()
                if there is None and self.sign in text:
                    there = time.perf_counter()
            code = process.wait(timeout=60)
        if there is None or code:
            raise RuntimeError(f"{self.name} ended with {code}: {text}")
        self.there.append(there - begin)
        self.gone.append(time.perf_counter() - begin)


def main() -> int:
    """Measure and print; 1 where the tick takes too long."""
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        if "--imports" in sys.argv:
            show_imports(environment(server.url(), 0))
            return 0
        programs = measure(server.url())
    _, connect, tick = programs
    table = Table("MEDIAN SECONDS FROM START", "THERE", "GONE", box=None)
    for program in programs:
        table.add_row(program.name, *(f"{statistics.median(each):.4f}" for each in (program.there, program.gone)))
    ratio = statistics.median(tick.there) / statistics.median(connect.there)
    table.add_row("tick / psycopg", f"{ratio:.3f}", f"at most {LIMIT}")
    Console().print(table)
    return 0 if ratio <= LIMIT else 1


def measure(url: str) -> tuple[Program, Program, Program]:
    """Run each program ROUNDS times, in turn; the first round, which fills caches, is not counted."""
    programs = (
        Program("a bare interpreter", ("-c", BARE), "there"),
        Program("import psycopg; connect", ("-c", CONNECT), "there"),
        Program("a tick, claimed", TICK, '"claimed"'),
    )
    for number in range(ROUNDS + 1):
        for program in programs:
            program.run(environment(url, number))
    for program in programs:
        del program.there[0], program.gone[0]
    return programs


def environment(url: str, number: int) -> dict[str, str]:
    """Return the variables of one tick of many, each of another region."""
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
    """Print what each import of a tick costs that psycopg does not need."""
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
