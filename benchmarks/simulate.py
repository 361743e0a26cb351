"""Lets many CronJobs fire for some minutes, and compares what was due, what the ledger says, and what was forecast.

The control plane, its CronJob controller with the default rate, the operator and the Postgres are real; only the pods
are simulated (`simulated_kubelet`). The schedules are mixed: of every minute, of every five (half of the regions in the
same minute, half spread), of every fifteen, hourly. Two things are judged:

- nothing is lost in silence: each tick that a CronJob's schedule made due has a final row, and no other tick has one.
- `region-operator forecast` is right: in 95 % of the minutes the late and the lost ticks are within 10 %, or 5 ticks.

A warm-up fills the queues as if the CronJobs had always been there: no tick waits longer than five minutes.

    .venv/bin/python -m benchmarks.simulate [REGIONS [MINUTES [WARM_UP_MINUTES]]]       (default: 1000 3 5)
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from croniter import croniter
from rich.console import Console
from rich.table import Table

from benchmarks.operator_under_test import Operator, wait_until
from benchmarks.simulated_kubelet import running_kubelet
from devcluster import start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.plan.tick_queues import LATE_SECONDS
from region_tick.contract import State
from tests.harness.audit import audit_lines
from tests.harness.regions import add_regions, numbered

if TYPE_CHECKING:
    from devcluster.local import LocalCluster

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "default"
CONCURRENCY = 40
SCHEDULES = {
    "* * * * *": 0.1,
    "*/5 * * * *": 0.1,
    "H/5 * * * *": 0.1,
    "H/15 * * * *": 0.4,
    "H * * * *": 0.3,
}
"""Which part of the regions has which schedule."""
FILL_SECONDS = 1200
FORECAST_SECONDS = 600
SETTLE_SECONDS = 900
"""How long after the last minute the ledger may take, at most: more than the longest start deadline."""
RATE_SECONDS = 10
TOLERANCE_TICKS, TOLERANCE_SHARE, LEAST_SHARE = 5, 0.1, 0.95
ROWS = """
SELECT region_id, tick_at, state, coalesce(reason, ''), started_at FROM region_tick.job_run
WHERE tick_at >= %s AND tick_at < %s AND manual_uid = ''
"""

Tick = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger says of a tick. `delay` is the seconds from the minute to the claim, None if there was none."""

    state: State
    reason: str
    delay: float | None

    @property
    def is_lost(self) -> bool:
        return self.delay is None

    @property
    def is_late(self) -> bool:
        return self.delay is not None and self.delay >= LATE_SECONDS


@dataclass(frozen=True, slots=True)
class Simulation:
    """What happened from `start` to `end` (UTC), and what was forecast, as `region-operator forecast` puts it."""

    start: datetime
    end: datetime
    due: set[Tick]
    rows: dict[Tick, Row]
    jobs: dict[datetime, list[float]]
    """By minute, how many seconds later each of its Jobs was made."""
    busiest_rate: float
    forecast: dict[datetime, dict[str, int]]


