"""Measures the dispatcher: twenty ticks of the same minute share four slots, with and without the operator.

Three cases run in turn, in one run, on a node made for the run:

- the floor: one Job with the same twenty pods, `parallelism: 4` and no quota. Kubernetes cannot be faster.
- twenty regions, with the operator running.
- the same twenty regions, with the operator stopped: only the Job controller's back-off fills the slots.

Times depend on the machine, so the benchmark judges a ratio: the second case may take LIMIT times the floor at most,
and no tick may be skipped as late. A run takes about five minutes, because schedules have a resolution of a minute.

    .venv/bin/python -m benchmarks.dispatch
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from devcluster import images, progress, start_local
from devcluster.postgres import Postgres
from devcluster.show import Stage
from region_operator.cronjobs.labels import CONTAINER
from region_tick.contract import VERSION, Variable
from tests.harness.regions import add_regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.local import LocalCluster

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "region-tick"
LIMIT = 1.3
REGIONS, SLOTS, SECONDS = 20, 4, 2
START_DEADLINE_SECONDS = 30
AHEAD_SECONDS = 15
"""The shortest time between an edit of the schedules and the scheduled minute."""
LIMIT_SECONDS = 240
IMAGE = "region-tick/benchmark:1"
HANDLER = f"import time\n\n\ndef run(tick):\n    time.sleep({SECONDS})\n"
DOCKERFILE = f"FROM region-tick/tick:{VERSION}\nCOPY slow.py /handlers/\n"

Connection = psycopg.Connection[tuple[Any, ...]]


def main() -> int:
    """Measure and print. Return 1 if the regions take too long or if any tick is skipped as late."""
    with start_local(f"bench-{os.getpid()}", node=True) as cluster, Postgres.temporary() as server:
        server.start(("127.0.0.1", cluster.host_address))
        cluster.load_image(build_image())
        stage = Stage(cluster.kubeconfig, NAMESPACE)
        install(stage, server.url(host=cluster.host_address))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            with running_operator(cluster, server.url()):
                insert_regions(stage, connection)
                job = seconds_of_one_job(stage)
                minute = schedule_all(stage, connection)
                with_operator = seconds_of_regions(connection, minute)
                minute = schedule_all(stage, connection)
            without_operator = seconds_of_regions(connection, minute)
    show(job, with_operator, without_operator)
    seconds, late = with_operator
    return 0 if seconds / job <= LIMIT and not late else 1


def show(job: float, with_operator: tuple[float, int], without_operator: tuple[float, int]) -> None:
    """Print a table with the three cases: seconds, ratio to the floor, number of ticks skipped as late."""
    table = Table(f"{REGIONS} PODS OF {SECONDS} S, {SLOTS} AT ONCE", "SECONDS", "RATIO", "SKIPPED AS LATE", box=None)
    table.add_row(f"one Job, parallelism {SLOTS}", f"{job:.1f}", "1.00", "")
    for name, (seconds, late) in (("regions", with_operator), ("regions, operator stopped", without_operator)):
        table.add_row(name, f"{seconds:.1f}", f"{seconds / job:.2f}", str(late))
    table.add_row("regions: at most", "", f"{LIMIT:.2f}", "0")
    Console().print(table)


def build_image() -> Path:
    """Build an image as a user would: the tick image plus a handler that sleeps."""
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(DOCKERFILE)
        (Path(folder) / "slow.py").write_text(HANDLER)
        tick = images.build(CHECKOUT / "Dockerfile.tick", f"region-tick/tick:{VERSION}")
        return images.build(dockerfile, IMAGE, base=tick)


def install(stage: Stage, url: str) -> None:
    """Install the manifests that ticks need, the database Secret and the RegionScheduler.

    The operator itself runs as a process (running_operator).
    """
    manifests = ("00-namespace", "10-crd", "20-priorityclass")
    for name in manifests:
        stage.ask("apply", "-f", str(CHECKOUT / f"manifests/{name}.yaml"))
    stage.ask("create", "secret", "generic", "region-tick-database", f"--from-literal=DATABASE_URL={url}")
    tick = {
        "image": IMAGE,
        "handler": "slow:run",
        "startDeadline": f"{START_DEADLINE_SECONDS}s",
        "retries": 0,
    }
    scheduler = {
        "apiVersion": "region-tick.dev/v1alpha1",
        "kind": "RegionScheduler",
        "metadata": {"name": "default"},
        "spec": {"concurrency": SLOTS, "tick": tick},
    }
    wait_until(lambda: "default" in apply(stage, scheduler), "the RegionScheduler")


def apply(stage: Stage, body: dict[str, Any]) -> str:
    """Apply an object with kubectl, and return kubectl's output."""
    return stage.ask("apply", "-f", "-", stdin=json.dumps(body))


