"""Measures whether people who look at the console hold up the operator, or each other.

Twenty people read the overview each second for a minute, all in the same moment, while rows are edited as before and
after that minute. All is in one run: a control plane, a Postgres with a history of five million ticks, an operator with
all the CronJobs, and a console. The console and the people have a low weight: nice 19 in a scheduling group of their
own, which is less than what the Deployment's request gives a pod. The time of an answer counts from the moment in which
it should have been asked for. At the end somebody makes a plan while the others look.

Times depend on the machine, so of the edits the ratio is judged.

    .venv/bin/python -m benchmarks.console_load [REGIONS [HOURS]]        (default: 10000 500)
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import urlopen

import aiohttp
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.console_history import fill_history, give_memory
from benchmarks.edit_latency import edit, seconds_until
from benchmarks.operator_under_test import Operator, cpu_seconds, peak_megabytes, wait_until
from devcluster import start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import cronjobs_path
from tests.harness.console_process import ConsoleProcess
from tests.harness.regions import ONCE_A_YEAR, add_regions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_operator.kube.api import Api

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE, CODE = "default", "R7"
PEOPLE, SECONDS = 20, 60
DEFAULTS = "10000", "500"
PAUSE_SECONDS, LONGEST_SECONDS = 0.25, 300
LIMIT_MS, LIMIT_RATIO = 500, 1.2
LOW_WEIGHT = ("setsid", "sh", "-c", 'echo 19 >/proc/self/autogroup; exec nice -n 19 "$@"', "sh")
"""A program that becomes another one, of low weight whether the scheduler groups by sessions or not (sched(7))."""
SCHEDULES = (ONCE_A_YEAR.replace("0 0", f"{number % 60} {number // 60 % 24}", 1) for number in count(1))
"""The schedules that the edits give a row, one after the other."""

TROUBLED = """
UPDATE region_tick.region_schedule SET valid_from = now() - interval '400 days' WHERE region_id IN (
    SELECT region_id FROM region_tick.job_run WHERE tick_at = %(last)s AND state <> 'succeeded');
UPDATE region_tick.region_cursor SET tick_at = now() - interval '400 days' WHERE region_id IN (
    SELECT region_id FROM region_tick.job_run WHERE tick_at = %(last)s AND state <> 'succeeded');