def main() -> int:
    """Simulate and print. Return 1 if a tick is unaccounted for, or if the forecast is not right."""
    regions, minutes, warm_up = (int(text) for text in [*sys.argv[1:], *("1000", "3", "5")[len(sys.argv) - 1 :]])
    with (
        start_local(f"bench-{os.getpid()}", node=False) as cluster,
        Postgres.temporary() as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        stage = Stage(cluster.kubeconfig, NAMESPACE)
        for manifest in ("crds", "manifests/20-priorityclass.yaml"):
            stage.ask("apply", "-f", str(CHECKOUT / manifest))
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        os.environ["DATABASE_URL"] = server.url()
        os.environ["POD_NAMESPACE"] = NAMESPACE
        with Operator(Path(folder), {"CONCURRENCY": str(CONCURRENCY)}) as operator:
            fill(operator, server.url(), regions)
            simulation = asyncio.run(simulate(cluster, server.url(), minutes=minutes, warm_up=warm_up))
    return 0 if show(simulation, regions) else 1


def fill(operator: Operator, url: str, regions: int) -> None:
    """Add the regions in one transaction, because more and more regions would be held. Wait for their CronJobs."""
    wait_until(lambda: operator.logged("reconciled"))
    first = 1
    with psycopg.connect(url) as connection:
        for cron, share in SCHEDULES.items():
            last = min(regions, first + round(share * regions) - 1)
            add_regions(connection, numbered(first, last), cron=cron)
            first = last + 1
    wait_until(lambda: operator.logged("reconciled")[-1]["scheduled"] >= first - 1, seconds=FILL_SECONDS)
    say(f"{first - 1} CronJobs stand")


async def simulate(cluster: LocalCluster, url: str, *, minutes: int, warm_up: int) -> Simulation:
    """Let the CronJobs fire: first the warm-up, then the minutes that count. Wait until each tick has a final row.

    Raises TimeoutError naming how many ticks have none after SETTLE_SECONDS.
    """
    start = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1 + warm_up)
    end = start + timedelta(minutes=minutes)
    async with running_kubelet(NAMESPACE, url):
        due = await read_due(start, end)
        await sleep_until(start - timedelta(seconds=20), url, start)
        forecast = await asyncio.to_thread(read_forecast)
        await sleep_until(end, url, start)
        rows = await settled_rows(url, start, end, due)
    jobs, rate = read_jobs(cluster, start, end)
    return Simulation(start, end, due, rows, jobs, rate, forecast)


async def sleep_until(moment: datetime, url: str, start: datetime) -> None:
    """Sleep, and say each half minute how far the ticks are."""
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
        await asyncio.sleep(min(30.0, left))
        with psycopg.connect(url) as connection:
            states = connection.execute("SELECT state, count(*) FROM region_tick.job_run GROUP BY 1").fetchall()
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states))
        say(f"{datetime.now(UTC):%H:%M:%S}, the minutes from {start:%H:%M} on count: {counts}")


async def read_due(start: datetime, end: datetime) -> set[Tick]:
    """Return the ticks that the CronJobs' schedules make due, read from the API server and computed by croniter."""
    minutes = minutes_between(start, end)
    matches = cache(croniter.match)
    due: set[Tick] = set()
    async with connect("simulation") as api:
        async for cronjob in api.items(cronjobs_path(NAMESPACE)):
            region = cronjob["metadata"]["annotations"]["region-tick.dev/id"]
            due |= {(region, minute) for minute in minutes if matches(cronjob["spec"]["schedule"], minute)}
    return due


