"""Measures what the operator costs at size, beside a raw client, in one run.

Each size runs on a control plane and a Postgres made for the run. The benchmark does in the same run what a raw client
would do: the same applies with as many requests under way, the same SELECT, and the chain of UPDATE, NOTIFY and one
apply. Times depend on the machine, so the ratios count. Each line has its limit, and the exit code is 1 if a line is
beyond its limit.

    .venv/bin/python -m benchmarks.scale [REGIONS ...]        (default: 1000 10000)
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.operator_under_test import Operator, wait_until
from devcluster import start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_operator.database.engine import make_engine
from region_operator.kube.api import APPLY, CONCURRENT_REQUESTS, Api, raise_for_status
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.kube.yaml_body import as_yaml
from region_operator.regions.source import read_regions
from region_operator.scheduler import Source
from region_tick.contract import CHANGES_CHANNEL
from region_tick.database_url import DatabaseUrl
from tests.harness.audit import audit_lines, sent_by
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from devcluster.local import LocalCluster

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE, RAW = "default", "raw"
EDITS, WAKE_UPS, LOOKS = 300, 20, 3
REFRESH_SECONDS = 20.0


@dataclass
class Results:
    """The lines of the table: what was measured, and the limit."""

    rows: list[tuple[str, float, float, str]] = field(default_factory=list)

    def add(self, name: str, value: float, limit: float, how: str) -> None:
        """Add a line. `how` says of what the value is made."""
        self.rows.append((name, value, limit, how))
        Console(stderr=True).print(f"{name}: {value:.3f} (limit {limit:g}) {how}")

    def show(self, title: str) -> bool:
        """Print the table. Return whether every value is within its limit."""
        grid = Grid("", "MEASURED", "LIMIT", "", title=title, box=None, title_justify="left")
        for name, value, limit, how in self.rows:
            grid.add_row(name, f"{value:.3f}", f"{limit:g}", f"{'' if value <= limit else 'BEYOND  '}{how}")
        Console().print(grid)
        return all(value <= limit for _, value, limit, _ in self.rows)


def main() -> int:
    """Measure each size and print. Return 1 if a value is beyond its limit."""
    sizes = [int(text) for text in sys.argv[1:]] or [1000, 10_000]
    within_limits = [measure(regions) for regions in sizes]
    return 0 if all(within_limits) else 1


def measure(regions: int) -> bool:
    """Measure one size. Return whether every value is within its limit."""
    results = Results()
    with (
        start_local(f"bench-{os.getpid()}", node=False) as cluster,
        Postgres.temporary() as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        stage = Stage(cluster.kubeconfig, NAMESPACE)
        stage.ask("apply", "-f", str(CHECKOUT / "crds"))
        stage.ask("create", "namespace", RAW)
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        bench = Bench(cluster, stage, server.url(), Path(folder), regions, results)
        with bench.start() as operator:
            bench.measure_fill(operator)
            bench.measure_wake_ups(operator)
            bench.measure_edits(operator)
            bench.measure_looks(operator)
            bench.measure_memory(operator)
        with bench.start() as operator:
            bench.measure_restart(operator)
    return results.show(f"{regions} regions")


class Bench:
    """The measurements of one size."""

    def __init__(
        self, cluster: LocalCluster, stage: Stage, url: str, folder: Path, regions: int, results: Results
    ) -> None:
        self._cluster, self._stage, self._url, self._folder = cluster, stage, url, folder
        self._regions, self._results = regions, results
        self._empty_megabytes = 0.0

    def start(self) -> Operator:
        """Start the operator."""
        environment = {"DATABASE_URL": self._url, "POD_NAMESPACE": NAMESPACE, "LOG_LEVEL": "DEBUG"}
        return Operator(self._folder, environment)

    def measure_fill(self, operator: Operator) -> None:
        """Fill an empty cluster, then let a raw client apply the same CronJobs in another namespace."""
        wait_until(lambda: operator.logged("reconciled"))
        self._empty_megabytes = operator.peak_megabytes
        operator.turns()
        add_regions(self._url, self._regions)
        wait_until(lambda: len(operator.logged("added")) == self._regions, seconds=1200)
        times = [line["ts"] for line in operator.logged("added")]
        ours = _seconds_between(times[0], times[-1])
        turns = operator.turns()
        raw = asyncio.run(self._fill_raw())
        self._results.add("cold fill / raw applies", ours / raw, 1.25, f"{ours:.1f} s / {raw:.1f} s")
        self._results.add("longest turn while filling, CPU s", turns[-1], 0.15, f"{len(turns)} turns")
        self._results.add("99.9 % of the turns, CPU s", turns[int(len(turns) * 0.999)], 0.05, "")

    async def _fill_raw(self) -> float:
        async with connect("raw client") as api:
            owner = await api.request("POST", f"/api/v1/namespaces/{RAW}/configmaps", body={"metadata": {"name": "o"}})
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": owner["metadata"]["uid"]}
            bodies: list[tuple[str, bytes]] = []
            async for cronjob in api.items(cronjobs_path(NAMESPACE)):
                meta = cronjob["metadata"]
                kept = {key: meta[key] for key in ("name", "labels", "annotations")} | {"ownerReferences": [reference]}
                body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": kept, "spec": cronjob["spec"]}
                bodies.append((f"{cronjobs_path(RAW)}/{meta['name']}", as_yaml(body)))
            queue = iter(bodies)
            began = time.monotonic()
            await asyncio.gather(*(_apply_raw(api, queue) for _ in range(CONCURRENT_REQUESTS)))
            seconds = time.monotonic() - began
            await api.request("DELETE", cronjobs_path(RAW))
            while [page async for page in api.pages(cronjobs_path(RAW)) if page.items]:
                await asyncio.sleep(1)
        return seconds

    def measure_wake_ups(self, operator: Operator) -> None:
        """Wake the operator when nothing has changed."""
        time.sleep(2)
        select = asyncio.run(self._select_seconds())
        before, requests = operator.cpu_seconds, self._requests()
        reconciles = len(operator.logged("reconciled"))
        operator.turns()
        with psycopg.connect(self._url, autocommit=True) as connection:
            for number in range(1, WAKE_UPS + 1):
                connection.execute("SELECT pg_notify(%s, '')", (CHANGES_CHANNEL,))
                wait_until(lambda: len(operator.logged("reconciled")) >= reconciles + number)  # noqa: B023 - at once
        cpu = (operator.cpu_seconds - before) / WAKE_UPS
        lists, others = (after - earlier for after, earlier in zip(self._requests(), requests, strict=True))
        how = f"{cpu * 1000:.0f} ms with the SELECT's {select * 1000:.0f} ms"
        self._results.add("a wake-up for nothing, CPU s beside the SELECT", max(0.0, cpu - select), 0.05, how)
        self._results.add("its LISTs of CronJobs", lists, 0, f"in {WAKE_UPS} wake-ups")
        self._results.add("its other requests", others / WAKE_UPS, 3, "")
        self._results.add("its longest turn, CPU s", operator.turns()[-1], 0.15, "")

    async def _select_seconds(self) -> float:
        """Return the CPU seconds of reading the table once, as the operator reads the table."""
        engine = make_engine(DatabaseUrl.parse(self._url))
        await read_regions(engine, Source(), default_schema="public")
        began = time.process_time()
        for _ in range(WAKE_UPS):
            await read_regions(engine, Source(), default_schema="public")
        seconds = time.process_time() - began
        await engine.dispose()
        return seconds / WAKE_UPS

    def _requests(self) -> tuple[float, float]:
        """Return how many LISTs of CronJobs, and how many other requests, the API server had about our objects."""
        text = asyncio.run(_read_metrics())
        lists = others = 0.0
        for line in text.splitlines():
            if not line.startswith("apiserver_request_total{"):
                continue
            labels, _, value = line.rpartition(" ")
            if 'resource="cronjobs"' in labels and 'verb="LIST"' in labels:
                lists += float(value)
            elif 'verb="WATCH"' not in labels and any(
                f'resource="{resource}"' in labels for resource in ("cronjobs", "regionschedulers", "resourcequotas")
            ):
                others += float(value)
        return lists, others

    def measure_edits(self, operator: Operator) -> None:
        """Edit a row and wait for its CronJob, in turn with the raw chain of UPDATE, NOTIFY and one apply."""
        operator.turns()
        ours, raw = asyncio.run(self._edit())
        half, late = statistics.median(ours), statistics.quantiles(ours, n=100)[98]
        floor = statistics.median(raw)
        how = f"{half:.3f} s, raw chain {floor:.3f} s"
        self._results.add("an edit, half of all, s beside the raw chain", max(0.0, half - floor), 0.25, how)
        self._results.add("an edit, 99 % of all, s", late, 1.0, f"{EDITS} edits, at most {max(ours):.3f} s")
        turns = operator.turns()
        self._results.add("longest turn while edits come, CPU s", turns[-1], 0.15, f"{len(turns)} turns")

    async def _edit(self) -> tuple[list[float], list[float]]:
        ours: list[float] = []
        raw: list[float] = []
        async with (
            connect("benchmark") as api,
            await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection,
        ):
            names = [
                (item["metadata"]["annotations"]["region-tick.dev/code"], item["metadata"]["name"])
                async for item in api.items(cronjobs_path(NAMESPACE))
            ]
            for number in range(EDITS):
                code, name = names[number * 7919 % len(names)]
                schedule = f"{number % 60} {number // 60} 1 1 *"
                ours.append(await _edit_seconds(api, connection, code, name, schedule))
                if number % 10 == 0:
                    raw.append(await _chain_seconds(api, connection, self._url))
        return ours, raw

    def measure_looks(self, operator: Operator) -> None:
        """Wait for full looks, which no wake-up disturbs."""
        patch = f'{{"spec": {{"refreshInterval": "{REFRESH_SECONDS:.0f}s"}}}}'
        self._stage.ask("patch", "regionscheduler", "default", "--type=merge", f"--patch={patch}")
        looks = len(operator.logged("reconciled"))
        wait_until(lambda: len(operator.logged("reconciled")) > looks)
        time.sleep(5)
        operator.turns()
        before, began, looks = operator.cpu_seconds, time.monotonic(), len(operator.logged("reconciled"))
        wait_until(lambda: len(operator.logged("reconciled")) >= looks + LOOKS)
        time.sleep(5)
        cpu, seconds = operator.cpu_seconds - before, time.monotonic() - began
        turns = operator.turns()
        self._results.add("a full look, CPU s", cpu / LOOKS, 2.0, f"{LOOKS} looks in {seconds:.0f} s, idling included")
        self._results.add("its longest turn, CPU s", turns[-1], 0.15, f"{len(turns)} turns")

    def measure_memory(self, operator: Operator) -> None:
        """Compare the peak with the peak before the first region."""
        peak = operator.peak_megabytes
        how = f"{peak:.0f} MB, {self._empty_megabytes:.0f} MB with 0 regions"
        self._results.add("peak memory beside that of 0 regions, MB", peak - self._empty_megabytes, 100, how)

    def measure_restart(self, operator: Operator) -> None:
        """Start with everything standing."""
        mark = self._cluster.audit_log.stat().st_size
        wait_until(lambda: operator.logged("reconciled"))
        began, ready = operator.logged("leading")[0]["ts"], operator.logged("reconciled")[0]["ts"]
        lines = [line for line in audit_lines(self._cluster, NAMESPACE, since=mark) if sent_by(line)]
        writes = sum("/cronjobs/" in line["requestURI"] for line in lines)
        self._results.add("restart, s from the Lease to ready", _seconds_between(began, ready), 10, "")
        self._results.add("its writes of CronJobs", writes, 0, "")
        self._results.add("its longest turn, CPU s", operator.turns()[-1], 0.15, "")
        more = operator.peak_megabytes - self._empty_megabytes
        self._results.add("its peak memory beside that of 0 regions, MB", more, 100, "")


async def _apply_raw(api: Api, bodies: Any) -> None:
    query = {"fieldManager": "region-operator", "force": "true"}
    for path, body in bodies:
        response = await api.send("PATCH", path, query=query, body=body, content_type=APPLY)
        raise_for_status(response, await response.read())


async def _read_metrics() -> str:
    async with connect("benchmark") as api:
        return (await api.request_bytes("GET", "/metrics")).decode()


async def _edit_seconds(api: Api, connection: Any, code: str, name: str, schedule: str) -> float:
    await connection.execute("UPDATE region_index SET cron_schedule = %s WHERE code = %s", (schedule, code))
    began = time.monotonic()
    while True:
        found = await api.get(f"{cronjobs_path(NAMESPACE)}/{name}")
        if found and found["spec"]["schedule"] == schedule:
            return time.monotonic() - began
        if time.monotonic() > began + 60:
            raise TimeoutError(f"the edit of {code} does not show")
        await asyncio.sleep(0.005)


async def _chain_seconds(api: Api, connection: Any, url: str) -> float:
    """Return the seconds of one notification and one apply of a CronJob, with nothing in between."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "floor", "namespace": NAMESPACE},
        "data": {"at": str(time.monotonic())},
    }
    channel = "benchmark"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as listener:
        await listener.execute(f"LISTEN {channel}".encode())
        await connection.execute("SELECT pg_notify(%s, '')", (channel,))
        began = time.monotonic()
        async for _ in listener.notifies(timeout=60, stop_after=1):
            await api.apply(f"/api/v1/namespaces/{NAMESPACE}/configmaps/floor", manifest, manager="benchmark")
        return time.monotonic() - began


def _seconds_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
