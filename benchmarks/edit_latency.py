"""Measures how long an edit in the database takes to reach the cluster, compared with a floor.

One run measures both in turn, on a control plane and a Postgres made for the run:

- the operator: UPDATE, NOTIFY, read 200 rows, plan, apply.
- the floor: NOTIFY received by a plain connection, one apply of one small object. No program could be faster.

Times depend on the machine, so the ratio counts.

    .venv/bin/python -m benchmarks.edit_latency
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from devcluster import start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import cronjobs_path
from region_tick.contract import CHANGES_CHANNEL
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from region_operator.kube.api import Api

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "default"
REGIONS = 200
EDITS = 20
LIMIT_SECONDS = 60


def main() -> None:
    """Measure and print a table."""
    with start_local(f"bench-{os.getpid()}", node=False) as cluster, Postgres.temporary() as server:
        Stage(cluster.kubeconfig, NAMESPACE).ask("apply", "-f", str(CHECKOUT / "crds"))
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        with running_operator(server.url()):
            operator, floor = asyncio.run(measure(server.url()))
    table = Table("SECONDS FROM COMMIT TO CRONJOB", "MEDIAN", "WORST", box=None)
    for name, seconds in (("region-operator", operator), ("floor", floor)):
        table.add_row(f"{name} ({EDITS} edits)", f"{statistics.median(seconds):.3f}", f"{max(seconds):.3f}")
    table.add_row("ratio", f"{statistics.median(operator) / statistics.median(floor):.1f}", "")
    Console().print(table)


@contextmanager
def running_operator(url: str) -> Iterator[None]:
    """Run the operator as a process until the end of the context. The log goes to a temporary file."""
    environment = os.environ | {"DATABASE_URL": url, "POD_NAMESPACE": NAMESPACE, "HEALTH_PORT": "0"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen([sys.executable, "-m", "region_operator", "run"], env=environment, stdout=log) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


async def measure(url: str) -> tuple[list[float], list[float]]:
    """Return the seconds of each edit for the operator and for the floor, measured in turn."""
    async with connect("benchmark") as api, await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
        await wait_until(lambda: has_table(database))
        add_regions(url, REGIONS)
        await wait_until(lambda: has_cronjobs(api))
        meta = await anext(cronjob["metadata"] async for cronjob in api.items(cronjobs_path(NAMESPACE)))
        code = meta["annotations"]["region-tick.dev/code"]
        path = f"{cronjobs_path(NAMESPACE)}/{meta['name']}"
        operator: list[float] = []
        floor: list[float] = []
        for number in range(1, EDITS + 1):
            schedule = f"{number} 1 * * *"
            operator.append(await seconds_until(api, path, schedule, edit(database, code, schedule)))
            floor.append(await floor_seconds(api, database, url))
        return operator, floor


async def has_table(database: psycopg.AsyncConnection[Any]) -> bool:
    row = await (await database.execute("SELECT to_regclass('public.region_index') IS NOT NULL")).fetchone()
    return bool(row and row[0])


async def has_cronjobs(api: Api) -> bool:
    return len([cronjob async for cronjob in api.items(cronjobs_path(NAMESPACE))]) == REGIONS


async def edit(database: psycopg.AsyncConnection[Any], code: str, schedule: str) -> None:
    await database.execute("UPDATE region_index SET cron_schedule = %s WHERE code = %s", (schedule, code))


async def seconds_until(api: Api, path: str, schedule: str, pending_edit: Awaitable[None]) -> float:
    """Make the edit, and return the seconds from the edit's COMMIT until the CronJob has the schedule."""
    await pending_edit
    began = time.monotonic()

    async def has_schedule() -> bool:
        live = await api.get(path)
        return live is not None and live["spec"]["schedule"] == schedule

    await wait_until(has_schedule)
    return time.monotonic() - began


async def floor_seconds(api: Api, database: psycopg.AsyncConnection[Any], url: str) -> float:
    """Return the seconds of one notification and one apply, with nothing in between."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "floor", "namespace": NAMESPACE},
        "data": {"at": str(time.monotonic())},
    }
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as listener:
        await listener.execute(f"LISTEN {CHANGES_CHANNEL}")
        await database.execute(f"SELECT pg_notify('{CHANGES_CHANNEL}', '')")
        began = time.monotonic()
        async for _ in listener.notifies(timeout=LIMIT_SECONDS, stop_after=1):
            await api.apply(f"/api/v1/namespaces/{NAMESPACE}/configmaps/floor", manifest, manager="benchmark")
        return time.monotonic() - began


async def wait_until(check: Callable[[], Awaitable[bool]]) -> None:
    """Call `check` every 5 milliseconds until the result is true. Raises TimeoutError after LIMIT_SECONDS."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await check():
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    main()