def minutes_between(start: datetime, end: datetime) -> list[datetime]:
    """Return the minutes from `start` on, without `end`."""
    return [start + timedelta(minutes=number) for number in range((end - start) // timedelta(minutes=1))]


def read_forecast() -> dict[datetime, dict[str, int]]:
    """Run the command `region-operator forecast`. Return the counts of each minute."""
    command = [sys.executable, "-m", "region_operator", "forecast", "--output", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=FORECAST_SECONDS)
    forecast = json.loads(done.stdout)
    say(f"forecast with {forecast['tick']}")
    return {datetime.fromisoformat(minute["at"]): minute for minute in forecast["minutes"]}


async def settled_rows(url: str, start: datetime, end: datetime, due: set[Tick]) -> dict[Tick, Row]:
    """Wait until each tick that was due has a final row, and return the rows."""
    deadline = end + timedelta(seconds=SETTLE_SECONDS)
    while True:
        rows: dict[Tick, Row] = {}
        with psycopg.connect(url) as connection:
            for region, at, state, reason, started in connection.execute(ROWS, (start, end)):
                delay = (started - at).total_seconds() if started else None
                rows[region, at.astimezone(UTC)] = Row(State(state), reason, delay)
        open_ticks = {tick for tick in due if tick not in rows or not rows[tick].state.final}
        if not open_ticks or datetime.now(UTC) > deadline:
            return rows
        say(f"{len(open_ticks)} of {len(due)} ticks have no final row yet")
        await asyncio.sleep(15)


def read_jobs(cluster: LocalCluster, start: datetime, end: datetime) -> tuple[dict[datetime, list[float]], float]:
    """Return when each minute's Jobs were made, and the most Jobs a second over RATE_SECONDS, by the audit log."""
    jobs: defaultdict[datetime, list[float]] = defaultdict(list)
    made: Counter[int] = Counter()
    for line in audit_lines(cluster, NAMESPACE):
        about = line.get("objectRef", {})
        if line["verb"] == "create" and about.get("resource") == "jobs" and line["responseStatus"]["code"] == 201:
            at = datetime.fromisoformat(line["stageTimestamp"])
            minute = datetime.fromtimestamp(60 * int(about["name"].rpartition("-")[2]), UTC)
            made[int(at.timestamp())] += 1
            if start <= minute < end:
                jobs[minute].append((at - minute).total_seconds())
    rate = max(sum(made[second + more] for more in range(RATE_SECONDS)) for second in made) / RATE_SECONDS
    return {minute: sorted(jobs[minute]) for minute in sorted(jobs)}, rate


def show(simulation: Simulation, regions: int) -> bool:
    """Print what happened beside what was forecast. Return whether all is accounted for and the forecast is right."""
    due, rows = simulation.due, simulation.rows
    minutes = minutes_between(simulation.start, simulation.end)
    columns = ("MINUTE", "DUE", "JOBS MADE", "LAST AFTER", "CLAIM p50", "p99", "LATE (FORECAST)", "LOST (FORECAST)")
    table = Table(*columns, title=f"{regions} REGIONS", box=None)
    right = [add_minute(table, simulation, minute) for minute in minutes]
    console = Console(width=140)
    console.print(table)
    console.print(
        f"the CronJob controller made at most {simulation.busiest_rate:.1f} Jobs a second in {RATE_SECONDS} s"
    )
    for (state, reason), count in Counter((row.state, row.reason) for row in rows.values()).most_common():
        console.print(f"{count:6} {state} {reason}")
    final = {tick for tick, row in rows.items() if row.state.final}
    console.print(
        f"{len(due)} ticks were due, {len(due & final)} have a final row, {len(due - final)} have none;"
        f" {len(rows.keys() - due)} rows are of ticks that were not due"
    )
    share = sum(right) / len(minutes)
    console.print(f"the forecast was right in {share:.0%} of the minutes (at least {LEAST_SHARE:.0%})")
    return final == due and rows.keys() == due and share >= LEAST_SHARE


def add_minute(table: Table, simulation: Simulation, minute: datetime) -> bool:
    """Add a minute to the table. Return whether the forecast of its late and lost ticks was right."""
    rows = [row for (_, at), row in simulation.rows.items() if at == minute]
    happened = {"late": sum(row.is_late for row in rows), "lost": sum(row.is_lost for row in rows)}
    expected = simulation.forecast.get(minute, {"late": 0, "lost": 0})
    delays = sorted(row.delay for row in rows if row.delay is not None)
    jobs = simulation.jobs.get(minute, [])
    table.add_row(
        f"{minute:%H:%M}",
        str(sum(at == minute for _, at in simulation.due)),
        str(len(jobs)),
        f"{jobs[-1]:.1f} s" if jobs else "",
        f"{statistics.median(delays):.1f} s" if delays else "",
        f"{delays[int(0.99 * len(delays))]:.1f} s" if delays else "",
        *(f"{count} ({expected[kind]})" for kind, count in happened.items()),
    )
    return all(is_near(expected[kind], count) for kind, count in happened.items())


def is_near(expected: int, happened: int) -> bool:
    """Whether a count is within the greater of TOLERANCE_TICKS and TOLERANCE_SHARE of what happened."""
    return abs(expected - happened) <= max(TOLERANCE_TICKS, TOLERANCE_SHARE * happened)


def say(text: str) -> None:
    """Say how far the simulation is."""
    Console(stderr=True, highlight=False).print(text)


if __name__ == "__main__":
    sys.exit(main())