"""
"""The CronJobs tick once a year, so that none ticks meanwhile. Of some regions the last of those ticks did not succeed.
"""


class Answers(NamedTuple):
    """What the people got: milliseconds of each answer, ascending."""

    milliseconds: list[float]

    def at(self, share: float) -> float:
        """Return the time in which this share of the answers was there."""
        return self.milliseconds[min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))]

    def __str__(self) -> str:
        return f"{self.at(0.5):.0f}, {self.at(0.95):.0f}, {self.at(1):.0f} ms"


class Edits(NamedTuple):
    """Seconds from COMMIT to CronJob: with nobody at the console, and with the people."""

    quiet: list[float]
    busy: list[float]

    @property
    def ratio(self) -> float:
        """How much longer half of the edits take with the people."""
        return statistics.median(self.busy) / statistics.median(self.quiet)


def main() -> int:
    """Measure and print a table. Return 1 if a value is beyond its limit."""
    if sys.argv[1:2] == ["look"]:
        print(json.dumps(asyncio.run(look(sys.argv[2], int(sys.argv[3])))))
        return 0
    regions, hours = map(int, (*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]))
    with (
        start_local(f"bench-{os.getpid()}", node=False) as cluster,
        Postgres.temporary() as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        give_memory(server)
        stage = Stage(cluster.kubeconfig, NAMESPACE)
        stage.ask("apply", "-f", str(CHECKOUT / "crds"))
        os.environ |= {"KUBECONFIG": str(cluster.kubeconfig), "DATABASE_URL": server.url(), "POD_NAMESPACE": NAMESPACE}
        with Operator(Path(folder), {"LOG_LEVEL": "DEBUG"}) as operator:
            wait_until(lambda: operator.logged("reconciled"))
            room = json.dumps({"spec": {"maxRegions": regions}})
            stage.ask("patch", "regionscheduler", "default", "--type", "merge", "-p", room)
            rows = fill(operator, server.url(), regions, hours)
            with ConsoleProcess(Path(folder) / "console.log", {}, run_by=LOW_WEIGHT) as console:
                return measure(console, server.url(), f"{regions:,} regions, {rows:,} ticks")


def fill(operator: Operator, url: str, regions: int, hours: int) -> int:
    """Have the operator make all CronJobs, and write a history. Return how many ticks it has."""
    add_regions(url, regions)
    wait_until(lambda: len(operator.logged("added")) == regions, seconds=3600)
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as session:
        rows = asyncio.run(fill_history(url, session, last=last, hours=hours))
        session.execute(TROUBLED, {"last": last})
    return rows


def measure(console: ConsoleProcess, url: str, title: str) -> int:
    """Measure, print, and return the exit code."""
    address = f"http://127.0.0.1:{console.port}/"
    first = timed(address)
    quiet, busy = asyncio.run(edits(url, SECONDS // 2)), []
    cpu = cpu_seconds(console.pid)
    with people(address, SECONDS) as answers:
        busy += asyncio.run(edits(url, SECONDS))
    cpu = cpu_seconds(console.pid) - cpu
    quiet += asyncio.run(edits(url, SECONDS // 2))
    with people(address, SECONDS // 2) as beside_plan, ThreadPoolExecutor(1) as thread:
        plan = thread.submit(timed, f"{address}plan?format=json").result()
    forecast = timed(f"{address}forecast?format=json")
    edited = Edits(quiet, busy)
    table = Table("", "MEASURED", "LIMIT", title=title, box=None, title_justify="left")
    table.add_row(f"{PEOPLE} people: half, 95 %, all of their answers", str(Answers(answers)), f"95 %: {LIMIT_MS} ms")
    table.add_row("while somebody makes a plan", str(Answers(beside_plan)), "")
    table.add_row("edits with the people, compared with nobody there", f"{edited.ratio:.2f}", f"{LIMIT_RATIO}")
    for name, seconds in (("nobody there", edited.quiet), ("with the people", edited.busy)):
        median, worst = statistics.median(seconds), max(seconds)
        table.add_row(f"{len(seconds)} edits, {name}: median, worst", f"{median:.3f}, {worst:.3f} s", "")
    table.add_row("the first overview, a plan, a forecast then", f"{first:.1f}, {plan:.1f}, {forecast:.1f} s", "")
    table.add_row("the console's CPU with the people", f"{cpu / SECONDS:.2f} of a core", "")
    table.add_row("the console's memory at most", f"{peak_megabytes(console.pid):.0f} MB", "")
    table.add_row("load of the machine", f"{os.getloadavg()[0]:.1f}", "")
    Console(width=120).print(table)
    return int(Answers(answers).at(0.95) > LIMIT_MS or edited.ratio > LIMIT_RATIO)


def timed(address: str) -> float:
    """Return how many seconds an answer took."""
    began = time.monotonic()
    with urlopen(address, timeout=LONGEST_SECONDS) as answer:  # noqa: S310 - our own address
        answer.read()
    return time.monotonic() - began


async def edits(url: str, seconds: float) -> list[float]:
    """Edit a row again and again. Return how many seconds each edit took to reach its CronJob."""
    async with connect("benchmark") as api, await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
        path = await find_cronjob(api)
        found: list[float] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            schedule = next(SCHEDULES)
            found.append(await seconds_until(api, path, schedule, edit(database, CODE, schedule)))
            await asyncio.sleep(PAUSE_SECONDS)
    return found


async def find_cronjob(api: Api) -> str:
    """Return the path of the CronJob of the region that is edited."""
    async for cronjob in api.items(cronjobs_path(NAMESPACE)):
        if cronjob["metadata"]["annotations"]["region-tick.dev/code"] == CODE:
            return f"{cronjobs_path(NAMESPACE)}/{cronjob['metadata']['name']}"
    raise LookupError(f"region {CODE} has no CronJob")


@contextmanager
def people(address: str, seconds: int) -> Iterator[list[float]]:
    """Have people look meanwhile. At the end, the list has the milliseconds of all their answers, ascending."""
    words = [*LOW_WEIGHT, sys.executable, "-m", "benchmarks.console_load", "look", address, str(seconds)]
    found: list[float] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as looking:
        yield found
        said, _ = looking.communicate(timeout=seconds + LONGEST_SECONDS)
    found += sorted(json.loads(said))


async def look(address: str, seconds: int) -> list[float]:
    """Have PEOPLE people ask for a page each second, each by a connection that is kept, like a browser's."""
    return [time for times in await asyncio.gather(*(_look(address, seconds) for _ in range(PEOPLE))) for time in times]


async def _look(address: str, seconds: int) -> list[float]:
    found: list[float] = []
    headers = {"Accept": "text/html", "Accept-Encoding": "gzip"}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1), headers=headers, auto_decompress=False, raise_for_status=True
    ) as session:
        began = time.monotonic()
        for number in range(seconds):
            await asyncio.sleep(max(0.0, began + number - time.monotonic()))
            async with session.get(address) as answer:
                await answer.read()
            found.append(1000 * (time.monotonic() - began - number))
    return found


if __name__ == "__main__":
    sys.exit(main())