@contextmanager
def running_operator(cluster: LocalCluster, url: str) -> Iterator[None]:
    """Run the operator as a process until the end of the context. The log goes to a temporary file."""
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "DATABASE_URL": url,
        "POD_NAMESPACE": NAMESPACE,
        "HEALTH_PORT": "0",
    }
    command = [sys.executable, "-m", "region_operator", "run"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, env=environment, stdout=log) as process:
        try:
            yield
        finally:
            process.terminate()


def insert_regions(stage: Stage, connection: Connection) -> None:
    """Insert the regions with a schedule in the far future, and wait for their CronJobs."""
    wait_until(
        lambda: connection.execute("SELECT to_regclass('public.region_index')").fetchone() != (None,), "the table"
    )
    add_regions(connection, REGIONS)
    wait_until(lambda: len(cronjobs(stage)) == REGIONS, "a CronJob for each region")


def cronjobs(stage: Stage) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(
        stage.ask("get", "cronjobs", "--selector", "app=region-tick", "--output", "json")
    )["items"]
    return items


def schedule_all(stage: Stage, connection: Connection) -> datetime:
    """Schedule all regions for the same minute, AHEAD_SECONDS ahead or more, and return the minute (UTC)."""
    minute = (datetime.now(UTC) + timedelta(seconds=60 + AHEAD_SECONDS)).replace(second=0, microsecond=0)
    cron = f"{minute.minute} {minute.hour} {minute.day} {minute.month} *"
    connection.execute("UPDATE region_index SET cron_schedule = %s", (cron,))
    wait_until(lambda: {item["spec"]["schedule"] for item in cronjobs(stage)} == {cron}, "the schedules")
    return minute


def seconds_of_regions(connection: Connection, minute: datetime) -> tuple[float, int]:
    """Wait for all ticks of a minute.

    Return the seconds from the minute to the end of the last tick, and how many ticks were skipped.
    """
    rows: list[tuple[Any, ...]] = []

    def are_over() -> bool:
        statement = "SELECT state, finished_at FROM region_tick.job_run WHERE tick_at = %s AND finished_at IS NOT NULL"
        rows[:] = connection.execute(statement, (minute,)).fetchall()
        return len(rows) == REGIONS

    with progress.step(f"waiting for the ticks of {minute:%H:%M}"):
        wait_until(are_over, "all ticks are over")
    last = max(finished for _, finished in rows)
    return (last - minute).total_seconds(), sum(state == "skipped" for state, _ in rows)


def seconds_of_one_job(stage: Stage) -> float:
    """Return how many seconds one Job with the same pods takes.

    Each pod is a manual run of its own. The pods lack the PriorityClass, so the quota does not count the pods.
    """
    [template, *_] = cronjobs(stage)
    spec = template["spec"]["jobTemplate"]["spec"] | {"parallelism": SLOTS, "completions": REGIONS}
    pod = spec["template"]["spec"]
    del pod["priorityClassName"]
    [container] = [item for item in pod["containers"] if item["name"] == CONTAINER]
    pod_fields = {Variable.JOB_NAME: "metadata.name", Variable.JOB_UID: "metadata.uid"}
    container["env"] = [
        {"name": item["name"], "valueFrom": {"fieldRef": {"fieldPath": pod_fields[item["name"]]}}}
        if item["name"] in pod_fields
        else item
        for item in container["env"]
    ]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "floor"}, "spec": spec}
    stage.ask("create", "-f", "-", stdin=json.dumps(job))
    with progress.step("waiting for the one Job"):
        wait_until(lambda: "completionTime" in status_of(stage, "floor"), "the Job is complete")
    status = status_of(stage, "floor")
    began, ended = (datetime.fromisoformat(status[key]) for key in ("startTime", "completionTime"))
    return (ended - began).total_seconds()


def status_of(stage: Stage, job: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(stage.ask("get", "job", job, "--output", "json")).get("status", {})
    return status


def wait_until(check: Callable[[], bool], what: str) -> None:
    """Call `check` until the result is true. Raises TimeoutError naming `what` after LIMIT_SECONDS."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LIMIT_SECONDS} s: {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
