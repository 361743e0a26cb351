"""Measures how long after its minute a tick is claimed, compared with the start of a bare pod in the same minutes.

Ten regions and ten plain CronJobs fire in each minute, on a node made for the run. The pods of the plain CronJobs are
like those of the ticks, but only print the time. A slot is free for each tick. Times depend on the machine, so the
benchmark judges the difference: the median tick may be claimed LIMIT_SECONDS after the median bare pod has started.

    .venv/bin/python -m benchmarks.start_delay [MINUTES]       (default: 5)
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.operator_under_test import Operator, wait_until
from devcluster import images, progress, start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_tick.contract import VERSION
from tests.harness.regions import EVERY_MINUTE, add_regions

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "region-tick"
IMAGE = f"region-tick/tick:{VERSION}"
TICKS = 10
LIMIT_SECONDS = 0.5
AHEAD_SECONDS = 10
SETTLE_SECONDS = 120
PYTHON, PRINT_TIME = "/opt/region-tick/bin/python", "import time; print(time.time())"
DELAYS = """
SELECT extract(epoch FROM started_at - tick_at)::float8 FROM region_tick.job_run
WHERE tick_at >= %s AND tick_at < %s AND started_at IS NOT NULL
"""


def main() -> int:
    """Measure and print. Return 1 if ticks start too late, or if one is missing."""
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with (
        start_local(f"bench-{os.getpid()}", node=True) as cluster,
        Postgres.temporary() as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.start(("127.0.0.1", cluster.host_address))
        cluster.load_image(images.build(CHECKOUT / "Dockerfile.tick", IMAGE))
        stage = Stage(cluster.kubeconfig, NAMESPACE)
        for name in ("00-namespace", "10-crd", "20-priorityclass"):
            stage.ask("apply", "-f", str(CHECKOUT / f"manifests/{name}.yaml"))
        url = server.url(host=cluster.host_address)
        stage.ask("create", "secret", "generic", "region-tick-database", f"--from-literal=DATABASE_URL={url}")
        environment = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "DATABASE_URL": server.url(),
            "POD_NAMESPACE": NAMESPACE,
            "CONCURRENCY": str(TICKS),
        }
        with Operator(Path(folder), environment) as operator:
            ticks, bare = measure(stage, operator, server.url(), minutes)
    return 0 if show(ticks, bare, minutes) else 1


def measure(stage: Stage, operator: Operator, url: str, minutes: int) -> tuple[list[float], list[float]]:
    """Let both kinds of CronJobs fire. Return the delays of the ticks and of the bare pods, in seconds.

    The first minute is not counted: the node has started no pod of the image before.
    """
    wait_until(lambda: operator.logged("reconciled"))
    add_regions(url, TICKS, cron=EVERY_MINUTE)
    wait_until(lambda: len(operator.logged("added")) == TICKS)
    regions = json.loads(stage.ask("get", "cronjobs", "--selector", "app=region-tick", "--output", "json"))["items"]
    bare_cronjobs = [bare_cronjob(region, number) for number, region in enumerate(regions)]
    stage.ask("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bare_cronjobs}))
    first = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS, minutes=2)
    start = first.replace(second=0, microsecond=0)
    end = start + timedelta(minutes=minutes)
    with progress.step(f"waiting until {end:%H:%M}"):
        time.sleep((end - datetime.now(UTC)).total_seconds())
    with progress.step("waiting for the last ticks"):
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            ticks, bare = tick_delays(url, start, end), bare_delays(stage, start, end)
            if min(len(ticks), len(bare)) >= TICKS * minutes or time.monotonic() > deadline:
                return ticks, bare
            time.sleep(5)


def bare_cronjob(cronjob: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a CronJob like a region's, whose pod only prints the time. The quota does not count such a pod."""
    pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    container = {key: pod["containers"][0][key] for key in ("image", "resources", "securityContext")}
    bare_pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": pod["securityContext"],
        "containers": [container | {"name": "bare", "command": [PYTHON, "-c", PRINT_TIME]}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"bare-{number}"},
        "spec": {
            "schedule": EVERY_MINUTE,
            "successfulJobsHistoryLimit": 1000,
            "jobTemplate": {"spec": {"template": {"metadata": {"labels": {"app": "bare"}}, "spec": bare_pod}}},
        },
    }


def tick_delays(url: str, start: datetime, end: datetime) -> list[float]:
    """Return the seconds from the minute to the claim, of each tick from `start` to `end`."""
    with psycopg.connect(url) as connection:
        return [delay for (delay,) in connection.execute(DELAYS, (start, end))]


def bare_delays(stage: Stage, start: datetime, end: datetime) -> list[float]:
    """Return the seconds from the minute to the time that a bare pod printed, for each minute from `start` to `end`."""
    pods = json.loads(stage.ask("get", "pods", "--selector", "app=bare", "--output", "json"))["items"]
    delays = []
    for pod in pods:
        job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
        minute = 60 * int(job.rpartition("-")[2])
        if pod["status"]["phase"] == "Succeeded" and start.timestamp() <= minute < end.timestamp():
            delays.append(float(stage.ask("logs", pod["metadata"]["name"])) - minute)
    return delays


def show(ticks: list[float], bare: list[float], minutes: int) -> bool:
    """Print both kinds' delays. Return whether all ticks came, in time."""
    table = Table(f"{TICKS} A MINUTE, {minutes} MINUTES", "COUNT", "p50, S", "p99, S", box=None)
    for name, delays in (("ticks, until the claim", ticks), ("bare pods, until their first line", bare)):
        half, late = statistics.median(delays), sorted(delays)[int(0.99 * len(delays))]
        table.add_row(name, str(len(delays)), f"{half:.2f}", f"{late:.2f}")
    difference = statistics.median(ticks) - statistics.median(bare)
    table.add_row("difference", f"at most {LIMIT_SECONDS}", f"{difference:.2f}", "")
    Console().print(table)
    return difference <= LIMIT_SECONDS and len(ticks) == TICKS * minutes


if __name__ == "__main__":
    sys.exit(main())
