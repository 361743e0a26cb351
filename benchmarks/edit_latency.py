"""How long an edit in the database takes to show in the cluster, beside the least that any program could take.

Both are measured in turn in one run, on a control plane and a Postgres of the run's own: the operator (UPDATE, NOTIFY,
read 200 rows, plan, apply), and the floor (UPDATE, NOTIFY heard by a bare connection, one apply of one CronJob). What
counts is the ratio: times depend on the machine.

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
from region_operator.kube.api import Api, connect
from region_operator.kube.apply import cronjobs_path, list_current
from region_tick.contract import CHANGES_CHANNEL
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "default"
REGIONS = 200
EDITS = 20
LIMIT_SECONDS = 60


def main() -> None:
    """Measure and print."""
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
    """Run the operator as a process, its log in a file that is forgotten."""
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
    """Return the seconds of each edit by the operator and by the floor, taken in turn."""
    async with connect("benchmark") as api, await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
        await until(lambda: has_table(database))
        add_regions(url, REGIONS)
        await until(lambda: has_cronjobs(api))
        [one, *_] = (await list_current(api, NAMESPACE))[0]
        code = one.body["metadata"]["annotations"]["region-tick.dev/code"]
        path = f"{cronjobs_path(NAMESPACE)}/{one.name}"
        operator: list[float] = []
        floor: list[float] = []
        for number in range(1, EDITS + 1):
            schedule = f"{number} 1 * * *"
            operator.append(await seconds_until(api, path, schedule, edit(database, code, schedule)))
            floor.append(await floor_seconds(api, database, url))
        return operator, floor


async def has_table(database: psycopg.AsyncConnection[Any]) -> bool:
    found = await (await database.execute("SELECT to_regclass('public.region_index') IS NOT NULL")).fetchone()
    return bool(found and found[0])


async def has_cronjobs(api: Api) -> bool:
    return len((await list_current(api, NAMESPACE))[0]) == REGIONS


async def edit(database: psycopg.AsyncConnection[Any], code: str, schedule: str) -> None:
    await database.execute("UPDATE region_index SET cron_schedule = %s WHERE code = %s", (schedule, code))


async def seconds_until(api: Api, path: str, schedule: str, edited: Awaitable[None]) -> float:
    """Return how long after the edit's commit the CronJob has the schedule."""
    await edited
    began = time.monotonic()

    async def shows() -> bool:
        live = await api.get(path)
        return live is not None and live["spec"]["schedule"] == schedule

    await until(shows)
    return time.monotonic() - began


async def floor_seconds(api: Api, database: psycopg.AsyncConnection[Any], url: str) -> float:
    """Return how long a notification and one apply take, with nothing in between."""
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


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Ask every few milliseconds until it is so."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await check():
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    main()
